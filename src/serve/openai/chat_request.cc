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

// The definition of a function: beside its type, or in an object of its own.
struct Definition {
  JsonFields fields;
  std::string name, description;
};

// {"type": T, T: {"name", ...}} of the chat API, or the same without the inner object, as the
// responses API has it.
Result<Definition> ReadDefinition(JsonFields& tool, OrderedJson& whole, const std::string& type) {
  OrderedJson* inner = tool.Object(type);
  FACET_TRY(tool.status());
  Definition out{inner == nullptr ? tool.Inside("", whole) : tool.Inside(type, *inner), {}, {}};
  JsonFields& f = out.fields;
  f.Require("name");
  out.name = f.String("name", 256).value_or("");
  if (f.ok() && !IsToolName(out.name)) {
    f.Fail("name",
           Cat("expected letters, digits, _ - . : / but got ", ShowJson(OrderedJson(out.name))));
  }
  out.description = f.String("description", 1 << 20).value_or("");
  f.Ignore({"type", "cache_control", "defer_loading"});
  FACET_TRY(f.status());
  if (inner == nullptr) return out;
  tool.Ignore({"type", "cache_control", "strict"});
  FACET_TRY(tool.Done());
  return out;
}

OrderedJson ChatTool(const std::string& name, const std::string& description,
                     OrderedJson parameters) {
  return {{"type", "function"},
          {"function",
           {{"name", name}, {"description", description}, {"parameters", std::move(parameters)}}}};
}

// Tools of a request, one after the other.
class ToolReader {
 public:
  ToolReader(ChatRequest& out, IgnoredFields* ignored) : out_(out), ignored_(ignored) {}

  // `space`: the namespace that it stands in.
  Result<void> Read(OrderedJson& tool, const std::string& path, const std::string& space) {
    if (!tool.is_object())
      return Error{Cat(path, ": expected an object"), ErrorKind::kInvalid, "invalid_type", path};
    JsonFields fields(tool, path, ignored_);
    std::string type = fields.String("type", 64).value_or("");
    if (type.empty() && fields.Object("function") != nullptr) type = "function";
    if (type.empty()) fields.Require("type");
    FACET_TRY(fields.status());
    if (type == "function") return ReadFunction(fields, tool, space);
    if (type == "custom") return ReadCustom(fields, tool, space);
    if (type == "namespace" && space.empty()) return ReadNamespace(fields, path);
    // What a hosted service would run; a model that cannot call it answers all the same.
    if (ignored_ != nullptr) {
      ignored_->Add(Cat(path, ".type=", type));
      return fields.Done();
    }
    fields.Fail("type",
                Cat("expected function, custom or namespace but got ", ShowJson(OrderedJson(type))),
                "unsupported", ErrorKind::kUnsupported);
    return fields.status();
  }

 private:
  Result<void> ReadFunction(JsonFields& fields, OrderedJson& tool, const std::string& space) {
    FACET_ASSIGN(Definition read, ReadDefinition(fields, tool, "function"));
    JsonFields& f = read.fields;
    OrderedJson* parameters = f.Object("parameters");
    if (parameters == nullptr) parameters = f.Object("input_schema");
    const bool strict = f.Bool("strict").value_or(false);
    f.Ignore({"response"});
    FACET_TRY(f.Done());
    OrderedJson none = {{"type", "object"}, {"properties", OrderedJson::object()}};
    OrderedJson out = ChatTool("", read.description,
                               parameters != nullptr ? std::move(*parameters) : std::move(none));
    if (strict) out["function"]["strict"] = true;
    return Offer(std::move(out), {.custom = false, .name = read.name, .space = space});
  }

  // A tool that takes a text. The model sees a function of one string.
  Result<void> ReadCustom(JsonFields& fields, OrderedJson& tool, const std::string& space) {
    FACET_ASSIGN(Definition read, ReadDefinition(fields, tool, "custom"));
    ToolAlias alias{.custom = true, .name = read.name, .space = space};
    std::string about = "The input of the tool, as plain text.";
    if (OrderedJson* format = read.fields.Object("format")) {
      JsonFields f = read.fields.Inside("format", *format);
      ReadInputFormat(f, alias, about);
      read.fields.Adopt(f.Done());
    }
    FACET_TRY(read.fields.Done());
    const OrderedJson parameters = {
        {"type", "object"},
        {"properties", {{"input", {{"type", "string"}, {"description", about}}}}},
        {"required", {"input"}}};
    return Offer(ChatTool("", read.description, parameters), std::move(alias));
  }

