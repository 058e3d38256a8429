#include "chat/grammar.h"

#include <text_core.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>

#include "chat/gbnf.h"

namespace facet {
namespace {

using nlohmann::json;

// White space between JSON tokens is bounded, so that no answer can consist of it.
constexpr const char* kWhitespace = R"([ \n\r\t]{0,8})";
constexpr int kMaxDepth = 64;
constexpr size_t kMaxRules = 20000;

std::string Literal(std::string_view text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string RegexLiteral(std::string_view pattern) {
  std::string out = "/";
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) {
      out.append({'\\', pattern[++i]});
    } else if (pattern[i] == '/') {
      out += "\\/";
    } else if (pattern[i] == '\n') {
      out += "\\n";
    } else {
      out.push_back(pattern[i]);
    }
  }
  return out + "/";
}

// This text and no other, as a regular expression.
std::string EscapedPattern(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}-&~#").find(c) != std::string_view::npos) out += '\\';
    out.push_back(c);
  }
  return out;
}

bool CanBeEnforced(const std::string& pattern) {
  tc_text error{};
  const bool can = tc_pattern_check(pattern.data(), pattern.size(), &error) == TC_OK;
  if (!can) tc_text_free(error);
  return can;
}

// A pattern of JSON Schema matches anywhere unless it is anchored.
std::string WholePattern(std::string pattern) {
  const bool begin = pattern.starts_with('^'),
             end = pattern.ends_with('$') && !pattern.ends_with("\\$");
  if (begin) pattern.erase(0, 1);
  if (end) pattern.pop_back();
  return Cat(begin ? "" : "(?s:.*)", "(", pattern, ")", end ? "" : "(?s:.*)");
}

const std::set<std::string, std::less<>> kAnnotations = {
    "title",    "description", "default", "examples",    "example",         "$schema",
    "$id",      "$comment",    "$defs",   "definitions", "format",          "deprecated",
    "readOnly", "writeOnly",   "x-order", "$anchor",     "contentEncoding", "contentMediaType",
    "nullable", "strict"};

// Rules of one grammar.
class GrammarBuilder {
 public:
  explicit GrammarBuilder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  Result<std::string> Special(const char* token) const {
    const auto id = tokenizer_.Find(token);
    if (!id) return Error{Cat("this model's vocabulary has no ", token), ErrorKind::kUnsupported};
    return Cat("<[", *id, "]>");
  }
  std::string Rule(const std::string& body) {
    const std::string name = Cat("r", rules_.size());
    rules_.emplace_back(name, body);
    return name;
  }
  std::string Terminal(const std::string& body) {
    const auto [it, fresh] = terminals_.try_emplace(body, terminals_.size());
    return Cat("T", it->second);
  }
  std::string Text() { return Terminal("/(?s:.+)/"); }

  std::string Finish(const std::string& start) const {
    std::string out = Cat("start: ", start, "\n");
    for (const auto& [name, body] : rules_) out += Cat(name, ": ", body, "\n");
    for (const auto& [body, number] : terminals_) out += Cat("T", number, ": ", body, "\n");
    return out;
  }

  struct Size {
    size_t rules = 0, terminals = 0;
  };
  Size size() const { return {rules_.size(), terminals_.size()}; }
  // Drops what was added since the builder had this size; nothing that stays may name it.
  void Shrink(Size size) {
    rules_.resize(size.rules);
    std::erase_if(terminals_, [&](const auto& entry) { return entry.second >= size.terminals; });
  }
  // Reserves a name that refers to itself while its body is built.
  size_t Reserve() {
    rules_.emplace_back(Cat("r", rules_.size()), "");
    return rules_.size() - 1;
  }
  std::string Set(size_t place, const std::string& body) {
    rules_[place].second = body;
    return rules_[place].first;
  }

 private:
  const Tokenizer& tokenizer_;
  std::vector<std::pair<std::string, std::string>> rules_;
  std::map<std::string, size_t> terminals_;  // body to number
};

// Values in the tool notation that fit a JSON schema.
class NotationGrammar {
 public:
  NotationGrammar(GrammarBuilder& builder, std::string quote)
      : b_(builder), quote_(std::move(quote)) {}

