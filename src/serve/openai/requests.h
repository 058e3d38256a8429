// What clients ask for, after every field has been checked. The shapes of the chat, completions and
// responses APIs meet here.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "chat/grammar.h"
#include "engine/sampler.h"
#include "runtime/loaded_model.h"
#include "serve/media/intake.h"
#include "serve/openai/field_table.h"

namespace facet::serve {

// Limits of every request.
constexpr int kMaxChoices = 16, kMaxTopLogprobs = 20;
constexpr size_t kMaxMessages = 20000, kMaxTools = 1024, kMaxBiases = 4096;
constexpr size_t kMaxModelName = 1024;
constexpr int kMaxRequestJsonDepth = 100;

// A body: one JSON object, UTF-8, no deeper than the limit, members in the order of the text.
Result<OrderedJson> ParseBody(std::string_view body);

// The form that the answer must have.
struct ResponseFormat {
  enum class Kind { kText, kJsonObject, kJsonSchema, kRegex, kChoice, kGrammar };
  Kind kind = Kind::kText;
  OrderedJson schema = {};
  std::string text = {};                  // a regular expression, or a grammar (Lark or GBNF)
  std::vector<std::string> choices = {};  // the answer is one of these
  std::string param = {};                 // the field that asks for it
};

// Fields that all generating routes share.
struct Common {
  std::optional<std::string> model;
  // What the request itself says of sampling; the model's defaults otherwise.
  std::optional<double> temperature, top_p, min_p, presence_penalty, frequency_penalty,
      repetition_penalty;
  std::optional<int> top_k;
  std::optional<uint64_t> seed;
  std::map<int, float> bias;
  int top_logprobs = -1;          // none
  std::optional<int> max_tokens;  // none: what the context has left
  int min_tokens = 0;             // before which the answer does not end itself
  bool ignore_eos = false;        // it never does
  std::vector<std::string> stop;
  std::vector<int> stop_tokens;  // beside the model's own
  ResponseFormat format;
  int choices = 1;
  bool stream = false, include_usage = false, progress = false;
  bool running_usage = false;  // every event of a stream says how much has been used so far
  bool use_cache = true;
  std::string salt;
};
const FieldTable<Common>& CommonFields();
// n and max_tokens, of the chat and completions APIs. `least`: the fewest tokens of an answer.
FieldTable<Common> ChoiceFields(int least);
// Sampling and limits as Ollama's `options` name them.
FieldTable<Common> OptionFields();
// A list of stop strings, of APIs that take nothing else; empty ones occur nowhere.
void ReadStopList(JsonFields& fields, std::string_view name, Common& out);
// Where a field table of another API puts a setting that all have: into `chat.common`.
template <class Request, class Member>
auto InCommon(Member Common::*member) {
  return [member](Request& out, auto value) {
    out.chat.common.*member = static_cast<typename Member::value_type>(value);
  };
}
// Tokens of an answer at most; below 0: no limit of the request's own.
void ReadMaxTokens(JsonFields& fields, std::string_view name, int least, Common& out);

struct ToolChoice {
  enum class Kind { kAuto, kNone, kRequired, kNamed } kind = Kind::kAuto;
  std::string name = {};
  std::vector<std::string> allowed = {};  // these tools alone may be called; empty: all
};

// What a client calls a tool that the model sees under another name or in another form.
struct ToolAlias {
  bool custom = false;  // takes a text: the model sees a function with the string `input`
  std::string name = {}, space = {};  // its own name, and the namespace that it stands in
  std::optional<AnswerForm::Pattern> input = {};  // the form of a custom tool's text
};
// The name that the model sees.
std::string ShownName(const std::string& name, const std::string& space);

struct ChatRequest {
  Common common;
  Conversation conversation;
  OrderedJson given_messages;  // as the client wrote them, until they have been read
  OrderedJson tools;           // null, or a list in the chat API's shape, as the model sees them
  std::map<std::string, ToolAlias> aliases;  // by the name that the model sees
  OrderedJson given_choice;                  // tool_choice, until the tools are known
  ToolChoice tool_choice;
  bool parallel_calls = true;
  std::optional<bool> thinking;
  std::optional<int> thinking_budget;  // tokens
  OrderedJson template_extra = OrderedJson::object();
  // Whether the last message of the assistant is continued. Absent: where it is the last of all.
  std::optional<bool> continue_final;
  std::optional<bool> generation_prompt;
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
void ReadFormat(JsonFields& fields, std::string_view name, Common& out);
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
  bool echo = false;  // the prompt stands in front of the answer
};
const FieldTable<CompletionRequest>& CompletionFields();
Result<CompletionRequest> ReadCompletion(OrderedJson body, IgnoredFields* ignored);

// The model's defaults with what the request said.
SamplingParams Sampling(const LoadedModel& model, const Common& common);

}  // namespace facet::serve