  // {"type": "text"}, or {"type": "grammar", "syntax", "definition"}, the latter two in an object
  // `grammar` of their own in the chat API.
  static void ReadInputFormat(JsonFields& format, ToolAlias& alias, std::string& about) {
    if (format.Choice("type", {"text", "grammar"}).value_or("text") == "text") return;
    OrderedJson* nested = format.Object("grammar");
    std::optional<JsonFields> apart;
    if (nested != nullptr) apart.emplace(format.Inside("grammar", *nested));
    JsonFields& inner = apart ? *apart : format;
    inner.Require("definition");
    const std::string syntax = inner.Choice("syntax", {"lark", "regex"}).value_or("lark");
    const std::string definition = inner.String("definition", 1 << 20).value_or("");
    if (apart) format.Adopt(apart->Done());
    about += Cat(" It must have the form of this ",
                 syntax == "lark" ? "Lark grammar" : "regular expression", ":\n", definition);
    alias.input = AnswerForm::Pattern{
        syntax == "lark" ? AnswerForm::Pattern::Kind::kGrammar : AnswerForm::Pattern::Kind::kRegex,
        definition};
  }

  Result<void> ReadNamespace(JsonFields& fields, const std::string& path) {
    fields.Require("name");
    const std::string space = fields.String("name", 128).value_or("");
    if (fields.ok() && !IsToolName(space))
      fields.Fail("name", Cat("expected letters, digits, _ - . : / but got ",
                              ShowJson(OrderedJson(space))));
    OrderedJson* tools = fields.Array("tools", kMaxTools);
    fields.Ignore({"description"});
    FACET_TRY(fields.Done());
    for (size_t i = 0; tools != nullptr && i < tools->size(); ++i)
      FACET_TRY(Read((*tools)[i], Cat(path, ".tools[", i, "]"), space));
    return Ok();
  }

  Result<void> Offer(OrderedJson tool, ToolAlias alias) {
    const std::string shown = ShownName(alias.name, alias.space);
    tool["function"]["name"] = shown;
    out_.tools.push_back(std::move(tool));
    if (alias.custom || !alias.space.empty()) out_.aliases[shown] = std::move(alias);
    return Ok();
  }

  ChatRequest& out_;
  IgnoredFields* ignored_;
};

}  // namespace

