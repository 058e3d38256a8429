// What there is to run: /api/tags, /api/show, /api/ps, /api/pull, /api/version and the greeting at
// the root.
#include <algorithm>

#include "base/hash.h"
#include "serve/handlers.h"
#include "serve/ollama/ollama.h"
#include "serve/timestamp.h"

namespace facet::serve {
namespace {

// The version of Ollama whose API this is: clients look at it to know which fields they may send.
constexpr const char* kApiVersion = "0.13.0";
// Ollama's own way of saying that a model stays.
constexpr const char* kNeverExpires = "2318-03-01T00:00:00Z";

OrderedJson OllamaDetails() {
  return {{"parent_model", ""},     {"format", "gguf"},     {"family", "gemma4"},
          {"families", {"gemma4"}}, {"parameter_size", ""}, {"quantization_level", "unknown"}};
}

OrderedJson DescribeOllamaModel(const ModelPool& models, const std::string& id,
                                const ModelPool::Status& status) {
  const auto model = models.Loaded(id);
  return {{"name", id},
          {"model", id},
          {"modified_at", Timestamp(model == nullptr ? 0 : model->created)},
          {"size", status.bytes},
          {"digest", Hex(Sha256(id))},  // of the name: files are large
          {"details", OllamaDetails()}};
}

std::vector<std::string> OllamaCapabilities(const ModelPool::Status& status) {
  std::vector<std::string> out = {"completion", "tools", "thinking"};
  if (!status.facts) return out;
  const auto& modalities = status.facts->modalities;
  const auto has = [&](const char* name) {
    return std::find(modalities.begin(), modalities.end(), name) != modalities.end();
  };
  if (has("image")) out.push_back("vision");
  if (has("audio")) out.push_back("audio");
  return out;
}

// Default sampling in the words of a Modelfile.
std::string ModelfileParameters(const LoadedModel& model) {
  const SamplingParams& s = model.sampling;
  return Cat("temperature ", s.temperature, "\ntop_k ", s.top_k, "\ntop_p ", s.top_p);
}

struct NamedModel {
  std::optional<std::string> name;
};

FieldTable<NamedModel> NamedModelFields() {
  FieldTable<NamedModel> t;
  t.Text("model", &NamedModel::name, kMaxModelName, "The model's name.").Or("name").Required();
  t.Ignored({"verbose", "system", "template", "options", "license", "stream", "insecure",
             "username", "password"},
            "nothing is changed here");
  return t;
}

// The name that a model is served under.
Result<std::string> ReadServedName(Service& service, Call& call) {
  NamedModel request;
  FACET_TRY(NamedModelFields().ReadAll(call.body, request, call.ignored.get()));
  TellIgnored(call);
  const std::string name = *ServedName(service.models, request.name, "");
  if (service.models.StatusOf(name)) return name;
  return Error{Cat("model '", name, "' not found: this server serves what it was started with"),
               ErrorKind::kNotFound, "model_not_found", "model"};
}

}  // namespace

HttpResponse OllamaError(const Error& error) {
  HttpResponse response = ErrorResponse(error);
  response.body = DumpJson(OrderedJson{{"error", error.message}});
  return response;
}

Result<void> OllamaTags(Service& service, Call& call) {
  OrderedJson list = OrderedJson::array();
  for (const std::string& id : service.models.ids())
    list.push_back(DescribeOllamaModel(service.models, id, *service.models.StatusOf(id)));
  SendJson(*call.exchange, {{"models", std::move(list)}});
  return Ok();
}

Result<void> OllamaRunning(Service& service, Call& call) {
  OrderedJson list = OrderedJson::array();
  for (const std::string& id : service.models.ids()) {
    const auto status = *service.models.StatusOf(id);
    if (status.state != ModelPool::Status::State::kLoaded) continue;
    OrderedJson model = DescribeOllamaModel(service.models, id, status);
    model["expires_at"] = kNeverExpires;
    model["size_vram"] = 0;
    if (status.facts) model["context_length"] = status.facts->context;
    list.push_back(std::move(model));
  }
  SendJson(*call.exchange, {{"models", std::move(list)}});
  return Ok();
}

Result<void> OllamaShow(Service& service, Call& call) {
  FACET_ASSIGN(const std::string name, ReadServedName(service, call));
  const ModelPool& models = service.models;
  const auto status = *models.StatusOf(name);
  OrderedJson info = {{"general.architecture", "gemma4"}, {"general.basename", name}};
  if (status.facts) info["gemma4.context_length"] = status.facts->context;
  OrderedJson body = {{"modelfile", Cat("FROM ", name)}, {"parameters", ""}, {"template", ""}};
  body["modified_at"] = Timestamp(0);
  if (const auto model = models.Loaded(name)) {
    info["gemma4.context_length"] = model->engine->context();
    info["gemma4.embedding_length"] = model->engine->width();
    info["gemma4.block_count"] = model->config.text.layers.size();
    info["gemma4.vocab_size"] = model->engine->vocab();
    body["parameters"] = ModelfileParameters(*model);
    if (model->chat_template != nullptr) body["template"] = model->chat_template->source();
    body["modified_at"] = Timestamp(model->created);
  }
  body["details"] = OllamaDetails();
  body["model_info"] = std::move(info);
  body["capabilities"] = OllamaCapabilities(status);
  SendJson(*call.exchange, body);
  return Ok();
}

// Programs pull what they are about to use. What is served is there already.
Result<void> OllamaPull(Service& service, Call& call) {
  FACET_ASSIGN(const std::string name, ReadServedName(service, call));
  SendJson(*call.exchange, {{"status", "success"}});
  return Ok();
}

Result<void> OllamaVersion(Service&, Call& call) {
  SendJson(*call.exchange, {{"version", kApiVersion}});
  return Ok();
}

// Programs that look for this API at the root look for these words.
Result<void> OllamaGreeting(Service&, Call& call) {
  call.exchange->Send(
      {.content_type = "text/plain; charset=utf-8", .body = "Ollama is running", .headers = {}});
  return Ok();
}

}  // namespace facet::serve
