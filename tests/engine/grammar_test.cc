// Answers drawn at random within a constraint end and have the form.
#include "chat/grammar.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "chat/stream_parser.h"
#include "engine/grammar_constraint.h"
#include "support/paths.h"

namespace facet {
namespace {

using nlohmann::json;

class GrammarTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto tokenizer =
        Tokenizer::Load(std::filesystem::path(TestsDir()) / "reference/gemma4/vocab.gguf");
    ASSERT_TRUE(tokenizer.ok());
    tokenizer_ = *tokenizer;
    auto vocabulary = ConstraintVocabulary::Create(*tokenizer_, Stops());
    ASSERT_TRUE(vocabulary.ok()) << vocabulary.error().message;
    vocabulary_ = *vocabulary;
  }
  static std::vector<TokenId> Stops() { return {1, 106, 50}; }

  // Text of an answer whose tokens are drawn evenly from what is allowed; nothing where it does not
  // end. Thoughts (it begins inside them) are closed after `thoughts` tokens, as their budget does.
  std::optional<std::string> Draw(const std::string& grammar, uint32_t seed, int thoughts = 0,
                                  int limit = 3000) {
    auto constraint = vocabulary_->Compile(grammar);
    if (!constraint) {
      ADD_FAILURE() << constraint.error().message << "\n" << grammar;
      return std::nullopt;
    }
    std::mt19937 random(seed);
    std::string text;
    const std::vector<TokenId> close = tokenizer_->Encode("\n<channel|>");
    bool thinking = thoughts > 0;
    for (int i = 0; i < limit; ++i) {
      if (thinking && i >= thoughts) {
        thinking = false;
        for (const TokenId id : close) {
          if (const auto ok = (*constraint)->Accept(id); !ok) {
            ADD_FAILURE() << ok.error().message;
            return std::nullopt;
          }
          text += tokenizer_->Piece(id);
        }
      }
      const auto allowed = (*constraint)->Allowed();
      if (!allowed) {
        ADD_FAILURE() << allowed.error().message;
        return std::nullopt;
      }
      std::vector<TokenId> ids;
      for (TokenId id = 0; id < tokenizer_->size(); ++id) {
        if ((*allowed)[id / 32] >> (id % 32) & 1) ids.push_back(id);
      }
      if (ids.empty()) {
        ADD_FAILURE() << "nothing is allowed after " << text;
        return std::nullopt;
      }
      const TokenId id = ids[random() % ids.size()];
      if (const auto ok = (*constraint)->Accept(id); !ok) {
        ADD_FAILURE() << ok.error().message;
        return std::nullopt;
      }
      const auto stops = Stops();
      if (std::find(stops.begin(), stops.end(), id) != stops.end()) return text;
      text += tokenizer_->Piece(id);
      thinking = thinking && id != close.back();
    }
    return std::nullopt;
  }
  std::string Grammar(const AnswerForm& form) {
    auto grammar = AnswerGrammar(form, *tokenizer_);
    EXPECT_TRUE(grammar.ok()) << grammar.error().message;
    return grammar.ok() ? *grammar : "";
  }
  std::optional<std::string> DrawJson(const json& schema, bool thinking, uint32_t seed) {
    using Thinking = AnswerForm::Thinking;
    const AnswerForm form{.thinking = thinking ? Thinking::kOpen : Thinking::kNone,
                          .schema = schema,
                          .tools = {},
                          .only = {}};
    return Draw(Grammar(form), seed, thinking ? 1 + static_cast<int>(seed % 40) : 0);
  }
  static json Tool(const std::string& name, const json& parameters, bool strict = true) {
    return {
        {"type", "function"},
        {"function",
         {{"name", name}, {"description", ""}, {"parameters", parameters}, {"strict", strict}}}};
  }
  static std::shared_ptr<const Tokenizer> tokenizer_;
  static std::shared_ptr<const ConstraintVocabulary> vocabulary_;
};
std::shared_ptr<const Tokenizer> GrammarTest::tokenizer_;
std::shared_ptr<const ConstraintVocabulary> GrammarTest::vocabulary_;