  // A rule of what fits the schema. On an error the grammar is as it was before.
  Result<std::string> Arguments(const json& schema) {
    root_ = schema;
    refs_.clear();
    const GrammarBuilder::Size before = b_.size();
    const std::string any = any_, any_object = any_object_;
    auto rule = Value(root_, "parameters", 0);
    if (rule.ok()) return rule;
    b_.Shrink(before);
    any_ = any;
    any_object_ = any_object;
    return rule;
  }
  // Any object.
  std::string AnyObject() {
    if (any_object_.empty()) MakeAny();
    return any_object_;
  }

 private:
  static Error Cannot(std::string_view keyword, const std::string& where) {
    return {Cat(where, ": '", keyword, "' cannot be enforced"), ErrorKind::kUnsupported};
  }

  using Names = std::set<std::string, std::less<>>;
  // Refuses every keyword that says something about values, but for those that are known.
  static Result<void> Only(const json& schema, const Names& known, const std::string& where) {
    for (const auto& [key, value] : schema.items()) {
      const bool free = kAnnotations.contains(key) || (key == "uniqueItems" && value == false);
      if (!free && !known.contains(key)) return Cannot(key, where);
    }
    return Ok();
  }

  // The types that a schema allows, as a list.
  static json Types(const json& schema) {
    json types = schema["type"].is_array() ? schema["type"] : json::array({schema["type"]});
    if (schema.value("nullable", json(false)) == true) types.push_back("null");
    return types;
  }
  // Those of `types` that `others` allow too.
  static json Common(const json& types, const json& others) {
    const auto allowed = [&](const json& type) {
      return std::find(others.begin(), others.end(), type) != others.end();
    };
    json out = json::array();
    for (const json& type : types) {
      if (allowed(type) || (type == "integer" && allowed("number"))) {
        out.push_back(type);
      } else if (type == "number" && allowed("integer")) {
        out.push_back("integer");
      }
    }
    return out;
  }
  static bool IsOf(const json& value, const json& types) {
    return std::any_of(types.begin(), types.end(), [&](const json& type) {
      if (type == "integer")
        return value.is_number() && value.get<double>() == std::floor(value.get<double>());
      return type == (value.is_number() ? "number" : value.type_name());
    });
  }

