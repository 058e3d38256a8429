// /api/embed and the older /api/embeddings.
#include "base/clock.h"
#include "serve/handlers.h"
#include "serve/ollama/ollama.h"

namespace facet::serve {
namespace {

constexpr size_t kMaxOllamaTexts = 2048;

FieldTable<OllamaEmbedRequest> MakeOllamaEmbedFields() {
  FieldTable<OllamaEmbedRequest> t;
  t.Text("model", &OllamaEmbedRequest::model, kMaxModelName,
         "One of the names of `/api/tags`, with or without `:latest`; without it, the first.");
  t.Custom("input", "string or list of strings", Cat("at most ", kMaxOllamaTexts),
           "The texts. `/api/embeddings` takes one, as `prompt`.",
           [](JsonFields& fields, std::string_view name, OllamaEmbedRequest& out) {
             const OrderedJson* input = fields.Any(name);
             // Without texts, clients only want the model to be loaded.
             if (input == nullptr || (input->is_array() && input->empty())) return;
             ReadTexts(fields, name, kMaxOllamaTexts, out.texts);
           })
      .Or("prompt");
  t.Flag("truncate", &OllamaEmbedRequest::truncate,
         "False: a text that is longer than the context is refused. Without it, it is cut.");
  t.Integer("dimensions", &OllamaEmbedRequest::dimensions, 1, INT32_MAX,
            "Only the model's own width: its states were not trained to be cut.");
  t.Ignored({"keep_alive"}, "models stay in memory until another one needs the room");
  t.Ignored({"options"}, "sampling does not touch embeddings");
  return t;
}

// What fits, begun as the vocabulary begins texts.
std::vector<TextOrIds> CutTexts(const LoadedModel& model, const std::vector<TextOrIds>& texts) {
  std::vector<TextOrIds> out;
  const auto most = static_cast<size_t>(model.engine->context() - 1);
  for (const TextOrIds& text : texts) {
    const auto* string = std::get_if<std::string>(&text);
    // A token is a byte at least.
    if (string == nullptr || string->size() < most) {
      out.push_back(text);
      continue;
    }
    std::vector<TokenId> ids = model.tokenizer->EncodePlain(*string);
    const auto bos = model.tokenizer->bos();
    if (bos) ids.insert(ids.begin(), *bos);
    if (ids.size() > most) ids.resize(most);
    out.emplace_back(std::move(ids));
  }
  return out;
}

Result<void> EmbedForOllama(Service& service, Call& call, bool list) {
  OllamaEmbedRequest request;
  FACET_TRY(OllamaEmbedFields().ReadAll(call.body, request, call.ignored.get()));
  const auto name = ServedName(service.models, request.model, "");
  const auto write = [list, began = Clock::now(), given = request.model](
                         Exchange& exchange, const LoadedModel& model, const Embedded& embedded) {
    if (!list) {
      OrderedJson vector = OrderedJson::array();
      if (!embedded.vectors.empty()) vector = embedded.vectors[0];
      return SendJson(exchange, {{"embedding", std::move(vector)}});
    }
    SendJson(exchange, {{"model", given.value_or(model.id)},
                        {"embeddings", embedded.vectors},
                        {"total_duration", static_cast<int64_t>(MillisecondsSince(began) * 1e6)},
                        {"load_duration", 0},
                        {"prompt_eval_count", embedded.tokens}});
  };
  return service.WithModel(
      call, name,
      [request, write, exchange = call.exchange,
       tenant = call.request.tenant](std::shared_ptr<LoadedModel> model) -> Result<void> {
        FACET_TRY(CheckDimensions(*model, request.dimensions, "dimensions"));
        if (request.texts.empty()) {
          write(*exchange, *model, {});
          return Ok();
        }
        return StartEmbedding(exchange, model,
                              request.truncate ? CutTexts(*model, request.texts) : request.texts,
                              "input", tenant, write);
      });
}

}  // namespace

const FieldTable<OllamaEmbedRequest>& OllamaEmbedFields() {
  static const FieldTable<OllamaEmbedRequest> table = MakeOllamaEmbedFields();
  return table;
}

Result<void> OllamaEmbed(Service& service, Call& call) {
  return EmbedForOllama(service, call, true);
}

Result<void> OllamaEmbeddings(Service& service, Call& call) {
  return EmbedForOllama(service, call, false);
}

}  // namespace facet::serve