// Enough of JSON Schema for the schemas below.
bool Fits(const json& value, const json& schema) {
  if (schema.contains("const")) return value == schema["const"];
  if (schema.contains("enum")) {
    return std::find(schema["enum"].begin(), schema["enum"].end(), value) != schema["enum"].end();
  }
  if (schema.contains("anyOf")) {
    return std::any_of(schema["anyOf"].begin(), schema["anyOf"].end(),
                       [&](const json& s) { return Fits(value, s); });
  }
  const std::string type = schema.value("type", "");
  if (type == "string") {
    if (!value.is_string()) return false;
    size_t length = 0;
    for (const char c : value.get<std::string>()) length += (c & 0xC0) != 0x80;
    return length >= schema.value("minLength", 0u) && length <= schema.value("maxLength", 1u << 20);
  }
  if (type == "integer" || type == "number") {
    if (!value.is_number() || (type == "integer" && !value.is_number_integer())) return false;
    const double n = value;
    return n >= schema.value("minimum", -1e300) && n <= schema.value("maximum", 1e300) &&
           n > schema.value("exclusiveMinimum", -1e300) &&
           n < schema.value("exclusiveMaximum", 1e300);
  }
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "array") {
    return value.is_array() && value.size() >= schema.value("minItems", 0u) &&
           value.size() <= schema.value("maxItems", 1u << 20) &&
           std::all_of(value.begin(), value.end(),
                       [&](const json& v) { return Fits(v, schema["items"]); });
  }
  if (type == "object") {
    if (!value.is_object()) return false;
    for (const json& name : schema.value("required", json::array())) {
      if (!value.contains(name.get<std::string>())) return false;
    }
    for (const auto& [name, member] : value.items()) {
      if (!schema["properties"].contains(name) || !Fits(member, schema["properties"][name]))
        return false;
    }
    return true;
  }
  return false;
}

const std::vector<json>& Schemas() {
  static const std::vector<json> schemas = [] {
    const json text = {{"type", "string"}, {"maxLength", 12}},
               small = {{"type", "integer"}, {"minimum", -5}, {"maximum", 120}};
    const auto object = [](json properties, json required) {
      return json{{"type", "object"},
                  {"properties", properties},
                  {"required", required},
                  {"additionalProperties", false}};
    };
    const auto list = [](json items, int most) {
      return json{{"type", "array"}, {"items", items}, {"maxItems", most}};
    };
    std::vector<json> out = {
        object({{"name", text}}, {"name"}),
        object({{"name", text}, {"age", small}}, {"name", "age"}),
        object({{"a", text}, {"b", text}, {"c", text}}, json::array()),
        object({{"a", text}, {"b", small}, {"c", {{"type", "boolean"}}}, {"d", {{"type", "null"}}}},
               {"b", "d"}),
        object({{"tags", list(text, 4)}}, {"tags"}),
        object({{"points", list(object({{"x", small}, {"y", small}}, {"x", "y"}), 3)}}, {"points"}),
        object({{"unit", {{"enum", {"celsius", "fahrenheit"}}}}}, {"unit"}),
        object({{"kind", {{"const", "circle"}}},
                {"r", {{"type", "integer"}, {"exclusiveMinimum", 0}, {"maximum", 9}}}},
               {"kind", "r"}),
        object({{"v", {{"anyOf", {text, small, {{"type", "null"}}}}}}}, {"v"}),
        object(
            {{"deep", object({{"deeper", object({{"deepest", text}}, {"deepest"})}}, {"deeper"})}},
            {"deep"}),
        object({{"s", {{"type", "string"}, {"minLength", 3}, {"maxLength", 5}}}}, {"s"}),
        object({{"l", {{"type", "array"}, {"items", small}, {"minItems", 2}, {"maxItems", 5}}}},
               {"l"}),
        object({{"m", list(list({{"type", "boolean"}}, 2), 2)}}, {"m"}),
        object({{"e", {{"enum", {1, 2, 3}}}}}, {"e"}),
        object({{"flag", {{"type", "boolean"}}}}, {"flag"}),
        object({{"x_1", small}, {"y-2", small}}, {"x_1", "y-2"}),
        object({{"choice",
                 {{"anyOf", {object({{"a", small}}, {"a"}), object({{"b", text}}, {"b"})}}}}},
               {"choice"}),
        object({{"empty", object(json::object(), json::array())}}, {"empty"}),
        object({{"q", {{"type", "string"}, {"maxLength", 1}}}}, {"q"}),
        object({{"list", list({{"anyOf", {small, {{"type", "boolean"}}}}}, 6)}, {"note", text}},
               {"list"}),
    };
    return out;
  }();
  return schemas;
}

