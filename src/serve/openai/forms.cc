#include "serve/openai/forms.h"

#include <algorithm>
#include <set>

#include "base/clock.h"
#include "serve/openai/finite_schema.h"

namespace facet::serve {
namespace {

using Constraint = std::unique_ptr<TokenConstraint>;

// Looking for the place of an error may take this long, and so many attempts.
constexpr double kMaxSearchSeconds = 5;
constexpr int kMaxAttempts = 200;

// Bytes of a grammar, which is about as long as the schemas that it is made of.
constexpr size_t kMaxGrammar = size_t{2} << 20;

bool IsStrict(const OrderedJson& tool) {
  return tool["function"].value("strict", false);
}

// Not the form's fault: the machine has no time, or the client has left.
bool IsPassing(const Error& error) {
  return error.kind == ErrorKind::kBusy || error.kind == ErrorKind::kCancelled;
}

// What the compiler says, without the lines of the grammar, which nobody has written.
Error WithoutGrammar(Error error) {
  constexpr std::string_view kSchema = "failed to compile JSON schema: ";
  std::string& text = error.message;
  if (const size_t at = text.find(kSchema); at != text.npos) text.erase(0, at + kSchema.size());
  for (const char* end : {"\n   1 | ", "\n<non-verbose/>"}) {
    if (const size_t at = text.find(end); at != text.npos) text.erase(at);
  }
  if (text == "NoExtensionBias") text = "no text fits";
  return error;
}

// Compiles forms over the vocabulary of one model.
class FormCompiler {
 public:
  FormCompiler(const Tokenizer& tokenizer, const ConstraintVocabulary& vocabulary,
               std::stop_token stop)
      : tokenizer_(tokenizer), vocabulary_(vocabulary), stop_(std::move(stop)) {}

  // The whole form; what it cannot enforce of tools that are not strict is left out of it.
  Result<Constraint> Compile(AnswerForm form) {
    if (!form.schema.is_null()) FACET_TRY(CheckFinite(form.schema));
    Result<Constraint> whole = Attempt(form);
    if (!whole && !IsPassing(whole.error()) && !form.inputs.empty()) {
      // A grammar that cannot be enforced is a hint: the model has read it with the tool.
      form.inputs.clear();
      whole = Attempt(form);
    }
    if (whole || IsPassing(whole.error())) return whole;
    if (!form.schema.is_null()) {
      const bool only = !form.tools.is_array();
      FACET_TRY(CheckSchema(form.schema, only ? whole.error() : AttemptSchema(form.schema)));
    }
    if (!form.tools.is_array() || !Loosen(form, whole)) return whole.error();
    return Attempt(form);
  }

 private:
  Result<Constraint> Attempt(const AnswerForm& form) const {
    FACET_ASSIGN(const std::string grammar, AnswerGrammar(form, tokenizer_));
    if (grammar.size() > kMaxGrammar)
      return Error{"the schema is too large", ErrorKind::kUnsupported};
    auto compiled = vocabulary_.Compile(grammar, stop_);
    if (!compiled) return WithoutGrammar(compiled.error());
    return compiled;
  }
  bool Exhausted() {
    return stop_.stop_requested() || ++attempts_ > kMaxAttempts ||
           SecondsSince(begin_) > kMaxSearchSeconds;
  }

  // --- schemas

  // `whole`: how it went with all of the schema.
  Result<void> CheckSchema(const OrderedJson& root, const Result<void>& whole) {
    if (whole) return Ok();
    std::string place = "schema";
    Error error = whole.error();
    Descend(root, root, place, error);
    return error.In(place);
  }
  Result<void> AttemptSchema(const OrderedJson& schema) const {
    const auto compiled = Attempt({.schema = schema, .tools = {}, .only = {}});
    return compiled ? Ok() : Result<void>(compiled.error());
  }

  // From a schema that fails to the deepest part of it that fails by itself. `root` is what its
  // references speak of.
  void Descend(const OrderedJson& schema, const OrderedJson& root, std::string& place,
               Error& error) {
    for (const auto& [name, part] : PartsOf(schema, root)) {
      const OrderedJson alone = WithDefinitions(*part, root);
      if (!alone.is_object() || Exhausted()) continue;
      const Result<void> attempt = AttemptSchema(alone);
      if (attempt || IsPassing(attempt.error())) continue;
      place += name;
      error = attempt.error();
      return Descend(*part, root, place, error);
    }
  }

