// /v1/models.
#include "serve/anthropic/messages.h"
#include "serve/gemini/gemini.h"
#include "serve/handlers.h"
#include "serve/openai/embeddings.h"

namespace facet::serve {
namespace {

const char* NameOf(ModelPool::Status::State state) {
  using State = ModelPool::Status::State;
  switch (state) {
    case State::kLoaded:
      return "loaded";
    case State::kLoading:
      return "loading";
    case State::kUnloaded:
      break;
  }
  return "unloaded";
}

OrderedJson DescribeModel(const ModelPool& models, const std::string& id,
                          const ModelPool::Status& status) {
  OrderedJson out = {{"id", id}, {"object", "model"}, {"created", 0}, {"owned_by", "facet"}};
  out["status"] = {{"value", NameOf(status.state)}};
  if (!status.base.empty()) out["parent"] = status.base;
  if (status.facts) {
    out["context_length"] = status.facts->context;
    out["max_model_len"] = status.facts->context;
    out["architecture"] = {{"input_modalities", status.facts->modalities},
                           {"output_modalities", {"text"}}};
    out["meta"] = {{"n_ctx", status.facts->context}, {"memory_bytes", status.bytes}};
  }
  if (const auto model = models.Loaded(id)) {
    out["created"] = model->created;
    out["meta"]["n_ctx_train"] = model->config.text.context;
    out["meta"]["n_vocab"] = model->engine->vocab();
    out["meta"]["n_embd"] = model->engine->width();
    out["embeddings"] = EmbeddingNote();
  }
  return out;
}

}  // namespace

Result<void> ListModels(Service& service, Call& call) {
  if (SpeaksGemini(call.request)) return ListGeminiModels(service, call);
  if (SpeaksAnthropic(call.request)) {
    SendJson(*call.exchange, AnthropicModelList(service.models));
    return Ok();
  }
  OrderedJson body = {{"object", "list"}, {"data", OrderedJson::array()}};
  for (const std::string& id : service.models.ids())
    body["data"].push_back(DescribeModel(service.models, id, *service.models.StatusOf(id)));
  SendJson(*call.exchange, body);
  return Ok();
}

Result<void> GetModel(Service& service, Call& call) {
  if (SpeaksGemini(call.request)) return GetGeminiModel(service, call);
  const auto status = service.models.StatusOf(call.name);
  if (!status) {
    return Error{Cat("the model '", call.name, "' does not exist"), ErrorKind::kNotFound,
                 "model_not_found", "model"};
  }
  SendJson(*call.exchange, SpeaksAnthropic(call.request)
                               ? AnthropicModel(service.models, call.name)
                               : DescribeModel(service.models, call.name, *status));
  return Ok();
}

}  // namespace facet::serve
