// POST /v1beta/models/MODEL:METHOD.
#include "serve/gemini/gemini.h"
#include "serve/handlers.h"
#include "serve/openai/embeddings.h"

namespace facet::serve {
namespace {

using GeminiMethod = Result<void> (*)(Service&, Call&, const std::string& name);

Result<void> StartGemini(Service& service, Call& call, const std::string& name, bool stream) {
  FACET_ASSIGN(GeminiRequest request,
               ReadGemini(std::move(call.body), service.limits.media, call.ignored.get()));
  ChatRequest chat = std::move(request.chat);
  chat.common.model = GeminiModelName(service.models, name, call.ignored.get());
  chat.common.stream = stream;
  request.chat.common = chat.common;
  request.events = QueryValue(call.request.query, "alt") == "sse";
  return StartChat(service, call, std::move(chat), "contents",
                   [request = std::move(request)](const ChatStart& start) {
                     return MakeGeminiJob(start, request);
                   });
}

Result<void> GenerateContent(Service& service, Call& call, const std::string& name) {
  return StartGemini(service, call, name, false);
}

Result<void> StreamGenerateContent(Service& service, Call& call, const std::string& name) {
  return StartGemini(service, call, name, true);
}

// The contents alone, or a whole request.
Result<void> CountContents(Service& service, Call& call, const std::string& name) {
  OrderedJson body = std::move(call.body);
  for (const char* whole : {"generateContentRequest", "generate_content_request"}) {
    if (!body.contains(whole)) continue;
    if (body.size() > 1 || !body[whole].is_object()) {
      return Error{Cat(whole, ": expected an object, and nothing beside it"), ErrorKind::kInvalid,
                   "invalid_value", whole};
    }
    body = OrderedJson(std::move(body[whole]));
    break;
  }
  FACET_ASSIGN(GeminiRequest request,
               ReadGemini(std::move(body), service.limits.media, call.ignored.get()));
  request.chat.common.model = GeminiModelName(service.models, name, call.ignored.get());
  return ShowPrompt(service, call, std::move(request.chat), "contents",
                    [exchange = call.exchange](const Prompt& prompt) {
                      SendJson(*exchange, {{"totalTokens", prompt.ids.size()}});
                    });
}

// --- embeddings

struct EmbedItem {
  std::string text;
  std::optional<int> dimensions;
};

Result<EmbedItem> ReadEmbedItem(OrderedJson& item, const std::string& path,
                                IgnoredFields* ignored) {
  JsonFields fields(item, path, ignored);
  if (!item.is_object()) {
    fields.FailType("", "an object", item);
    return fields.status().error();
  }
  EmbedItem out;
  fields.Require("content");
  OrderedJson* content = fields.Object("content");
  const auto width = fields.Int("outputDimensionality", 1, INT32_MAX);
  if (width) out.dimensions = static_cast<int>(*width);
  fields.Ignore({"model", "taskType", "title", "embedContentConfig"});
  FACET_TRY(fields.Done());
  FACET_ASSIGN(out.text, ReadContentText(*content, fields.Path("content"), ignored));
  return out;
}

Result<void> EmbedContents(Service& service, Call& call, const std::string& name,
                           std::vector<EmbedItem> items, bool batch) {
  const auto write = [batch](Exchange& exchange, const LoadedModel&, const Embedded& embedded) {
    if (!batch) {
      OrderedJson vector = {{"values", embedded.vectors[0]}};
      return SendJson(exchange, {{"embedding", std::move(vector)}});
    }
    OrderedJson list = OrderedJson::array();
    for (const auto& vector : embedded.vectors) list.push_back({{"values", vector}});
    SendJson(exchange, {{"embeddings", std::move(list)}});
  };
  return service.WithModel(
      call, GeminiModelName(service.models, name),
      [items = std::move(items), write, exchange = call.exchange,
       tenant = call.request.tenant](std::shared_ptr<LoadedModel> model) -> Result<void> {
        std::vector<TextOrIds> texts;
        for (const EmbedItem& item : items) {
          FACET_TRY(CheckDimensions(*model, item.dimensions, "outputDimensionality"));
          texts.emplace_back(item.text);
        }
        return StartEmbedding(exchange, model, texts, "content", tenant, write);
      });
}

Result<void> EmbedOneContent(Service& service, Call& call, const std::string& name) {
  OrderedJson body = CamelFields(std::move(call.body));
  FACET_ASSIGN(EmbedItem item, ReadEmbedItem(body, "", call.ignored.get()));
  return EmbedContents(service, call, name, {std::move(item)}, false);
}

Result<void> EmbedContentBatch(Service& service, Call& call, const std::string& name) {
  OrderedJson body = CamelFields(std::move(call.body));
  JsonFields fields(body, "", call.ignored.get());
  fields.Require("requests");
  OrderedJson* requests = fields.Array("requests", 2048);
  if (requests != nullptr && requests->empty())
    fields.Fail("requests", "expected at least one request");
  FACET_TRY(fields.Done());
  std::vector<EmbedItem> items;
  for (size_t i = 0; i < requests->size(); ++i) {
    FACET_ASSIGN(EmbedItem item,
                 ReadEmbedItem((*requests)[i], Cat("requests[", i, "]"), call.ignored.get()));
    items.push_back(std::move(item));
  }
  return EmbedContents(service, call, name, std::move(items), true);
}

constexpr std::pair<std::string_view, GeminiMethod> kGeminiMethods[] = {
    {"generateContent", GenerateContent},
    {"streamGenerateContent", StreamGenerateContent},
    {"countTokens", CountContents},
    {"embedContent", EmbedOneContent},
    {"batchEmbedContents", EmbedContentBatch},
};

}  // namespace

// A model's name may have colons of its own: the method stands behind the last one.
Result<void> Gemini(Service& service, Call& call) {
  const size_t colon = call.name.rfind(':');
  const std::string method = colon == call.name.npos ? "" : call.name.substr(colon + 1);
  for (const auto& [name, handler] : kGeminiMethods) {
    if (name == method) return handler(service, call, call.name.substr(0, colon));
  }
  return Error{Cat("expected MODEL:generateContent, :streamGenerateContent, :countTokens, "
                   ":embedContent or :batchEmbedContents but got ",
                   ShowJson(OrderedJson(call.name))),
               ErrorKind::kNotFound};
}

}  // namespace facet::serve
