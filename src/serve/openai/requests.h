// What clients ask for, after every field has been checked. The shapes of the chat, completions and
// responses APIs meet here.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/sampler.h"
#include "runtime/loaded_model.h"
#include "serve/media/intake.h"
#include "serve/openai/field_table.h"

namespace facet::serve {

// Limits of every request.
constexpr int kMaxChoices = 16, kMaxTopLogprobs = 20, kMaxStops = 16;
constexpr size_t kMaxMessages = 20000, kMaxTools = 1024, kMaxBiases = 4096;
constexpr size_t kMaxModelName = 1024;
constexpr int kMaxRequestJsonDepth = 100;

// A body: one JSON object, UTF-8, no deeper than the limit, members in the order of the text.
Result<OrderedJson> ParseBody(std::string_view body);

// Fields that all generating routes share.
struct Common {
  std::optional<std::string> model;
  // What the request itself says of sampling; the model's defaults otherwise.
  std::optional<double> temperature, top_p, min_p, presence_penalty, frequency_penalty,
      repetition_penalty;
  std::optional<int> top_k;
  std::optional<uint64_t> seed;
  std::map<int, float> bias;
  int top_logprobs = -1;  // none
  std::optional<int> max_tokens;
  std::vector<std::string> stop;
  int choices = 1;
  bool stream = false, include_usage = false, progress = false;
  bool use_cache = true;
  std::string salt;
};
const FieldTable<Common>& CommonFields();
// n and max_tokens, of the chat and completions APIs.
FieldTable<Common> ChoiceFields();

struct ToolChoice {
  enum class Kind { kAuto, kNone, kRequired, kNamed } kind = Kind::kAuto;
  std::string name;
};

struct ResponseFormat {
  enum class Kind { kText, kJsonObject, kJsonSchema } kind = Kind::kText;
  OrderedJson schema;
};

struct ChatRequest {
  Common common;
  Conversation conversation;
  OrderedJson given_messages;  // as the client wrote them, until they have been read
  OrderedJson tools;           // null, or a list in the chat API's shape
  OrderedJson given_choice;    // tool_choice, until the tools are known
  ToolChoice tool_choice;
  bool parallel_calls = true;
  ResponseFormat format;
  std::optional<bool> thinking;
  std::optional<int> thinking_budget;  // tokens
  OrderedJson template_extra = OrderedJson::object();
  bool logprobs = false;
  std::optional<int> given_top_logprobs;
};
const FieldTable<ChatRequest>& ChatFields();
// Members that nobody reads are noted in `ignored`, as in all that follow; null: they are refused.
Result<ChatRequest> ReadChat(OrderedJson body, const MediaAccess& access, IgnoredFields* ignored);

// A name that can stand in the tool notation and in the API.
bool IsToolName(const std::string& name);
// Functions in the chat API's shape.
void ReadTools(JsonFields& fields, std::string_view name, ChatRequest& out);
// How much to think, in a word: "none" and "minimal" switch thinking off, the others set its
// budget.
const std::vector<std::string_view>& Efforts();
void ApplyEffort(ChatRequest& out, const std::string& effort);

// What the chat and responses APIs share: tools, thinking, template options.
const FieldTable<ChatRequest>& DialogueFields();
// Checks what depends on several fields of DialogueFields.
Result<void> CheckDialogue(ChatRequest& chat, IgnoredFields* ignored);
// {"type": "text" | "json_object" | "json_schema", ...}; schemas stand in "json_schema", or beside
// the type.
void ReadFormat(JsonFields& fields, std::string_view name, ChatRequest& out);
// Reads messages with their media.
ConversationRules RequestRules(MediaIntake& intake, IgnoredFields* ignored);

using TextOrIds = std::variant<std::string, std::vector<TokenId>>;

// A text, token ids, or a list of at most `limit` of either.
void ReadTexts(JsonFields& fields, std::string_view name, size_t limit,
               std::vector<TextOrIds>& out);

struct CompletionRequest {
  Common common;
  std::vector<TextOrIds> prompts;
  std::optional<int> best_of;
};
const FieldTable<CompletionRequest>& CompletionFields();
Result<CompletionRequest> ReadCompletion(OrderedJson body, IgnoredFields* ignored);

// The model's defaults with what the request said.
SamplingParams Sampling(const LoadedModel& model, const Common& common);

}  // namespace facet::serve