void ReadTools(JsonFields& fields, std::string_view name, ChatRequest& out) {
  OrderedJson* tools = fields.Array(name, kMaxTools);
  if (tools == nullptr || tools->empty()) return;
  out.tools = OrderedJson::array();
  ToolReader reader(out, fields.ignored());
  for (size_t i = 0; i < tools->size(); ++i)
    fields.Adopt(reader.Read((*tools)[i], Cat(fields.Path(name), "[", i, "]"), ""));
  if (out.tools.empty()) out.tools = nullptr;
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

std::optional<ToolChoice::Kind> ChoiceKind(const OrderedJson& word) {
  using Kind = ToolChoice::Kind;
  constexpr std::pair<std::string_view, Kind> kKinds[] = {{"auto", Kind::kAuto},
                                                          {"none", Kind::kNone},
                                                          {"required", Kind::kRequired},
                                                          {"any", Kind::kRequired}};
  for (const auto& [name, kind] : kKinds) {
    if (word == name) return kind;
  }
  return std::nullopt;
}

bool IsOffered(const OrderedJson& tools, const std::string& name) {
  return tools.is_array() && std::any_of(tools.begin(), tools.end(), [&](const OrderedJson& tool) {
           return tool["function"]["name"] == name;
         });
}

// {"mode", "tools": [{"type", "name"}]}, around which the chat API has an object `allowed_tools`.
// Tools that were left out of the request are left out here too.
void ReadAllowed(JsonFields& fields, const ChatRequest& chat, ToolChoice& out) {
  const std::string mode = fields.Choice("mode", {"auto", "required"}).value_or("auto");
  out.kind = *ChoiceKind(mode);
  fields.Require("tools");
  OrderedJson* tools = fields.Array("tools", kMaxTools);
  for (size_t i = 0; tools != nullptr && i < tools->size(); ++i) {
    const std::string name = Cat("tools[", i, "]");
    OrderedJson& tool = (*tools)[i];
    if (!tool.is_object()) return fields.FailType(name, "an object", tool);
    JsonFields inner = fields.Inside(name, tool);
    const std::string type = inner.String("type", 64).value_or("function");
    if (type != "function" && type != "custom") continue;
    const std::string space = inner.String("namespace", 128).value_or("");
    const std::string shown = ShownName(ReadChosenName(inner, type), space);
    fields.Adopt(inner.Done());
    if (fields.ok() && !IsOffered(chat.tools, shown))
      fields.Fail(name, Cat("there is no tool named ", ShowJson(OrderedJson(shown))));
    out.allowed.push_back(shown);
  }
}

Result<ToolChoice> ReadToolChoice(ChatRequest& chat, IgnoredFields* ignored) {
  using Kind = ToolChoice::Kind;
  OrderedJson& choice = chat.given_choice;
  if (const auto kind = ChoiceKind(choice)) return ToolChoice{*kind, {}, {}};
  const Error other =
      ChoiceError(Cat("expected none, auto, required or a function but got ", ShowJson(choice)));
  if (!choice.is_object()) return other;
  JsonFields fields(choice, "tool_choice", ignored);
  const std::string type = fields.String("type", 64).value_or("");
  ToolChoice out;
  if (const auto kind = ChoiceKind(type)) {
    out.kind = *kind;
  } else if (type == "function" || type == "custom") {
    const std::string space = fields.String("namespace", 128).value_or("");
    out = {Kind::kNamed, ShownName(ReadChosenName(fields, type), space), {}};
  } else if (type == "allowed_tools") {
    OrderedJson* nested = fields.Object(type);
    std::optional<JsonFields> apart;
    if (nested != nullptr) apart.emplace(fields.Inside(type, *nested));
    ReadAllowed(apart ? *apart : fields, chat, out);
    if (apart) fields.Adopt(apart->Done());
    if (out.allowed.empty() && out.kind == Kind::kRequired && fields.ok())
      return ChoiceError("none of the allowed tools can run here");
    if (out.allowed.empty()) out.kind = Kind::kNone;
  } else {
    return other;
  }
  FACET_TRY(fields.Done());
  return out;
}

Result<void> CheckToolChoice(ChatRequest& chat, IgnoredFields* ignored) {
  using Kind = ToolChoice::Kind;
  if (chat.given_choice.is_null()) return Ok();
  FACET_ASSIGN(chat.tool_choice, ReadToolChoice(chat, ignored));
  const Kind kind = chat.tool_choice.kind;
  if (kind == Kind::kAuto || kind == Kind::kNone) return Ok();
  if (!chat.tools.is_array()) return ChoiceError("there are no tools to choose from");
  if (kind == Kind::kRequired || IsOffered(chat.tools, chat.tool_choice.name)) return Ok();
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

// Ollama's switch: true, false, or an effort.
void ReadThink(JsonFields& fields, std::string_view name, ChatRequest& out) {
  const OrderedJson* think = fields.Any(name);
  if (think == nullptr) return;
  if (think->is_boolean()) {
    out.thinking = think->get<bool>();
  } else if (const auto effort = fields.Choice(name, Efforts())) {
    ApplyEffort(out, *effort);
  }
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
  const std::vector<std::string_view> summaries = {"auto", "concise", "detailed", "none"};
  t.Choice(
       "summary", [](ChatRequest&, const std::string&) {}, summaries,
       "In responses, thoughts are given as the summary of their item too.")
      .Or("generate_summary");
  t.Ignored({"exclude"}, "thoughts are given as they are, in a field of their own");
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
  t.Custom("think", "boolean or string", "", "As `enable_thinking`, or as `reasoning_effort`.",
           ReadThink);
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
  t.Hint({"verbosity"}, "answers are as long as the model makes them");
  return t;
}

// --- the form of the answer

void ReadSchema(JsonFields& fields, bool required, ResponseFormat& out) {
  fields.String("name", 256);
  fields.String("description", 1 << 16);
  fields.Bool("strict");  // a schema is always enforced
  OrderedJson* schema = fields.Object("schema");
  if (schema == nullptr) schema = fields.Object("value");  // as Hugging Face's servers name it
  if (required && schema == nullptr) fields.Require("schema");
  if (schema != nullptr)
    out = {.kind = ResponseFormat::Kind::kJsonSchema, .schema = std::move(*schema)};
}

void ReadOllamaFormat(JsonFields& fields, std::string_view name, ChatRequest& out) {
  OrderedJson* format = fields.Any(name);
  if (format == nullptr || *format == "") return;
  using Kind = ResponseFormat::Kind;
  if (*format == "json") {
    out.common.format = {.kind = Kind::kJsonObject, .param = std::string(name)};
  } else if (format->is_object()) {
    out.common.format = {
        .kind = Kind::kJsonSchema, .schema = std::move(*format), .param = std::string(name)};
  } else {
    fields.FailType(name, "'json' or a JSON schema", *format);
  }
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
  t.Include(ChoiceFields(1), &ChatRequest::common);
  t.Flag(
      "continue_final_message", &ChatRequest::continue_final,
      "True: the answer goes on with the last message, which must be the assistant's. Without it, "
      "that is done where such a message is the last.");
  t.Flag(
      "add_generation_prompt", &ChatRequest::generation_prompt,
      "True: a last message of the assistant is not continued. False: the prompt ends behind the "
      "last message.");
  t.Flag("logprobs", &ChatRequest::logprobs, "Log-probabilities of the tokens of the content.");
  t.Integer("top_logprobs", &ChatRequest::given_top_logprobs, 0, kMaxTopLogprobs,
            "For each of them, so many of the likeliest tokens; needs `logprobs`.");
  t.Custom("response_format", "object", "",
           "A form that the answer must have: see [Structured answers](#structured-answers).",
           [](JsonFields& fields, std::string_view name, ChatRequest& out) {
             ReadFormat(fields, name, out.common);
           });
  t.Custom("format", "string or object", "", "As Ollama has it: `json`, or a JSON schema.",
           ReadOllamaFormat);
  t.Only("echo", false, "The conversation is not repeated.");
  t.Only("modalities", OrderedJson::array({"text"}), "Answers are text.");
  t.Ignored({"store"}, "chats are not kept; the responses API can keep its answers");
  t.Refused({"functions", "function_call"}, "the older form of calls; use tools and tool_choice");
  t.Refused({"audio", "web_search_options"}, "this server writes text and searches nothing");
  t.Refused({"prompt_logprobs"}, "use /v1/completions with echo and logprobs");
  return t;
}

}  // namespace

void ReadFormat(JsonFields& fields, std::string_view name, Common& out) {
  using Kind = ResponseFormat::Kind;
  OrderedJson* format = fields.Object(name);
  if (format == nullptr) return;
  JsonFields inner = fields.Inside(name, *format);
  inner.Require("type");
  const std::string type =
      inner.Choice("type", {"text", "json_object", "json_schema", "json", "regex", "grammar"})
          .value_or("");
  ResponseFormat read;
  if (type == "regex" || type == "grammar") {
    read.kind = type == "regex" ? Kind::kRegex : Kind::kGrammar;
    const char* holder = inner.Any("value") != nullptr ? "value" : type.c_str();
    inner.Require(holder);
    read.text = inner.MoveString(holder, 1 << 20).value_or("");
  } else if (OrderedJson* nested = inner.Object("json_schema")) {
    JsonFields named = inner.Inside("json_schema", *nested);
    ReadSchema(named, true, read);
    inner.Adopt(named.Done());
  } else {
    ReadSchema(inner, type == "json_schema" || type == "json", read);
  }
  fields.Adopt(inner.Done());
  if (!fields.ok()) return;
  if (type == "json_object" && read.kind == Kind::kText) read.kind = Kind::kJsonObject;
  if (type == "text") read = {};
  read.param = fields.Path(name);
  out.format = std::move(read);
}

std::string ShownName(const std::string& name, const std::string& space) {
  return space.empty() ? name : Cat(space, ".", name);
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

namespace {

// Sets what the fields leave open.
Result<void> CheckContinued(ChatRequest& chat) {
  const OrderedJson& last = chat.conversation.messages.back();
  const bool can = last["role"] == "assistant" && !last.contains("tool_calls");
  if (!chat.continue_final) chat.continue_final = can && !chat.generation_prompt.value_or(false);
  if (!*chat.continue_final || can) return Ok();
  return Error{
      "continue_final_message: the last message must be one of the assistant without calls",
      ErrorKind::kInvalid, "invalid_value", "continue_final_message"};
}

}  // namespace

Result<ChatRequest> ReadChat(OrderedJson body, const MediaAccess& access, IgnoredFields* ignored) {
  ChatRequest chat;
  FACET_TRY(ChatFields().ReadAll(body, chat, ignored));
  FACET_TRY(CheckDialogue(chat, ignored));
  if (chat.given_top_logprobs.value_or(0) > 0 && !chat.logprobs) {
    return Error{"top_logprobs: logprobs must be true as well", ErrorKind::kInvalid,
                 "invalid_value", "top_logprobs"};
  }
  if (chat.logprobs) chat.common.top_logprobs = chat.given_top_logprobs.value_or(0);
  MediaIntake intake(access);
  ConversationReader reader(RequestRules(intake, ignored));
  FACET_TRY(reader.ReadAll(std::move(chat.given_messages), "messages"));
  chat.conversation = {std::move(reader.messages()), std::move(intake.media())};
  FACET_TRY(CheckContinued(chat));
  return chat;
}

}  // namespace facet::serve