void JsonAnswers(GrammarTest&,
                 const std::function<std::optional<std::string>(const json&, bool, uint32_t)>& draw,
                 int each) {
  int total = 0;
  for (const json& schema : Schemas()) {
    for (int i = 0; i < each; ++i) {
      auto text = draw(schema, i % 2 == 1, static_cast<uint32_t>(i * 7 + 1));
      ASSERT_TRUE(text) << schema.dump();
      const size_t close = text->find("<channel|>");
      EXPECT_EQ(close != std::string::npos, i % 2 == 1) << *text;
      if (close != std::string::npos) text->erase(0, close + 10);
      const json value = json::parse(*text, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << *text;
      EXPECT_TRUE(Fits(value, schema)) << *text << schema.dump();
      ++total;
    }
  }
  EXPECT_EQ(total, each * 20);
}

TEST_F(GrammarTest, JsonAnswersFitTheirSchema) {
  JsonAnswers(
      *this,
      [&](const json& schema, bool thinking, uint32_t seed) {
        return DrawJson(schema, thinking, seed);
      },
      2);
}

TEST_F(GrammarTest, SlowThousandJsonAnswersFitTheirSchema) {
  JsonAnswers(
      *this,
      [&](const json& schema, bool thinking, uint32_t seed) {
        return DrawJson(schema, thinking, seed);
      },
      50);
}

TEST_F(GrammarTest, CallsFitTheirSchema) {
  for (const json& schema : Schemas()) {
    for (uint32_t seed = 0; seed < 3; ++seed) {
      AnswerForm form{.schema = {},
                      .tools = json::array({Tool("f", schema), Tool("g", schema)}),
                      .calls = AnswerForm::Calls::kMust,
                      .only = "g",
                      .parallel = false};
      const auto text = Draw(Grammar(form), seed);
      ASSERT_TRUE(text) << schema.dump();
      StreamParser parser;
      std::vector<OutputEvent> events;
      parser.Feed(*text, events);
      parser.Finish(events);
      ASSERT_EQ(parser.complete_calls(), 1) << *text;
      std::string arguments;
      for (const OutputEvent& event : events) {
        if (event.kind == OutputEvent::Kind::kCallBegin) {
          EXPECT_EQ(event.text, "g");
        }
        if (event.kind == OutputEvent::Kind::kCallArguments) arguments += event.text;
        EXPECT_NE(event.kind, OutputEvent::Kind::kContent) << *text;
      }
      const json value = json::parse(arguments, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << arguments;
      EXPECT_TRUE(Fits(value, schema)) << *text << "\n" << arguments << "\n" << schema.dump();
    }
  }
}

TEST_F(GrammarTest, ThinkingComesFirstWhereItMay) {
  const json schema = Schemas()[0];
  auto grammar = vocabulary_->Compile(
      Grammar({.thinking = AnswerForm::Thinking::kMay, .schema = schema, .tools = {}, .only = {}}));
  ASSERT_TRUE(grammar.ok());
  for (const TokenId id :
       tokenizer_->Encode("<|channel>thought\nHm, {\"name\".\n<channel|>{\"name\":\"x\"}")) {
    ASSERT_TRUE((*grammar)->Accept(id).ok()) << tokenizer_->Piece(id);
  }
  ASSERT_TRUE((*grammar)->Accept(106).ok());
  auto none = vocabulary_->Compile(Grammar({.schema = schema, .tools = {}, .only = {}}));
  EXPECT_FALSE((*none)->Accept(*tokenizer_->Find("<|channel>")).ok());
  auto open = vocabulary_->Compile(Grammar(
      {.thinking = AnswerForm::Thinking::kOpen, .schema = schema, .tools = {}, .only = {}}));
  for (const TokenId id : tokenizer_->Encode("more\n<channel|>{\"name\":\"x\"}"))
    ASSERT_TRUE((*open)->Accept(id).ok());
}

// What was written for a schema before its keyword came that cannot be enforced.
TEST_F(GrammarTest, NothingStaysOfASchemaThatIsGivenUp) {
  const json plain = {{"type", "object"}, {"properties", {{"text", {{"type", "string"}}}}}};
  const json half = json::parse(R"({"type": "object", "properties": {
      "a": {"type": "object"}, "b": {"type": "string", "pattern": "^x+$"}, "c": {"$ref": "#/$defs/c"},
      "z": {"not": {}}}, "$defs": {"c": {"type": "array", "items": {"$ref": "#/$defs/c"}}}})");
  const auto grammar = [&](const json& first) {
    return Grammar({.schema = {},
                    .tools = json::array({Tool("f", first, false), Tool("g", plain),
                                          Tool("h", {{"type", "object"}})}),
                    .only = {}});
  };
  // Refused at once: nothing was written.
  const std::string clean = grammar({{"type", "object"}, {"minProperties", 2}});
  EXPECT_EQ(grammar(half), clean);
  EXPECT_TRUE(vocabulary_->Compile(clean).ok());
}