  using Parts = std::vector<std::pair<std::string, const OrderedJson*>>;

  // The schemas that one is made of, by their places in it.
  Parts PartsOf(const OrderedJson& schema, const OrderedJson& root) {
    Parts parts;
    for (const auto& [key, value] : schema.items()) {
      static const std::set<std::string, std::less<>> kNamed = {"properties", "patternProperties",
                                                                "dependentSchemas"};
      static const std::set<std::string, std::less<>> kOther = {
          "items", "prefixItems", "additionalProperties", "anyOf",    "oneOf",
          "allOf", "not",         "propertyNames",        "contains", "if",
          "then",  "else"};
      if (kNamed.contains(key) && value.is_object()) {
        for (const auto& [name, part] : value.items())
          parts.emplace_back(Cat(".", key, ".", name), &part);
      } else if (kOther.contains(key) && value.is_array()) {
        for (size_t i = 0; i < value.size(); ++i)
          parts.emplace_back(Cat(".", key, "[", i, "]"), &value[i]);
      } else if (kOther.contains(key)) {
        parts.emplace_back(Cat(".", key), &value);
      } else if (key == "$ref" && value.is_string()) {
        AddTarget(value.get<std::string>(), root, parts);
      }
    }
    return parts;
  }
  void AddTarget(const std::string& ref, const OrderedJson& root, Parts& parts) {
    if (!IsDefinition(ref) || !followed_.insert(ref).second) return;
    try {
      parts.emplace_back(Cat(" (", ref, ")"), &root.at(OrderedJson::json_pointer(ref.substr(1))));
    } catch (const OrderedJson::exception&) {
      // There is no such place, which is what is wrong with the schema.
    }
  }
  static bool IsDefinition(std::string_view ref) {
    return ref.starts_with("#/$defs/") || ref.starts_with("#/definitions/");
  }

  // The part as a schema of its own; null where it refers to what is outside the definitions.
  static OrderedJson WithDefinitions(const OrderedJson& part, const OrderedJson& root) {
    if (!part.is_object() || RefersElsewhere(part)) return nullptr;
    OrderedJson alone = part;
    for (const char* key : {"$defs", "definitions"}) {
      if (root.contains(key) && !alone.contains(key)) alone[key] = root[key];
    }
    return alone;
  }
  static bool RefersElsewhere(const OrderedJson& value) {
    if (value.is_object() && value.contains("$ref") && value["$ref"].is_string() &&
        !IsDefinition(value["$ref"].get_ref<const std::string&>()))
      return true;
    return value.is_structured() && std::any_of(value.begin(), value.end(), RefersElsewhere);
  }

  // --- tools

  // Takes what cannot be enforced from tools that are not strict. False: it is not that, or a
  // strict tool's, and `whole` says so.
  bool Loosen(AnswerForm& form, Result<Constraint>& whole) {
    bool changed = false;
    for (size_t i = 0; i < form.tools.size(); ++i) {
      OrderedJson& tool = form.tools[i];
      if (form.only && tool["function"]["name"] != *form.only) continue;
      const Result<Constraint> alone = Attempt({.schema = {},
                                                .tools = OrderedJson::array({tool}),
                                                .calls = AnswerForm::Calls::kMust,
                                                .only = {}});
      if (alone || IsPassing(alone.error())) continue;
      if (IsStrict(tool)) {
        whole = alone.error().In(Cat("tools[", i, "].function.parameters"));
        return false;
      }
      tool["function"]["parameters"] = {{"type", "object"}};
      changed = true;
    }
    return changed;
  }

