// Fields of generateContent.
#include <algorithm>

#include "serve/gemini/gemini.h"
#include "serve/gemini/signature.h"

namespace facet::serve {
namespace {

constexpr std::string_view kGeminiModels = "gemini-";

void ReadGeminiStops(JsonFields& fields, std::string_view name, GeminiRequest& out) {
  ReadStopList(fields, name, out.chat.common);
}

void ReadGeminiSchema(JsonFields& fields, std::string_view name, GeminiRequest& out) {
  OrderedJson* schema = fields.Object(name);
  if (schema == nullptr) return;
  const bool standard = name.find("Json") != name.npos;
  out.chat.common.format = {
      .kind = ResponseFormat::Kind::kJsonSchema,
      .schema = standard ? std::move(*schema) : JsonSchema(std::move(*schema)),
      .param = fields.Path(name)};
}

FieldTable<GeminiRequest> ThinkingConfigFields() {
  FieldTable<GeminiRequest> t;
  t.Flag("includeThoughts", &GeminiRequest::show_thoughts,
         "Thoughts come as parts with `thought`. False by default.");
  t.Integer(
      "thinkingBudget",
      [](GeminiRequest& out, int64_t budget) {
        out.chat.thinking = budget != 0;
        if (budget > 0) out.chat.thinking_budget = static_cast<int>(budget);
      },
      -1, INT32_MAX, "Tokens of thoughts at most; 0 switches thinking off, -1 sets no limit.");
  t.Choice(
      "thinkingLevel",
      [](GeminiRequest& out, const std::string& level) {
        const auto is = [&](std::string_view upper) {
          return std::equal(level.begin(), level.end(), upper.begin(), upper.end(),
                            [](char a, char b) { return std::toupper(a) == b; });
        };
        if (is("MINIMAL")) ApplyEffort(out.chat, "minimal");
        if (is("LOW")) ApplyEffort(out.chat, "low");
        if (is("MEDIUM")) ApplyEffort(out.chat, "medium");
        if (is("HIGH") || is("XHIGH")) ApplyEffort(out.chat, "high");
      },
      {"THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH", "minimal", "low",
       "medium", "high"},
      "`MINIMAL` switches thinking off; `LOW` allows 1,024 tokens of thoughts, `MEDIUM` 8,192, the "
      "others any number.");
  return t;
}

FieldTable<GeminiRequest> GenerationConfigFields() {
  FieldTable<GeminiRequest> t;
  t.Number("temperature", InCommon<GeminiRequest>(&Common::temperature), 0, 100,
           "Divides the logits; 0 always takes the likeliest token.");
  t.Number("topP", InCommon<GeminiRequest>(&Common::top_p), 0, 1,
           "Samples among the likeliest tokens that have this share of the probability together.");
  t.Integer("topK", InCommon<GeminiRequest>(&Common::top_k), 0, INT32_MAX,
            "Samples among so many of the likeliest tokens; 0: among all.");
  t.Integer("seed", InCommon<GeminiRequest>(&Common::seed), INT64_MIN, INT64_MAX,
            "The same request with the same seed gives the same answer.");
  t.Integer(
      "candidateCount",
      [](GeminiRequest& out, int64_t n) { out.chat.common.choices = static_cast<int>(n); }, 1,
      kMaxChoices, "Answers to the same prompt.");
  t.Integer("maxOutputTokens", InCommon<GeminiRequest>(&Common::max_tokens), 1, INT32_MAX,
            "Tokens of the answer at most, thoughts included.");
  t.Custom("stopSequences", "list of strings", "",
           "The answer ends before the first of them, which is not part of it.", ReadGeminiStops);
  t.Number("presencePenalty", InCommon<GeminiRequest>(&Common::presence_penalty), -2, 2,
           "Subtracted once from the logit of each token that the answer has already.");
  t.Number("frequencyPenalty", InCommon<GeminiRequest>(&Common::frequency_penalty), -2, 2,
           "Subtracted for each time that the answer has the token.");
  t.Choice("responseMimeType", &GeminiRequest::mime_type, {"text/plain", "application/json"},
           "`application/json`: a JSON object, or what the schema says.");
  t.Custom("responseSchema", "object", "", "A schema of the API's own kind.", ReadGeminiSchema);
  t.Custom("responseJsonSchema", "object", "", "A JSON schema.", ReadGeminiSchema)
      .Or("_responseJsonSchema");
  t.Flag("responseLogprobs", &GeminiRequest::logprobs,
         "Log-probabilities of the tokens of the answer.");
  t.Integer("logprobs", &GeminiRequest::given_logprobs, 0, kMaxTopLogprobs,
            "For each of them, so many of the likeliest tokens; needs `responseLogprobs`.");
  t.Object("thinkingConfig", "How much to think, and whether to show it.", ThinkingConfigFields());
  t.Custom("mediaResolution", "string", "",
           "Soft tokens of pictures and frames: `MEDIA_RESOLUTION_LOW` 70, `_MEDIUM` 280, `_HIGH` "
           "560, `_ULTRA_HIGH` 1120. Parts may have their own.",
           [](JsonFields& fields, std::string_view name, GeminiRequest& out) {
             if (const auto level = fields.String(name, 64))
               out.picture_budget = PictureBudget(*level);
           });
  t.Custom("responseModalities", "list of strings", "only `TEXT`", "Answers are text.",
           [](JsonFields& fields, std::string_view name, GeminiRequest&) {
             const OrderedJson* list = fields.Array(name, 16);
             for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
               if ((*list)[i] == "TEXT" || (*list)[i] == "text") continue;
               fields.Fail(name, Cat("expected TEXT but got ", ShowJson((*list)[i])), "unsupported",
                           ErrorKind::kUnsupported);
             }
           });
  t.Ignored(
      {"audioTimestamp", "enableEnhancedCivicAnswers", "routingConfig", "modelSelectionConfig"},
      "how a hosted service runs a request");
  t.Refused({"speechConfig", "imageConfig", "audioTranscriptionConfig"}, "this server writes text");
  return t;
}

void TakeList(JsonFields& fields, std::string_view name, OrderedJson& to) {
  if (OrderedJson* list = fields.Array(name, kMaxMessages)) to = std::move(*list);
}

FieldTable<GeminiRequest> MakeGeminiFields() {
  FieldTable<GeminiRequest> t;
  t.Custom("contents", "list of objects", Cat("1 to ", kMaxMessages),
           "The conversation: roles are `user`, `model` and `function`.",
           [](JsonFields& fields, std::string_view name, GeminiRequest& out) {
             TakeList(fields, name, out.given_contents);
             if (out.given_contents.is_array() && out.given_contents.empty())
               fields.Fail(name, "expected at least one content");
           })
      .Required();
  t.Custom("systemInstruction", "object", "", "A system message in front.",
           [](JsonFields& fields, std::string_view name, GeminiRequest& out) {
             if (OrderedJson* system = fields.Any(name)) out.given_system = std::move(*system);
           });
  t.Custom("tools", "list of objects", Cat("at most ", kMaxTools, " functions"),
           "`functionDeclarations` that the model may call. Tools that a hosted service runs "
           "(`googleSearch`, `codeExecution`, `urlContext` and others) are left out.",
           [](JsonFields& fields, std::string_view name, GeminiRequest& out) {
             TakeList(fields, name, out.given_tools);
           });
  t.Custom("toolConfig", "object", "",
           "`functionCallingConfig`: `mode` is `AUTO`, `ANY`, `NONE` or `VALIDATED`; with "
           "`allowedFunctionNames`, only those functions are offered.",
           [](JsonFields& fields, std::string_view name, GeminiRequest& out) {
             if (OrderedJson* config = fields.Object(name))
               out.given_tool_config = std::move(*config);
           });
  t.Object("generationConfig", "Sampling, limits and the form of the answer.",
           GenerationConfigFields());
  t.Ignored({"safetySettings"}, "nothing is filtered here");
  t.Ignored({"labels", "model", "serviceTier", "store", "modelArmorConfig"},
            "notes for a hosted service");
  t.Refused({"cachedContent"}, "there is nothing of that name on this server");
  return t;
}

}  // namespace

