// /v1beta/models.
#include "serve/gemini/gemini.h"
#include "serve/handlers.h"

namespace facet::serve {
namespace {

OrderedJson DescribeGeminiModel(const ModelPool& models, const std::string& id) {
  OrderedJson out = {{"name", Cat("models/", id)},
                     {"baseModelId", id},
                     {"version", "1"},
                     {"displayName", id},
                     {"description", ""},
                     {"supportedGenerationMethods",
                      {"generateContent", "countTokens", "embedContent", "batchEmbedContents"}},
                     {"thinking", true}};
  const auto status = models.StatusOf(id);
  if (status && status->facts) {
    out["inputTokenLimit"] = status->facts->context;
    out["outputTokenLimit"] = status->facts->context;
  }
  if (const auto model = models.Loaded(id)) {
    out["temperature"] = model->sampling.temperature;
    out["topP"] = model->sampling.top_p;
    out["topK"] = model->sampling.top_k;
  }
  return out;
}

}  // namespace

bool SpeaksGemini(const HttpRequest& request) {
  return request.Header("x-goog-api-key") || request.Header("x-goog-api-client");
}

Result<void> ListGeminiModels(Service& service, Call& call) {
  OrderedJson list = OrderedJson::array();
  for (const std::string& id : service.models.ids())
    list.push_back(DescribeGeminiModel(service.models, id));
  SendJson(*call.exchange, {{"models", std::move(list)}});
  return Ok();
}

Result<void> GetGeminiModel(Service& service, Call& call) {
  const std::string name = *GeminiModelName(service.models, call.name);
  if (!service.models.StatusOf(name)) {
    return Error{Cat("the model '", name, "' does not exist"), ErrorKind::kNotFound,
                 "model_not_found", "model"};
  }
  SendJson(*call.exchange, DescribeGeminiModel(service.models, name));
  return Ok();
}

}  // namespace facet::serve