  const Tokenizer& tokenizer_;
  const ConstraintVocabulary& vocabulary_;
  const std::stop_token stop_;
  const Clock::time_point begin_ = Clock::now();
  int attempts_ = 0;
  std::set<std::string> followed_;  // references
};

}  // namespace

std::optional<RequestedForm> TextFormOf(const ResponseFormat& format) {
  using Kind = ResponseFormat::Kind;
  using Pattern = AnswerForm::Pattern;
  RequestedForm out{.form = {}, .param = format.param.empty() ? "response_format" : format.param};
  switch (format.kind) {
    case Kind::kText:
      return std::nullopt;
    case Kind::kJsonObject:
      out.form.schema = {{"type", "object"}};
      break;
    case Kind::kJsonSchema:
      out.form.schema = format.schema;
      break;
    case Kind::kRegex:
      out.form.pattern = Pattern{Pattern::Kind::kRegex, format.text};
      break;
    case Kind::kGrammar:
      out.form.pattern = Pattern{Pattern::Kind::kGrammar, format.text};
      break;
    case Kind::kChoice:
      out.form.choices = format.choices;
  }
  return out;
}

namespace {

// A custom tool says what its text must look like.
bool HasInputForm(const ChatRequest& chat) {
  return std::any_of(chat.aliases.begin(), chat.aliases.end(),
                     [](const auto& alias) { return alias.second.input.has_value(); });
}

// The tools that may be called, and how.
void AddTools(const ChatRequest& chat, AnswerForm& form) {
  const std::vector<std::string>& allowed = chat.tool_choice.allowed;
  form.tools = OrderedJson::array();
  for (const OrderedJson& tool : chat.tools) {
    const auto name = tool["function"]["name"].get<std::string>();
    if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), name) == allowed.end())
      continue;
    form.tools.push_back(tool);
    const auto alias = chat.aliases.find(name);
    if (alias != chat.aliases.end() && alias->second.input)
      form.inputs[name] = *alias->second.input;
  }
  if (chat.tool_choice.kind == ToolChoice::Kind::kNamed) form.only = chat.tool_choice.name;
}

}  // namespace

std::optional<RequestedForm> FormOf(const ChatRequest& chat, bool open_thinking) {
  using Kind = ToolChoice::Kind;
  RequestedForm out;
  AnswerForm& form = out.form;
  const bool must =
      chat.tool_choice.kind == Kind::kRequired || chat.tool_choice.kind == Kind::kNamed;
  const bool tools = chat.tools.is_array() && chat.tool_choice.kind != Kind::kNone;
  if (must) {
    out.param = "tool_choice";
    form.calls = AnswerForm::Calls::kMust;
  } else if (auto text = TextFormOf(chat.common.format)) {
    out = *std::move(text);
  } else if (tools && !chat.tool_choice.allowed.empty()) {
    out.param = "tool_choice";
  } else if (tools &&
             (HasInputForm(chat) || std::any_of(chat.tools.begin(), chat.tools.end(), IsStrict))) {
    out.param = "tools";
  } else {
    return std::nullopt;
  }
  if (tools) AddTools(chat, form);
  form.parallel = chat.parallel_calls;
  using Thinking = AnswerForm::Thinking;
  // Where text is free anyway, a model that thinks unasked is let think.
  const bool free = !form.text_has_form() && form.calls == AnswerForm::Calls::kMay;
  form.thinking = open_thinking                  ? Thinking::kOpen
                  : chat.thinking.value_or(free) ? Thinking::kMay
                                                 : Thinking::kNone;
  return out;
}

Result<void> Constrain(const LoadedModel& model, const RequestedForm& form,
                       std::vector<AnswerJob::Run>& runs, std::stop_token stop) {
  const auto refuse = [&](const Error& error) {
    if (IsPassing(error)) return error;
    return Error{Cat(form.param, ": ", error.message), ErrorKind::kInvalid, "unsupported_schema",
                 form.param};
  };
  const auto vocabulary = model.Constraints();
  if (!vocabulary) return refuse(vocabulary.error());
  auto first = FormCompiler(*model.tokenizer, **vocabulary, std::move(stop)).Compile(form.form);
  if (!first) return refuse(first.error());
  for (size_t i = 1; i < runs.size(); ++i) {
    runs[i].request.constraint = (*first)->Copy();
    if (runs[i].request.constraint == nullptr)
      return Error{"no memory for another answer's constraint", ErrorKind::kResource};
  }
  runs[0].request.constraint = std::move(*first);
  return Ok();
}

}  // namespace facet::serve
