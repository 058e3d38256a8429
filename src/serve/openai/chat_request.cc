// Fields of the chat API, and those that it shares with the responses API.
#include <algorithm>

#include "serve/openai/requests.h"

namespace facet::serve {

// --- tools

bool IsToolName(const std::string& name) {
  return !name.empty() && name.size() <= 128 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '_' || c == '-' || c == '.' || c == ':' || c == '/';
         });
}

namespace {

// {"type": "function", "function": {"name", ...}} of the chat API, or the same without the inner
// object, as the responses API has it.
Result<OrderedJson> ReadTool(OrderedJson& tool, const std::string& path, IgnoredFields* ignored) {
  if (!tool.is_object())
    return Error{Cat(path, ": expected an object"), ErrorKind::kInvalid, "invalid_type", path};
  JsonFields fields(tool, path, ignored);
  fields.Require("type");
  const OrderedJson* type = fields.Any("type");
  if (type != nullptr && *type != "function") {
    fields.Fail("type", Cat("expected 'function' but got ", ShowJson(*type)), "unsupported",
                ErrorKind::kUnsupported);
  }
  OrderedJson* function = fields.Object("function");
  FACET_TRY(fields.status());
  const bool flat = function == nullptr;
  JsonFields f(flat ? tool : *function, flat ? path : path + ".function", ignored);
  f.Require("name");
  const std::string name = f.String("name", 256).value_or("");
  if (f.ok() && !IsToolName(name))
    f.Fail("name",
           Cat("expected letters, digits, _ - . : / but got ", ShowJson(OrderedJson(name))));
  const std::string description = f.String("description", 1 << 20).value_or("");
  OrderedJson* parameters = f.Object("parameters");
  const bool strict = f.Bool("strict").value_or(false);
  f.Ignore({"type", "cache_control", "response", "defer_loading"});
  FACET_TRY(f.Done());
  fields.Ignore({"cache_control", "strict"});
  if (!flat) FACET_TRY(fields.Done());
  OrderedJson out = {{"type", "function"},
                     {"function", {{"name", name}, {"description", description}}}};
  OrderedJson none = {{"type", "object"}, {"properties", OrderedJson::object()}};
  out["function"]["parameters"] = parameters != nullptr ? std::move(*parameters) : std::move(none);
  if (strict) out["function"]["strict"] = true;
  return out;
}

}  // namespace

void ReadTools(JsonFields& fields, std::string_view name, ChatRequest& out) {
  OrderedJson* tools = fields.Array(name, kMaxTools);
  if (tools == nullptr || tools->empty()) return;
  OrderedJson read = OrderedJson::array();
  for (size_t i = 0; i < tools->size(); ++i) {
    auto tool = ReadTool((*tools)[i], Cat(name, "[", i, "]"), fields.ignored());
    if (!tool) return fields.Adopt(tool.error());
    read.push_back(*std::move(tool));
  }
  out.tools = std::move(read);
}

namespace {

Error ChoiceError(std::string message, std::string code = "invalid_value") {
  return {Cat("tool_choice: ", message), ErrorKind::kInvalid, std::move(code), "tool_choice"};
}

// {"type": "function", "function": {"name"}}, or the name beside the type, as the responses API has
// it.
std::string ReadChosenName(JsonFields& fields, const std::string& type) {
  OrderedJson* holder = fields.Object(type);
  if (holder == nullptr) {
    fields.Require("name");
    return fields.String("name", 256).value_or("");
  }
  JsonFields inner = fields.Inside(type, *holder);
  inner.Require("name");
  const std::string name = inner.String("name", 256).value_or("");
  fields.Adopt(inner.Done());
  return name;
}

Result<ToolChoice> ReadToolChoice(OrderedJson& choice, IgnoredFields* ignored) {
  using Kind = ToolChoice::Kind;
  const Error other =
      ChoiceError(Cat("expected none, auto, required or a function but got ", ShowJson(choice)));
  const auto kind_of = [](const OrderedJson& word) -> std::optional<Kind> {
    constexpr std::pair<std::string_view, Kind> kKinds[] = {{"auto", Kind::kAuto},
                                                            {"none", Kind::kNone},
                                                            {"required", Kind::kRequired},
                                                            {"any", Kind::kRequired}};
    for (const auto& [name, kind] : kKinds) {
      if (word == name) return kind;
    }
    return std::nullopt;
  };
  if (const auto kind = kind_of(choice)) return ToolChoice{*kind, {}};
  if (!choice.is_object()) return other;
  JsonFields fields(choice, "tool_choice", ignored);
  const std::string type = fields.String("type", 64).value_or("");
  ToolChoice out;
  if (const auto kind = kind_of(type)) {
    out.kind = *kind;
  } else if (type == "function") {
    out = {Kind::kNamed, ReadChosenName(fields, type)};
  } else {
    return other;
  }
  FACET_TRY(fields.Done());
  return out;
}

Result<void> CheckToolChoice(ChatRequest& chat, IgnoredFields* ignored) {
  using Kind = ToolChoice::Kind;
  if (chat.given_choice.is_null()) return Ok();
  FACET_ASSIGN(chat.tool_choice, ReadToolChoice(chat.given_choice, ignored));
  const Kind kind = chat.tool_choice.kind;
  if (kind == Kind::kAuto || kind == Kind::kNone) return Ok();
  if (!chat.tools.is_array()) return ChoiceError("there are no tools to choose from");
  if (kind == Kind::kRequired) return Ok();
  for (const OrderedJson& tool : chat.tools) {
    if (tool["function"]["name"] == chat.tool_choice.name) return Ok();
  }
  return ChoiceError(Cat("there is no tool named ", ShowJson(OrderedJson(chat.tool_choice.name))));
}

// --- thinking

}  // namespace