TEST_F(GrammarTest, AToolWhosePatternCannotBeEnforcedTakesAnyObject) {
  const json mail = json::parse(
      R"({"type":"object","properties":{"to":{"type":"string","pattern":"^(?!\\.)[a-z]+@[a-z]+$"}}})");
  const json number = {{"type", "object"}, {"properties", {{"n", {{"type", "integer"}}}}}};
  for (const char* pattern : {"^(?=a)b$", "(a)\\1", "(?<!x)y", "a$|^b"}) {
    json parameters = mail;
    parameters["properties"]["to"]["pattern"] = pattern;
    const auto form = [&](bool strict) {
      return AnswerForm{
          .schema = {},
          .tools = json::array({Tool("n", number, false), Tool("mail", parameters, strict)}),
          .calls = AnswerForm::Calls::kMust,
          .only = {}};
    };
    EXPECT_FALSE(AnswerGrammar(form(true), *tokenizer_).ok()) << pattern;
    auto constraint = vocabulary_->Compile(Grammar(form(false)));
    ASSERT_TRUE(constraint.ok()) << pattern << constraint.error().message;
    auto other = (*constraint)->Copy();
    for (const TokenId id : tokenizer_->Encode("<|tool_call>call:mail{any:[1]}<tool_call|>"))
      ASSERT_TRUE((*constraint)->Accept(id).ok()) << pattern;
    bool accepted = true;
    for (const TokenId id : tokenizer_->Encode("<|tool_call>call:n{n:<|\"|>1<|\"|>}<tool_call|>"))
      accepted = accepted && other->Accept(id).ok();
    EXPECT_FALSE(accepted);  // the other tool is held to its schema
  }
}