  std::string Quoted(const std::string& inside) { return Cat(quote_, " ", inside, " ", quote_); }
  std::string AnyString() { return Quoted(b_.Text() + "?"); }
  // A bare name, as the notation writes keys.
  static bool IsBare(const std::string& key) {
    return !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
      return std::isalnum(c) || c == '_' || c == '-' || c == '$' || c == '.';
    });
  }
  std::string Key(const std::string& key) {
    return IsBare(key) ? Literal(key + ":") : Cat(Quoted(Literal(key)), " \":\"");
  }
  std::string FreeKey() { return b_.Terminal("/[A-Za-z_$][A-Za-z0-9_.$-]{0,63}/"); }
  std::string Json(const json& schema) { return b_.Rule(Cat("%json ", schema.dump())); }

  void MakeAny() {
    const size_t any = b_.Reserve();
    const std::string self = Cat("r", any);
    any_object_ = b_.Rule(Cat("\"{\" (", FreeKey(), " \":\" ", self, " (\",\" ", FreeKey(),
                              " \":\" ", self, ")*)? \"}\""));
    const std::string array = b_.Rule(Cat("\"[\" (", self, " (\",\" ", self, ")*)? \"]\""));
    any_ = b_.Set(any, Cat(AnyString(), " | ", Json({{"type", "number"}}),
                           " | \"true\" | \"false\" | \"null\" | ", array, " | ", any_object_));
  }
  std::string Any() {
    if (any_.empty()) MakeAny();
    return any_;
  }

  Result<std::string> Value(const json& schema, const std::string& where, int depth) {
    if (depth > kMaxDepth || b_.size().rules > kMaxRules)
      return Error{Cat(where, ": the schema is too large"), ErrorKind::kUnsupported};
    if (schema.is_boolean())
      return schema.get<bool>() ? Result<std::string>(Any()) : Cannot("false", where);
    if (!schema.is_object()) return Error{Cat(where, ": expected a schema")};
    if (schema.contains("$ref")) return Reference(schema, where, depth);
    FACET_ASSIGN(std::string body, Alternatives(schema, where, depth));
    if (schema.value("nullable", json(false)) == true) body += " | \"null\"";
    return b_.Rule(body);
  }

  // What a $ref means.
  Result<json> Target(const json& schema, const std::string& where) const {
    if (!schema["$ref"].is_string()) return Error{Cat(where, ".$ref: expected a string")};
    const auto ref = schema["$ref"].get<std::string>();
    if (!ref.starts_with("#")) return Cannot("$ref", where);
    try {
      return root_.at(json::json_pointer(ref.substr(1)));
    } catch (const json::exception&) {
      return Error{Cat(where, ".$ref: there is no ", ref)};
    }
  }

  Result<std::string> Reference(const json& schema, const std::string& where, int depth) {
    // Keywords beside the reference would have to hold as well.
    FACET_TRY(Only(schema, {"$ref"}, where));
    FACET_ASSIGN(const json target, Target(schema, where));
    const auto ref = schema["$ref"].get<std::string>();
    if (const auto known = refs_.find(ref); known != refs_.end()) return known->second;
    const size_t place = b_.Reserve();
    refs_[ref] = Cat("r", place);
    FACET_ASSIGN(const std::string body, Value(target, where, depth + 1));
    return b_.Set(place, body);
  }

  Result<std::string> Alternatives(const json& schema, const std::string& where, int depth) {
    if (schema.contains("const")) {
      FACET_TRY(Only(schema, {"const", "type"}, where));
      return Values(json::array({schema["const"]}), schema, where);
    }
    if (schema.contains("enum")) return Enumeration(schema, where);
    for (const char* name : {"anyOf", "oneOf", "allOf"}) {
      if (!schema.contains(name)) continue;
      const json& list = schema[name];
      if (!list.is_array() || list.empty())
        return Error{Cat(where, ".", name, ": expected schemas")};
      // A schema beside the alternatives would have to hold as well.
      FACET_TRY(Only(schema, {name, "type"}, where));
      if (std::string_view(name) == "allOf" && list.size() > 1) return Cannot("allOf", where);
      std::string body;
      for (size_t i = 0; i < list.size(); ++i) {
        const std::string place = Cat(where, ".", name, "[", i, "]");
        FACET_ASSIGN(const json member, Narrowed(list[i], schema, place));
        FACET_ASSIGN(const std::string one, Value(member, place, depth + 1));
        body += (body.empty() ? "" : " | ") + one;
      }
      return body;
    }
    if (!schema.contains("type")) return Untyped(schema, where, depth);
    const json types = schema["type"].is_array() ? schema["type"] : json::array({schema["type"]});
    std::string body;
    for (const json& type : types) {
      if (!type.is_string()) return Error{Cat(where, ".type: expected a name")};
      FACET_ASSIGN(const std::string one,
                   Typed(type.get<std::string>(), schema, types.size() > 1, where, depth));
      body += (body.empty() ? "" : " | ") + one;
    }
    return body;
  }

  // One of the alternatives, held to the type beside them as well.
  Result<json> Narrowed(const json& member, const json& outer, const std::string& where) const {
    if (!outer.contains("type") || !(member.is_object() || member == true)) return member;
    const json types = Types(outer);
    json out = member == true ? json::object() : member;
    if (out.contains("$ref")) {
      FACET_ASSIGN(const json target, Target(out, where));
      const bool narrow = target.is_object() && target.contains("type") &&
                          Common(Types(target), types) == Types(target);
      return narrow ? Result<json>(out) : Cannot("type", where);
    }
    out["type"] = out.contains("type") ? Common(Types(out), types) : types;
    if (out["type"].empty()) return Cannot("type", where);
    out.erase("nullable");  // the types say it
    return out;
  }

  Result<std::string> Untyped(const json& schema, const std::string& where, int depth) {
    if (schema.contains("properties")) return Typed("object", schema, false, where, depth);
    if (schema.contains("items")) return Typed("array", schema, false, where, depth);
    FACET_TRY(Only(schema, {}, where));
    return Any();
  }

  // Every keyword must be known for the type; with several types, those that the others enforce are
  // allowed.
  static Result<void> Check(const json& schema, Names known, bool several,
                            const std::string& where) {
    static const Names kAll = {"properties",
                               "required",
                               "additionalProperties",
                               "patternProperties",
                               "items",
                               "minItems",
                               "maxItems",
                               "minLength",
                               "maxLength",
                               "pattern",
                               "minimum",
                               "maximum",
                               "exclusiveMinimum",
                               "exclusiveMaximum",
                               "multipleOf"};
    known.insert("type");
    if (several) known.insert(kAll.begin(), kAll.end());
    return Only(schema, known, where);
  }

  Result<std::string> Typed(const std::string& type, const json& schema, bool several,
                            const std::string& where, int depth) {
    if (type == "null" || type == "boolean") {
      // Keywords of other types do not concern these.
      FACET_TRY(Check(schema, {}, true, where));
      return std::string(type == "null" ? "\"null\"" : "\"true\" | \"false\"");
    }
    if (type == "string") return StringOf(schema, several, where);
    if (type == "integer" || type == "number") {
      const Names known = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
                           "multipleOf"};
      FACET_TRY(Check(schema, known, several, where));
      if (schema.contains("minimum") && schema.contains("maximum") &&
          schema["minimum"].is_number() && schema["maximum"] < schema["minimum"])
        return Error{Cat(where, ": maximum is below minimum")};
      json number = {{"type", type}};
      for (const std::string& key : known) {
        if (schema.contains(key)) number[key] = schema[key];
      }
      return Json(number);
    }
    if (type == "array") return ArrayOf(schema, several, where, depth);
    if (type == "object") return ObjectOf(schema, several, where, depth);
    return Error{Cat(where, ".type: unknown type '", type, "'")};
  }

  static Result<int> Count(const json& schema, const char* key, int fallback,
                           const std::string& where) {
    if (!schema.contains(key)) return fallback;
    if (!schema[key].is_number_integer() || schema[key].get<double>() < 0 ||
        schema[key].get<double>() > 100000) {
      return Expected("an integer from 0 to 100000", schema[key].dump(), Cat(where, ".", key));
    }
    return schema[key].get<int>();
  }

  Result<std::string> StringOf(const json& schema, bool several, const std::string& where) {
    FACET_TRY(Check(schema, {"minLength", "maxLength", "pattern"}, several, where));
    FACET_ASSIGN(const int least, Count(schema, "minLength", 0, where));
    FACET_ASSIGN(const int most, Count(schema, "maxLength", -1, where));
    if (most >= 0 && most < least) return Error{Cat(where, ": maxLength is below minLength")};
    if (most == 0) return Quoted("");
    std::string terminal;
    bool may_be_empty = least == 0;
    if (schema.contains("pattern")) {
      if (!schema["pattern"].is_string()) return Error{Cat(where, ".pattern: expected a string")};
      const std::string pattern = WholePattern(schema["pattern"].get<std::string>());
      if (!CanBeEnforced(pattern)) return Cannot("pattern", where);
      terminal = RegexLiteral(pattern);
      may_be_empty = false;
    }
    if (least > 0 || most >= 0) {
      const std::string length =
          Cat("/(?s:.{", std::max(1, least), ",", most < 0 ? "" : std::to_string(most), "})/");
      terminal += (terminal.empty() ? "" : " & ") + length;
    }
    if (terminal.empty()) return AnyString();
    return Quoted(b_.Terminal(terminal) + (may_be_empty ? "?" : ""));
  }

  Result<std::string> ArrayOf(const json& schema, bool several, const std::string& where,
                              int depth) {
    FACET_TRY(Check(schema, {"items", "minItems", "maxItems"}, several, where));
    FACET_ASSIGN(const int least, Count(schema, "minItems", 0, where));
    FACET_ASSIGN(const int most, Count(schema, "maxItems", -1, where));
    if (most >= 0 && most < least) return Error{Cat(where, ": maxItems is below minItems")};
    if (most == 0) return std::string("\"[\" \"]\"");
    std::string item = Any();
    if (schema.contains("items")) {
      FACET_ASSIGN(item, Value(schema["items"], where + ".items", depth + 1));
    }
    const std::string more = Cat("(\",\" ", item, "){", std::max(0, least - 1), ",",
                                 most < 0 ? "" : std::to_string(most - 1), "}");
    const std::string some = Cat(item, " ", more);
    return Cat("\"[\" ", least > 0 ? some : "(" + some + ")?", " \"]\"");
  }

  Result<std::string> ObjectOf(const json& schema, bool several, const std::string& where,
                               int depth) {
    FACET_TRY(Check(schema, {"properties", "required", "additionalProperties", "patternProperties"},
                    several, where));
    const json properties = schema.value("properties", json::object());
    if (!properties.is_object()) return Error{Cat(where, ".properties: expected an object")};
    std::set<std::string> required;
    for (const json& name : schema.value("required", json::array())) {
      if (!name.is_string()) return Error{Cat(where, ".required: expected names")};
      if (!properties.contains(name.get<std::string>())) {
        return Error{Cat(where, ".required: '", name.get<std::string>(), "' is no property"),
                     ErrorKind::kUnsupported};
      }
      required.insert(name.get<std::string>());
    }
    if (properties.empty()) return Map(schema, where, depth);
    // Named properties that match a pattern would have to fit both schemas.
    if (!schema.value("patternProperties", json::object()).empty())
      return Cannot("patternProperties", where);
    // In the order in which the chat template writes them; further properties are left out, which
    // every schema allows.
    std::vector<std::pair<std::string, bool>> members;
    for (const auto& [name, value] : properties.items()) {
      FACET_ASSIGN(const std::string rule,
                   Value(value, Cat(where, ".properties.", name), depth + 1));
      members.emplace_back(Cat(Key(name), " ", rule), required.contains(name));
    }
    std::string tail, head;
    for (size_t i = members.size(); i-- > 0;) {
      const auto& [member, must] = members[i];
      const std::string after = tail.empty() ? "" : " " + tail;
      const bool last_head = i + 1 == members.size();
      const std::string with = member + after;
      head =
          must ? b_.Rule(with) : b_.Rule(last_head ? Cat("(", with, ")?") : Cat(with, " | ", head));
      tail = b_.Rule(must ? Cat("\",\" ", member, after) : Cat("(\",\" ", member, ")?", after));
    }
    return Cat("\"{\" ", head, " \"}\"");
  }

  // An object without named properties.
  Result<std::string> Map(const json& schema, const std::string& where, int depth) {
    std::string value = Any(), key = FreeKey();
    if (schema.contains("patternProperties") && !schema["patternProperties"].empty()) {
      const json& patterns = schema["patternProperties"];
      if (!patterns.is_object() || patterns.size() != 1) return Cannot("patternProperties", where);
      const std::string pattern = patterns.begin().key();
      if (pattern != "^.*$" && pattern != ".*" && pattern != "^.+$") {
        const std::string whole = WholePattern(pattern);
        if (!CanBeEnforced(whole)) return Cannot("patternProperties", where);
        key = b_.Terminal(Cat(RegexLiteral(whole), " & /[A-Za-z0-9_.$-]{1,64}/"));
      }
      FACET_ASSIGN(value, Value(patterns.begin().value(), where + ".patternProperties", depth + 1));
    } else if (schema.contains("additionalProperties")) {
      if (schema["additionalProperties"] == false) return std::string("\"{\" \"}\"");
      FACET_ASSIGN(
          value, Value(schema["additionalProperties"], where + ".additionalProperties", depth + 1));
    }
    const std::string pair = b_.Rule(Cat(key, " \":\" ", value));
    return Cat("\"{\" (", pair, " (\",\" ", pair, ")*)? \"}\"");
  }

  Result<std::string> Constant(const json& value, const std::string& where) {
    if (value.is_string()) {
      const auto& text = value.get_ref<const std::string&>();
      return Quoted(text.empty() ? "" : Literal(text));
    }
    if (value.is_primitive()) return Literal(value.dump());
    return Cannot("const", where);
  }
  Result<std::string> Enumeration(const json& schema, const std::string& where) {
    FACET_TRY(Only(schema, {"enum", "type"}, where));
    const json& values = schema["enum"];
    if (!values.is_array() || values.empty()) return Error{Cat(where, ".enum: expected values")};
    return Values(values, schema, where + ".enum");
  }
  // Those of the values that have the schema's type. Texts are one pattern: as alternatives of the
  // grammar, thousands of them would exceed its limits at each step.
  Result<std::string> Values(const json& values, const json& schema, const std::string& where) {
    std::string body, texts;
    for (const json& value : values) {
      if (schema.contains("type") && !IsOf(value, Types(schema))) continue;
      if (value.is_string() && value != "") {
        texts += Cat(texts.empty() ? "" : "|", EscapedPattern(value.get_ref<const std::string&>()));
        continue;
      }
      FACET_ASSIGN(const std::string one, Constant(value, where));
      body += (body.empty() ? "" : " | ") + one;
    }
    if (!texts.empty()) {
      const std::string one = Quoted(b_.Terminal(RegexLiteral(Cat("(", texts, ")"))));
      body += (body.empty() ? "" : " | ") + one;
    }
    if (body.empty()) return Cannot("type", where);
    return body;
  }

  GrammarBuilder& b_;
  std::string quote_, any_, any_object_;
  json root_;
  std::map<std::string, std::string> refs_;
};