const FieldTable<GeminiRequest>& GeminiFields() {
  static const FieldTable<GeminiRequest> table = MakeGeminiFields();
  return table;
}

Result<GeminiRequest> ReadGemini(OrderedJson body, const MediaAccess& access,
                                 IgnoredFields* ignored) {
  GeminiRequest request;
  body = CamelFields(std::move(body));
  FACET_TRY(GeminiFields().ReadAll(body, request, ignored));
  ChatRequest& chat = request.chat;
  if (request.mime_type == "application/json" &&
      chat.common.format.kind == ResponseFormat::Kind::kText) {
    chat.common.format = {.kind = ResponseFormat::Kind::kJsonObject,
                          .param = "generationConfig.responseMimeType"};
  }
  if (request.given_logprobs && !request.logprobs) {
    return Error{"generationConfig.logprobs: responseLogprobs must be true as well",
                 ErrorKind::kInvalid, "invalid_value", "generationConfig.logprobs"};
  }
  if (request.logprobs) chat.common.top_logprobs = request.given_logprobs.value_or(0);
  // Who asks to see thoughts wants some.
  if (request.show_thoughts && !chat.thinking) chat.thinking = true;
  FACET_TRY(ReadGeminiTools(request, ignored));
  FACET_ASSIGN(chat.conversation, ReadContents(request, std::move(request.given_system),
                                               std::move(request.given_contents), access, ignored));
  if (chat.conversation.messages.empty()) {
    return Error{"contents: expected a part", ErrorKind::kInvalid, "invalid_value", "contents"};
  }
  return request;
}

std::optional<std::string> GeminiModelName(const ModelPool& models, std::string name,
                                           IgnoredFields* ignored) {
  if (name.starts_with("models/")) name.erase(0, 7);
  return ServedName(models, std::move(name), kGeminiModels, ignored);
}

}  // namespace facet::serve
