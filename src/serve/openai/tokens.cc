// /tokenize and /detokenize.
#include "serve/openai/tokens.h"
#include "serve/handlers.h"

namespace facet::serve {
namespace {

constexpr size_t kMaxIds = 1 << 20;

FieldTable<TokenizeRequest> MakeTokenizeFields() {
  FieldTable<TokenizeRequest> t;
  t.Text("content", &TokenizeRequest::text, SIZE_MAX, "The text.").Or("prompt").Required();
  t.Text("model", &TokenizeRequest::model, kMaxModelName, "Whose vocabulary.");
  t.Flag("parse_special", &TokenizeRequest::special,
         "False: special tokens in the text stay text. True by default.");
  t.Flag("add_special", &TokenizeRequest::bos, "Begins with the vocabulary's first token.");
  t.Flag("with_pieces", &TokenizeRequest::pieces, "The text of each token beside its id.");
  return t;
}

// Ids that no vocabulary could have are refused; others have no text.
void ReadIds(JsonFields& fields, std::string_view name, DetokenizeRequest& out) {
  const OrderedJson* tokens = fields.Array(name, kMaxIds);
  for (size_t i = 0; tokens != nullptr && i < tokens->size(); ++i) {
    const OrderedJson& token = (*tokens)[i];
    if (!token.is_number_integer() || token.get<double>() < 0 || token.get<double>() > INT32_MAX) {
      return fields.Fail(Cat(name, "[", i, "]"),
                         Cat("expected a token id but got ", ShowJson(token)), "invalid_type");
    }
    out.ids.push_back(token.get<TokenId>());
  }
}

FieldTable<DetokenizeRequest> MakeDetokenizeFields() {
  FieldTable<DetokenizeRequest> t;
  t.Custom("tokens", "list of integers", Cat("at most ", kMaxIds), "The ids.", ReadIds).Required();
  t.Text("model", &DetokenizeRequest::model, kMaxModelName, "Whose vocabulary.");
  return t;
}

}  // namespace

const FieldTable<TokenizeRequest>& TokenizeFields() {
  static const FieldTable<TokenizeRequest> table = MakeTokenizeFields();
  return table;
}

const FieldTable<DetokenizeRequest>& DetokenizeFields() {
  static const FieldTable<DetokenizeRequest> table = MakeDetokenizeFields();
  return table;
}

Result<void> Tokenize(Service& service, Call& call) {
  TokenizeRequest request;
  FACET_TRY(TokenizeFields().ReadAll(call.body, request, call.ignored.get()));
  const auto name = request.model;
  return service.WithModel(
      call, name,
      [request = std::move(request),
       exchange = call.exchange](std::shared_ptr<LoadedModel> model) -> Result<void> {
        const Tokenizer& tokenizer = *model->tokenizer;
        std::vector<TokenId> ids =
            request.special ? tokenizer.Encode(request.text) : tokenizer.EncodePlain(request.text);
        if (request.bos && tokenizer.bos()) ids.insert(ids.begin(), *tokenizer.bos());
        OrderedJson body = {{"tokens", OrderedJson::array()},
                            {"count", ids.size()},
                            {"max_model_len", model->engine->context()}};
        for (const TokenId id : ids) {
          if (request.pieces) {
            body["tokens"].push_back({{"id", id}, {"piece", tokenizer.Piece(id)}});
          } else {
            body["tokens"].push_back(id);
          }
        }
        SendJson(*exchange, body);
        return Ok();
      });
}

Result<void> Detokenize(Service& service, Call& call) {
  DetokenizeRequest request;
  FACET_TRY(DetokenizeFields().ReadAll(call.body, request, call.ignored.get()));
  const auto name = request.model;
  return service.WithModel(call, name,
                           [request = std::move(request), exchange = call.exchange](
                               std::shared_ptr<LoadedModel> model) -> Result<void> {
                             const std::string text = model->tokenizer->Decode(request.ids);
                             SendJson(*exchange, {{"content", text}, {"prompt", text}});
                             return Ok();
                           });
}

}  // namespace facet::serve