TEST_F(GrammarTest, WideEnumsAndManyOptionalPropertiesWork) {
  json values = json::array(), properties = json::object();
  for (int i = 0; i < 2000; ++i) {
    values.push_back(Cat("value \"", i, "\" (a|b)/\\", i % 7));
    if (i < 400) properties[Cat("p", i)] = {{"type", i % 2 == 0 ? "integer" : "boolean"}};
  }
  json numbers = json::array({1, 2.5, "", "x", nullptr, true});
  const json wide = {{"type", "object"},
                     {"properties", {{"a", {{"enum", values}}}, {"b", {{"enum", numbers}}}}},
                     {"required", {"a", "b"}},
                     {"additionalProperties", false}};
  const json many = {
      {"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
  for (const json& schema : {wide, many}) {
    const AnswerForm call{.schema = {},
                          .tools = json::array({Tool("g", schema)}),
                          .calls = AnswerForm::Calls::kMust,
                          .only = {},
                          .parallel = false};
    for (uint32_t seed = 0; seed < 3; ++seed) {
      const auto text = Draw(Grammar(call), seed, 0, 60000);
      ASSERT_TRUE(text);
      StreamParser parser;
      std::vector<OutputEvent> events;
      parser.Feed(*text, events);
      parser.Finish(events);
      std::string arguments;
      for (const OutputEvent& event : events)
        if (event.kind == OutputEvent::Kind::kCallArguments) arguments += event.text;
      EXPECT_TRUE(Fits(json::parse(arguments, nullptr, false), schema)) << *text;
      const auto answer = DrawJson(schema, false, seed);
      if (answer) {
        EXPECT_TRUE(Fits(json::parse(*answer, nullptr, false), schema)) << *answer;
      }
    }
  }
}

TEST_F(GrammarTest, KeywordsThatCannotBeEnforcedAreRefused) {
  const auto refused = [&](const json& parameters) {
    return !AnswerGrammar({.schema = {}, .tools = json::array({Tool("f", parameters)}), .only = {}},
                          *tokenizer_)
                .ok();
  };
  EXPECT_TRUE(
      refused({{"type", "object"}, {"properties", {{"a", {{"not", {{"type", "string"}}}}}}}}));
  EXPECT_TRUE(refused({{"type", "object"}, {"minProperties", 2}}));
  EXPECT_TRUE(refused(
      {{"type", "object"}, {"properties", {{"a", {{"type", "array"}, {"uniqueItems", true}}}}}}));
  EXPECT_FALSE(refused({{"type", "object"},
                        {"properties", {{"a", {{"$ref", "#/$defs/a"}}}}},
                        {"$defs", {{"a", {{"type", "string"}}}}}}));
  // A recursive schema compiles.
  const json recursive = json::parse(
      R"({"type":"object","properties":{"next":{"$ref":"#"},"v":{"type":"integer"}},"required":["v"]})");
  const auto grammar = AnswerGrammar(
      {.schema = {}, .tools = json::array({Tool("f", recursive)}), .only = {}}, *tokenizer_);
  ASSERT_TRUE(grammar.ok());
  EXPECT_TRUE(vocabulary_->Compile(*grammar).ok());
  // A tool that is not strict is held to the notation at least.
  EXPECT_TRUE(AnswerGrammar({.schema = {},
                             .tools = json::array(
                                 {Tool("f", {{"type", "object"}, {"minProperties", 2}}, false)}),
                             .only = {}},
                            *tokenizer_)
                  .ok());
}

TEST_F(GrammarTest, WhatStandsBesideOtherKeywordsIsNotDropped) {
  const auto refusal = [&](const char* schema) {
    const json parameters = {{"type", "object"},
                             {"properties", {{"a", json::parse(schema)}}},
                             {"$defs", {{"P", {{"type", "integer"}}}}}};
    const auto grammar = AnswerGrammar(
        {.schema = {}, .tools = json::array({Tool("f", parameters)}), .only = {}}, *tokenizer_);
    return grammar.ok() ? std::string() : grammar.error().message;
  };
  const std::pair<const char*, const char*> refused[] = {
      {R"({"type":["array","null"],"uniqueItems":true})", "uniqueItems"},
      {R"({"type":["string","null"],"uniqueItems":true})", "uniqueItems"},
      {R"({"$ref":"#/$defs/P","maximum":5})", "maximum"},
      {R"({"$ref":"#/$defs/P","type":"integer"})", "type"},
      {R"({"type":"string","anyOf":[{"$ref":"#/$defs/P"}]})", "type"},
      {R"({"type":"string","anyOf":[{"maxLength":3},{"type":"integer"}]})", "type"},
      {R"({"type":"string","anyOf":[{"minimum":3}]})", "minimum"},
      {R"({"type":"string","enum":[1]})", "type"},
      {R"({"const":7,"maximum":5})", "maximum"},
      {R"({"type":"boolean","not":{"const":true}})", "not"},
      {R"({"properties":{"x":{"type":"string"}},"patternProperties":{"^x":{"maxLength":3}}})",
       "patternProperties"}};
  for (const auto& [schema, keyword] : refused) {
    const std::string message = refusal(schema);
    EXPECT_NE(message.find(Cat("'", keyword, "' cannot be enforced")), std::string::npos)
        << schema << ": " << message;
  }
  for (const char* schema :
       {R"({"type":"array","uniqueItems":false})",
        R"({"$ref":"#/$defs/P","title":"t","description":"d","default":1,"examples":[2],
            "$comment":"c","deprecated":true,"readOnly":true,"writeOnly":false})",
        R"({"type":"number","anyOf":[{"$ref":"#/$defs/P"}]})",
        R"({"type":["string","null"],"anyOf":[{"type":"string"},{"type":"null"}]})",
        R"({"type":"boolean","const":true,"description":"d"})"}) {
    EXPECT_EQ(refusal(schema), "") << schema;
  }
}

TEST_F(GrammarTest, ATypeHoldsForWhatStandsBesideIt) {
  const auto takes = [&](const char* schema, const std::string& value) {
    const json parameters = {
        {"type", "object"}, {"properties", {{"a", json::parse(schema)}}}, {"required", {"a"}}};
    const auto constraint =
        vocabulary_->Compile(Grammar({.schema = {},
                                      .tools = json::array({Tool("f", parameters)}),
                                      .calls = AnswerForm::Calls::kMust,
                                      .only = {}}));
    if (!constraint.ok()) ADD_FAILURE() << constraint.error().message;
    if (!constraint.ok()) return false;
    const auto ids = tokenizer_->Encode("<|tool_call>call:f{a:" + value + "}<tool_call|>");
    return std::all_of(ids.begin(), ids.end(),
                       [&](TokenId id) { return (*constraint)->Accept(id).ok(); });
  };
  const std::string text = "<|\"|>v<|\"|>";
  const char* any_text = R"({"type":"string","anyOf":[{"description":"x"}]})";
  EXPECT_TRUE(takes(any_text, text));
  EXPECT_FALSE(takes(any_text, "7"));
  EXPECT_FALSE(takes(any_text, "null"));
  const char* maybe = R"({"type":["string","null"],"oneOf":[{"maxLength":3}]})";
  EXPECT_TRUE(takes(maybe, text));
  EXPECT_TRUE(takes(maybe, "null"));
  EXPECT_FALSE(takes(maybe, "7"));
  const char* both = R"({"type":"number","anyOf":[{"type":["integer","string"]}]})";
  EXPECT_TRUE(takes(both, "7"));
  EXPECT_FALSE(takes(both, text));
  const char* either = R"({"type":"string","enum":["v",1]})";
  EXPECT_TRUE(takes(either, text));
  EXPECT_FALSE(takes(either, "1"));
  EXPECT_TRUE(takes(R"({"type":"integer","anyOf":[true]})", "7"));
  EXPECT_FALSE(takes(R"({"type":"integer","anyOf":[true]})", "true"));
}

TEST_F(GrammarTest, WhatClientsDeclareCompiles) {
  const json parameters = json::parse(
      R"({"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{
    "a":{"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}],"description":"x"},
    "b":{"type":"object","patternProperties":{"^.*$":{"type":"string"}}},
    "c":{"const":"only"},"d":{"type":"integer","exclusiveMinimum":0,"maximum":9007199254740991,"default":5},
    "e":{"type":"array","items":{"type":"object","properties":{"q":{"type":"string","minLength":1,"maxLength":80}},"required":["q"]},"maxItems":4},
    "f":{"type":"object","additionalProperties":{}},"g":{"type":["string","null"]}},"required":["a","c"]})");
  const std::string grammar = Grammar({.schema = {},
                                       .tools = json::array({Tool("t", parameters)}),
                                       .calls = AnswerForm::Calls::kMust,
                                       .only = {}});
  const auto compiled = vocabulary_->Compile(grammar);
  ASSERT_TRUE(compiled.ok()) << compiled.error().message << grammar;
  for (const TokenId id : tokenizer_->Encode("<|tool_call>call:t{a:[<|\"|>x<|\"|>],b:{k:<|\"|>v<|"
                                             "\"|>},c:<|\"|>only<|\"|>,d:7,g:null}<tool_call|>")) {
    ASSERT_TRUE((*compiled)->Accept(id).ok()) << tokenizer_->Piece(id);
  }
}

// Drafts are tried on copies: what a copy accepts or refuses leaves the original alone.
TEST_F(GrammarTest, ACopyGoesItsOwnWay) {
  const auto compiled = vocabulary_->Compile("start: \"one\" (\" two\" | \" three\")+ \".\"");
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  TokenConstraint& original = **compiled;
  const std::vector<TokenId> text = tokenizer_->Encode("one two three two.");
  for (size_t i = 0; i < text.size(); ++i) {
    const auto copy = original.Copy();
    ASSERT_NE(copy, nullptr);
    for (size_t k = i; k < text.size(); ++k) ASSERT_TRUE(copy->Accept(text[k]).ok());
    const auto broken = original.Copy();
    EXPECT_FALSE(broken->Accept(tokenizer_->Encode("x")[0]).ok());
    EXPECT_FALSE(broken->Accept(tokenizer_->size()).ok());
    const auto allowed = original.Allowed();
    ASSERT_TRUE(allowed.ok()) << allowed.error().message;
    EXPECT_TRUE((*allowed)[text[i] / 32] >> (text[i] % 32) & 1);
    ASSERT_TRUE(original.Accept(text[i]).ok());
  }
}

}  // namespace
}  // namespace facet
