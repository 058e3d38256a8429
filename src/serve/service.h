// What the routes share: the models, the limits that the operator sets, stored responses, and the
// threads and the memory of media.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "formats/json_fields.h"
#include "runtime/model_pool.h"
#include "serve/constraint_workers.h"
#include "serve/http/http.h"
#include "serve/media/access.h"
#include "serve/media/workers.h"
#include "serve/state/conversation_store.h"
#include "serve/state/response_store.h"

namespace facet::serve {

// What the operator allows and limits.
struct ApiLimits {
  MediaAccess media;                      // named by address
  size_t media_memory = size_t{4} << 30;  // bytes of decoded media, of all requests together
  int media_workers = 4;                  // threads that fetch and decode media
  bool strict = false;                    // refuses fields that are not known
};

// One request on its way through a route.
struct Call {
  HttpRequest request;
  std::shared_ptr<Exchange> exchange;
  OrderedJson body;  // of a POST with JSON; a route may take it apart
  std::string name;  // what the * of the route's path stands for
  // Where readers note what they do not know; null: they refuse it.
  std::shared_ptr<IgnoredFields> ignored;
  // Something has to be fetched or decoded: the call runs on a thread for media.
  bool has_media = false;
};

class Service {
 public:
  Service(ModelPool& pool, ApiLimits operator_limits)
      : models(pool),
        limits(std::move(operator_limits)),
        media(limits.media_workers, limits.media_memory) {}

  // Tells what was ignored, and calls `then(model)`, which returns Result<void>: at once where the
  // model is in memory, else when it has been loaded, so that no thread waits for weights. Its
  // errors and those of loading go to the client.
  template <class Then>
  Result<void> WithModel(const Call& call, const std::optional<std::string>& id, Then then);

  ModelPool& models;
  const ApiLimits limits;
  ResponseStore responses;
  ConversationStore conversations;
  MediaWorkers media;
  ConstraintWorkers constraints{2};
  std::atomic<bool> draining{false};  // /health says so

 private:
  using Continuation = std::function<Result<void>(std::shared_ptr<LoadedModel>)>;
  void ContinueWhenLoaded(const Call& call, const std::string& name, Continuation then);
};

// Names what was ignored of a request that has been read: in the header X-Facet-Ignored of its
// answer, and in a debug line. Whoever answers without a model calls this itself.
void TellIgnored(const Call& call);

// The model that a request means: the first where it names none. Where one model is served alone, a
// placeholder ("default", "local-model") or a part of its name means it too, and is noted as
// ignored.
std::string ModelName(const ModelPool& models, const Call& call,
                      const std::optional<std::string>& id);

template <class Then>
Result<void> Service::WithModel(const Call& call, const std::optional<std::string>& id, Then then) {
  const std::string name = ModelName(models, call, id);
  TellIgnored(call);
  if (auto model = models.Use(name)) return then(std::move(model));
  // A function has to be copyable; what `then` holds is not to be copied.
  auto kept = std::make_shared<Then>(std::move(then));
  ContinueWhenLoaded(
      call, name, [kept](std::shared_ptr<LoadedModel> model) { return (*kept)(std::move(model)); });
  return Ok();
}

void SendJson(Exchange& exchange, const OrderedJson& body);

}  // namespace facet::serve
