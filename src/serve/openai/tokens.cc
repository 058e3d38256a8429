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
  t.Flag("add_special", &TokenizeRequest::bos, "Begins with the vocabulary's first token.")
      .Or("add_special_tokens");
  t.Flag("with_pieces", &TokenizeRequest::pieces, "The text of each token beside its id.");
  t.Flag("return_token_strs", &TokenizeRequest::strings,
         "The texts of the tokens in a list of their own.");
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
        if (request.strings) {
          body["token_strs"] = OrderedJson::array();
          for (const TokenId id : ids) body["token_strs"].push_back(tokenizer.Piece(id));
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

// As vLLM has it, which programs that measure models ask before they begin.
Result<void> TokenizerInfo(Service& service, Call& call) {
  return service.WithModel(
      call, std::nullopt,
      [exchange = call.exchange](std::shared_ptr<LoadedModel> model) -> Result<void> {
        const Tokenizer& tokenizer = *model->tokenizer;
        const auto piece = [&](std::optional<TokenId> id) {
          return id ? OrderedJson(std::string(tokenizer.Piece(*id))) : OrderedJson(nullptr);
        };
        OrderedJson body = {{"tokenizer_class", "GemmaTokenizer"},
                            {"bos_token", piece(tokenizer.bos())},
                            {"eos_token", piece(tokenizer.eos())},
                            {"pad_token", piece(tokenizer.Find("<pad>"))},
                            {"unk_token", piece(tokenizer.Find("<unk>"))},
                            {"add_bos_token", tokenizer.bos().has_value()},
                            {"add_eos_token", false},
                            {"vocab_size", tokenizer.size()},
                            {"model_max_length", model->engine->context()}};
        body["chat_template"] = nullptr;
        if (model->chat_template != nullptr) body["chat_template"] = model->chat_template->source();
        SendJson(*exchange, body);
        return Ok();
      });
}

}  // namespace facet::serve
