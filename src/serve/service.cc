#include "serve/service.h"

#include "base/log.h"

namespace facet::serve {

void Service::ContinueWhenLoaded(const Call& call, const std::string& name, Continuation then) {
  models.WhenLoaded(name, [this, name, exchange = call.exchange, has_media = call.has_media,
                           then = std::move(then)](Result<std::shared_ptr<LoadedModel>> model) {
    if (exchange->Closed()) return;
    const auto work = [exchange, name, then, model = std::move(model)] {
      AnswerErrors(*exchange, name,
                   [&] { return model ? then(*model) : Result<void>(model.error()); });
    };
    // The loading thread has models to load, and decodes no media.
    has_media ? media.Run(work) : work();
  });
}

void TellIgnored(const Call& call) {
  if (call.ignored == nullptr || call.ignored->empty()) return;
  const std::string text = call.ignored->Text();
  spdlog::debug("{} {}: ignored {}", call.request.method, call.request.path, text);
  call.exchange->AddHeader("X-Facet-Ignored", text);
}

void SendJson(Exchange& exchange, const OrderedJson& body) {
  exchange.Send({.status = 200, .body = DumpJson(body), .headers = {}});
}

}  // namespace facet::serve