// A rule of texts of that form.
Result<std::string> PatternRule(const AnswerForm::Pattern& pattern, GrammarBuilder& b) {
  if (pattern.kind == AnswerForm::Pattern::Kind::kRegex) {
    std::string whole = pattern.text;
    if (whole.starts_with('^')) whole.erase(0, 1);
    if (whole.ends_with('$') && !whole.ends_with("\\$")) whole.pop_back();
    if (whole.empty()) return Error{"the regular expression is empty"};
    return b.Terminal(RegexLiteral(Cat("(", whole, ")")));
  }
  std::string lark = pattern.text;
  if (IsGbnf(lark)) {
    FACET_ASSIGN(lark, LarkFromGbnf(pattern.text));
  }
  return b.Rule(Cat("%lark {\n", lark, "\n}"));
}

std::string ChoiceRule(const std::vector<std::string>& choices, GrammarBuilder& b) {
  std::string body;
  for (const std::string& choice : choices) body += Cat(body.empty() ? "" : " | ", Literal(choice));
  return b.Rule(body);
}

// What the answer's text must be.
Result<std::string> TextRule(const AnswerForm& form, GrammarBuilder& b) {
  if (form.pattern) return PatternRule(*form.pattern, b);
  if (!form.choices.empty()) return ChoiceRule(form.choices, b);
  nlohmann::ordered_json schema = form.schema;
  if (!schema.is_object()) return Error{"expected a schema"};
  schema["x-guidance"] = {{"whitespace_pattern", kWhitespace}};
  return b.Rule("%json " + schema.dump());
}