const std::vector<std::string_view>& Efforts() {
  static const std::vector<std::string_view> efforts = {"none", "minimal", "low", "medium",
                                                        "high", "xhigh",   "max"};
  return efforts;
}

void ApplyEffort(ChatRequest& out, const std::string& effort) {
  out.thinking = effort != "none" && effort != "minimal";
  if (effort == "low") out.thinking_budget = 1024;
  if (effort == "medium") out.thinking_budget = 8192;
}

namespace {

void ReadTemplateOptions(JsonFields& fields, std::string_view name, ChatRequest& out) {
  OrderedJson* extra = fields.Object(name);
  if (extra == nullptr) return;
  JsonFields options(*extra, fields.Path(name));
  if (const OrderedJson* thinking = options.Any("enable_thinking")) {
    if (thinking->is_boolean()) {
      out.thinking = thinking->get<bool>();
    } else {
      options.Fail("enable_thinking", "expected true or false", "invalid_type");
    }
  }
  for (const char* own : {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"}) {
    if (extra->contains(own)) options.Fail(own, "this is not an option of the template");
  }
  fields.Adopt(options.status());
  out.template_extra = std::move(*extra);
  out.template_extra.erase("enable_thinking");
}

void SetThinkingBudget(ChatRequest& out, int64_t budget) {
  if (budget == 0) {
    out.thinking = false;
    return;
  }
  out.thinking = out.thinking.value_or(true);
  out.thinking_budget = budget < 0 ? std::nullopt : std::optional(static_cast<int>(budget));
}

FieldTable<ChatRequest> ReasoningFields() {
  FieldTable<ChatRequest> t;
  t.Choice("effort", ApplyEffort, Efforts(), "As `reasoning_effort`.");
  t.Integer(
      "max_tokens",
      [](ChatRequest& out, int64_t budget) {
        out.thinking = budget > 0;
        out.thinking_budget = static_cast<int>(budget);
      },
      0, INT32_MAX, "Tokens of thoughts at most; 0 switches thinking off.");
  t.Flag("enabled", &ChatRequest::thinking, "Switches thinking on or off.");
  t.Ignored({"summary", "generate_summary", "exclude"},
            "thoughts are given as they are, in a field of their own");
  return t;
}

FieldTable<ChatRequest> MakeDialogueFields() {
  FieldTable<ChatRequest> t;
  t.Include(CommonFields(), &ChatRequest::common);
  t.Choice("reasoning_effort", ApplyEffort, Efforts(),
           "`none` and `minimal` switch thinking off; `low` allows 1,024 tokens of thoughts, "
           "`medium` 8,192, the others any number.");
  t.Object("reasoning", "Thinking, as other servers ask for it.", ReasoningFields());
  t.Custom("chat_template_kwargs", "object", "",
           "Variables of the chat template. `enable_thinking` among them switches thinking.",
           ReadTemplateOptions);
  t.Flag("enable_thinking", &ChatRequest::thinking, "Switches thinking on or off.");
  t.Integer("thinking_budget", SetThinkingBudget, -1, INT32_MAX,
            "Tokens of thoughts at most; 0 switches thinking off, -1 sets no limit.");
  t.Custom("tools", "list of objects", Cat("at most ", kMaxTools),
           "Functions that the model may call: see [Tool calls](#tool-calls).", ReadTools);
  t.Custom("tool_choice", "string or object", "`none`, `auto`, `required`, `any`, or a function",
           "Whether the answer may or must call tools, or one of them.",
           [](JsonFields& fields, std::string_view name, ChatRequest& out) {
             if (OrderedJson* choice = fields.Any(name)) out.given_choice = std::move(*choice);
           });
  t.Flag("parallel_tool_calls", &ChatRequest::parallel_calls,
         "False: the answer ends behind its first call. True by default.");
  return t;
}

FieldTable<ChatRequest> MakeChatFields() {
  FieldTable<ChatRequest> t = MakeDialogueFields();
  t.Custom("messages", "list of objects", Cat("1 to ", kMaxMessages),
           "The conversation: see [Messages](#messages).",
           [](JsonFields& fields, std::string_view name, ChatRequest& out) {
             OrderedJson* messages = fields.Array(name, kMaxMessages);
             if (messages == nullptr) return;
             if (messages->empty()) fields.Fail(name, "expected at least one message");
             out.given_messages = std::move(*messages);
           })
      .Required();
  t.Include(ChoiceFields(), &ChatRequest::common);
  t.Flag("logprobs", &ChatRequest::logprobs, "Log-probabilities of the tokens of the content.");
  t.Integer("top_logprobs", &ChatRequest::given_top_logprobs, 0, kMaxTopLogprobs,
            "For each of them, so many of the likeliest tokens; needs `logprobs`.");
  t.Custom("response_format", "object", "",
           "A form that the answer must have: see [Structured answers](#structured-answers).",
           ReadFormat);
  t.Only("modalities", OrderedJson::array({"text"}), "Answers are text.");
  t.Ignored({"store"}, "chats are not kept; the responses API can keep its answers");
  t.Refused({"functions", "function_call"}, "the older form of calls; use tools and tool_choice");
  t.Refused({"audio", "web_search_options"}, "this server writes text and searches nothing");
  t.Refused({"grammar", "guided_json", "guided_regex", "guided_grammar", "guided_choice"},
            "use response_format");
  return t;
}

// --- the form of the answer

void ReadSchema(JsonFields& fields, bool required, ChatRequest& out) {
  fields.String("name", 256);
  fields.String("description", 1 << 16);
  fields.Bool("strict");  // a schema is always enforced
  if (required) fields.Require("schema");
  OrderedJson* schema = fields.Object("schema");
  if (schema != nullptr) out.format = {ResponseFormat::Kind::kJsonSchema, std::move(*schema)};
}

}  // namespace

void ReadFormat(JsonFields& fields, std::string_view name, ChatRequest& out) {
  OrderedJson* format = fields.Object(name);
  if (format == nullptr) return;
  JsonFields inner = fields.Inside(name, *format);
  inner.Require("type");
  const auto type = inner.Choice("type", {"text", "json_object", "json_schema"});
  OrderedJson* nested = inner.Object("json_schema");
  if (nested == nullptr) {
    ReadSchema(inner, type == "json_schema", out);
  } else {
    JsonFields named = inner.Inside("json_schema", *nested);
    ReadSchema(named, true, out);
    inner.Adopt(named.Done());
  }
  fields.Adopt(inner.Done());
  if (!fields.ok()) return;
  if (*type == "text") out.format = {};
  if (*type == "json_object" && out.format.kind == ResponseFormat::Kind::kText)
    out.format.kind = ResponseFormat::Kind::kJsonObject;
}

const FieldTable<ChatRequest>& DialogueFields() {
  static const FieldTable<ChatRequest> table = MakeDialogueFields();
  return table;
}

const FieldTable<ChatRequest>& ChatFields() {
  static const FieldTable<ChatRequest> table = MakeChatFields();
  return table;
}

Result<void> CheckDialogue(ChatRequest& chat, IgnoredFields* ignored) {
  return CheckToolChoice(chat, ignored);
}

ConversationRules RequestRules(MediaIntake& intake, IgnoredFields* ignored) {
  ConversationRules rules;
  rules.ignored = ignored;
  rules.keep_medium = [&intake](const MediumSource& source) { return intake.Keep(source); };
  return rules;
}

Result<ChatRequest> ReadChat(OrderedJson body, const MediaAccess& access, IgnoredFields* ignored) {
  ChatRequest chat;
  FACET_TRY(ChatFields().ReadAll(body, chat, ignored));
  FACET_TRY(CheckDialogue(chat, ignored));
  if (chat.given_top_logprobs && !chat.logprobs) {
    return Error{"top_logprobs: logprobs must be true as well", ErrorKind::kInvalid,
                 "invalid_value", "top_logprobs"};
  }
  if (chat.logprobs) chat.common.top_logprobs = chat.given_top_logprobs.value_or(0);
  MediaIntake intake(access);
  ConversationReader reader(RequestRules(intake, ignored));
  FACET_TRY(reader.ReadAll(std::move(chat.given_messages), "messages"));
  chat.conversation = {std::move(reader.messages()), std::move(intake.media())};
  return chat;
}

}  // namespace facet::serve