// The arguments of a tool that takes one text.
Result<std::string> InputArguments(const AnswerForm::Pattern& pattern, const std::string& quote,
                                   GrammarBuilder& b) {
  FACET_ASSIGN(const std::string text, PatternRule(pattern, b));
  return b.Rule(Cat("\"{input:\" ", quote, " ", text, " ", quote, " \"}\""));
}

Result<std::string> Calls(const AnswerForm& form, GrammarBuilder& b) {
  FACET_ASSIGN(const std::string open, b.Special("<|tool_call>"));
  FACET_ASSIGN(const std::string close, b.Special("<tool_call|>"));
  FACET_ASSIGN(const std::string quote, b.Special("<|\"|>"));
  NotationGrammar notation(b, quote);
  std::string calls;
  for (size_t i = 0; i < form.tools.size(); ++i) {
    // Sorted by key, as the notation's template writes members.
    const json function = form.tools[i]["function"];
    const auto name = function["name"].get<std::string>();
    if (form.only && *form.only != name) continue;
    const auto input = form.inputs.find(name);
    auto arguments =
        input != form.inputs.end()
            ? InputArguments(input->second, quote, b)
            : notation.Arguments(function.value("parameters", json::object({{"type", "object"}})));
    if (!arguments && function.value("strict", false))
      return arguments.error().In(Cat("tools[", i, "].function"));
    const std::string rule = arguments ? *arguments : notation.AnyObject();
    const std::string call = b.Rule(Cat(open, " ", Literal("call:" + name), " ", rule, " ", close));
    calls += (calls.empty() ? "" : " | ") + call;
  }
  const std::string call = b.Rule(calls);
  if (form.calls == AnswerForm::Calls::kMust) return call + (form.parallel ? "+" : "");
  const std::string text = b.Text();
  if (!form.parallel) return Cat(text, "? ", call, "?");
  return b.Rule(Cat("(", text, " | ", call, ")*"));
}

}  // namespace

Result<std::string> AnswerGrammar(const AnswerForm& form, const Tokenizer& tokenizer) {
  GrammarBuilder b(tokenizer);
  std::string body;
  if (form.text_has_form()) {
    FACET_ASSIGN(body, TextRule(form, b));
    if (form.tools.is_array() && form.calls == AnswerForm::Calls::kMay) {
      AnswerForm must = form;
      must.calls = AnswerForm::Calls::kMust;
      FACET_ASSIGN(const std::string calls, Calls(must, b));
      body = b.Rule(Cat(body, " | ", calls));
    }
  } else {
    FACET_ASSIGN(body, Calls(form, b));
  }
  if (form.thinking == AnswerForm::Thinking::kNone) return b.Finish(body);
  FACET_ASSIGN(const std::string open, b.Special("<|channel>"));
  FACET_ASSIGN(const std::string close, b.Special("<channel|>"));
  const std::string thought = Cat(b.Text(), "? ", close);
  if (form.thinking == AnswerForm::Thinking::kOpen) return b.Finish(Cat(thought, " ", body));
  return b.Finish(Cat("(", open, " ", thought, ")? ", body));
}

}  // namespace facet
