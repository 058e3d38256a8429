// What text-core makes of Jinja, and how it fails.
#include <gtest/gtest.h>

#include <ctime>

#include "base/mapped_file.h"
#include "chat/chat_template.h"
#include "chat/conversation_reader.h"
#include "chat/load_template.h"
#include "chat/stream_parser.h"
#include "formats/json.h"
#include "support/vocabularies.h"

namespace facet {
namespace {

using Json = nlohmann::ordered_json;

struct Outcome {
  std::string text;
  std::optional<ErrorKind> error;
};

Outcome Execute(const std::string& source, const Json& variables = Json::object()) {
  static const auto tokenizer = LoadTokenizer(Reference("tiny/checkpoint"));
  auto chat = ChatTemplate::Create(source, *tokenizer);
  if (!chat.ok()) return {chat.error().message, chat.error().kind};
  RenderOptions options;
  options.extra = variables;
  auto prompt =
      chat->Render(Json::array({{{"role", "user"}, {"content", "Hi"}}}), nullptr, options);
  if (!prompt.ok()) return {prompt.error().message, prompt.error().kind};
  return {prompt->text, {}};
}

std::string Text(const std::string& source, const Json& variables = Json::object()) {
  const Outcome outcome = Execute(source, variables);
  return outcome.error ? "ERROR " + outcome.text : outcome.text;
}

TEST(Jinja, TrimsBlocksAsTheHubDoes) {
  EXPECT_EQ(Text("a\n  {% if true %}\nb\n  {% endif %}\nc\n"), "a\nb\nc");
  EXPECT_EQ(Text("{%- generation -%} x {%- endgeneration -%}"), "x");
  EXPECT_EQ(Text("a {% generation %}b{% endgeneration %}\nc"), "a bc");
}

TEST(Jinja, PrintsValuesAsPythonDoes) {
  EXPECT_EQ(
      Text("{{ none }} {{ true }} {{ false }} {{ missing }}|{{ 1.0 }} {{ 0.1 + 0.2 }} {{ 3 }}"),
      "None True False |1.0 0.30000000000000004 3");
  EXPECT_EQ(Text("{{ x }}", {{"x", {{"b", {1, true, nullptr}}, {"a", "it's\n"}}}}),
            "{'b': [1, True, None], 'a': \"it's\\n\"}");
  const Json floats = {1e16, 1e15, 1e-4, 1e-5, 1.5e300, -2.5, 123456789.125};
  EXPECT_EQ(Text("{{ x | join(' ') }}", {{"x", floats}}),
            "1e+16 1000000000000000.0 0.0001 1e-05 1.5e+300 -2.5 123456789.125");
}

// Values that were rendered by Python's Jinja2 (reference/jinja/make_cases.py).
TEST(Jinja, WritesAThousandValuesAsPythonDoes) {
  const auto text = ReadFile(Reference("jinja/cases.json"));
  ASSERT_TRUE(text.ok());
  const Json all = *ParseJson(*text, {.long_integers = true});
  for (const Json& one : all["cases"]) {
    for (size_t i = 0; i < all["templates"].size(); ++i) {
      const std::string source = all["templates"][i];
      EXPECT_EQ(Text(source, {{"x", one["x"]}}), one["texts"][i].get<std::string>())
          << source << " of " << DumpJson(one["x"]);
    }
  }
  for (const Json& chat : all["chats"]) {
    const std::string name = chat["template"];
    const auto tokenizer = LoadTokenizer(Reference("gemma4/vocab.gguf"));
    const std::string source = name == "vocab.gguf"
                                   ? **FindChatTemplate(Reference("gemma4/vocab.gguf"))
                                   : *ReadFile(Reference("gemma4/" + name));
    const auto loaded = ChatTemplate::Create(source, *tokenizer);
    ASSERT_TRUE(loaded.ok());
    const auto prompt = loaded->Render(chat["messages"], chat["tools"], {});
    ASSERT_TRUE(prompt.ok()) << prompt.error().message;
    EXPECT_EQ(prompt->text, chat["text"].get<std::string>()) << name;
  }
}

// Arguments as clients send them: a text of JSON.
TEST(Jinja, ArgumentsKeepTheirNumbers) {
  const std::string arguments =
      R"({"a":18446744073709551616,"b":-340282366920938463463374607431768211457,"c":null,)"
      R"("d":45955.020000000004,"e":[true,1.0]})";
  Json call = {{"role", "assistant"}, {"content", ""}};
  call["tool_calls"] = {{{"id", "1"},
                         {"type", "function"},
                         {"function", {{"name", "f"}, {"arguments", CallArguments(arguments)}}}}};
  const auto tokenizer = LoadTokenizer(Reference("gemma4/vocab.gguf"));
  const auto chat = LoadChatTemplate(Reference("gemma4/vocab.gguf"), *tokenizer);
  ASSERT_TRUE(chat.ok());
  const std::string want =
      "call:f{a:18446744073709551616,b:-340282366920938463463374607431768211457,c:None,"
      "d:45955.020000000004,e:[true,1.0]}";
  for (const bool text : {false, true}) {
    if (text) call["tool_calls"][0]["function"]["arguments"] = arguments;
    const auto prompt = (*chat)->Render({{{"role", "user"}, {"content", "x"}}, call}, nullptr, {});
    ASSERT_TRUE(prompt.ok()) << prompt.error().message;
    EXPECT_NE(prompt->text.find(want), std::string::npos) << prompt->text;
    // What the model copies from there comes back as it was.
    StreamParser parser;
    std::vector<OutputEvent> events;
    parser.Feed("<|tool_call>" + want + "<tool_call|>", events);
    parser.Finish(events);
    std::string back;
    for (const OutputEvent& event : events)
      if (event.kind == OutputEvent::Kind::kCallArguments) back += event.text;
    EXPECT_EQ(back, arguments);
    EXPECT_EQ(DumpJson(CallArguments(back)), arguments);
  }
}

TEST(Jinja, WritesJsonAsPythonDoes) {
  const Json x = {{"z", 1}, {"a", {1.0, nullptr, true, "\u00e9<>&'\"\n"}}, {"e", Json::array()}};
  EXPECT_EQ(Text("{{ x | tojson }}", {{"x", x}}),
            R"({"z": 1, "a": [1.0, null, true, "é<>&'\"\n"], "e": []})");
  EXPECT_EQ(Text("{{ x | tojson(indent=2) }}", {{"x", {{"k", {1, {{"n", 2}}}}}}}),
            "{\n  \"k\": [\n    1,\n    {\n      \"n\": 2\n    }\n  ]\n}");
  EXPECT_EQ(Text("{{ x | tojson(ensure_ascii=true, separators=[',', ':']) }}",
                 {{"x", {{"k", "\u00e9"}, {"l", 1}}}}),
            "{\"k\":\"\\u00e9\",\"l\":1}");
  EXPECT_EQ(Text("{{ x | tojson(sort_keys=true) }}", {{"x", {{"b", 1}, {"a", 2}}}}),
            R"({"a": 2, "b": 1})");
}

TEST(Jinja, KnowsWhatHubTemplatesUse) {
  EXPECT_EQ(Text("{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}"
                 "{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}"),
            "013");
  EXPECT_EQ(Text("{% for i in range(3, -1, -1) %}{{ i }}{% endfor %}"), "3210");
  EXPECT_EQ(Text("{% set n = namespace(x=1) %}{% for i in [1,2] %}{% set n.x = n.x + i %}{% endfor "
                 "%}{{ n.x }}"),
            "4");
  EXPECT_EQ(Text("{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, b=3) }}"),
            "1213");
  EXPECT_EQ(Text("{% for k, v in x | dictsort %}{{ k }}{{ v }}{% endfor %}",
                 {{"x", {{"b", 1}, {"A", 2}, {"c", 3}}}}),
            "A2b1c3");
  EXPECT_EQ(Text("{% for k, v in x.items() %}{{ k }}{% endfor %}", {{"x", {{"z", 1}, {"a", 2}}}}),
            "za");
  EXPECT_EQ(Text("{{ 'a-b'.split('-')[-1] }}{{ ' x '.strip() }}{{ 'ab'.startswith('a') }}{{ "
                 "'x'.upper() }}"),
            "bxTrueX");
  EXPECT_EQ(Text("{{ x.get('no') }}{{ x.get('k', 1) }}{{ 'abc'.removeprefix('a') }}",
                 {{"x", Json::object()}}),
            "None1bc");
  EXPECT_EQ(Text("{{ x is mapping }}{{ x is sequence }}{{ 'a' is sequence }}{{ 'a' is iterable }}",
                 {{"x", Json::object()}}),
            "TrueTrueTrueTrue");
  EXPECT_EQ(Text("{{ messages[::-1][0].role }}{{ messages[-1]['content'] }}"), "userHi");
  char year[8];
  const time_t now = time(nullptr);
  std::strftime(year, sizeof(year), "%Y", std::localtime(&now));
  EXPECT_EQ(Text("{{ strftime_now('%Y') }}"), year);
  EXPECT_EQ(Text("{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools }}"),
            "<bos><eos>TrueNone");
}

TEST(Jinja, PassesOnWhatATemplateRaises) {
  const Outcome outcome = Execute(
      "{% if messages[0].content == 'Hi' %}{{ raise_exception('Roles must alternate!') }}{% "
      "endif %}");
  EXPECT_EQ(outcome.text, "Roles must alternate!");
  EXPECT_EQ(outcome.error, ErrorKind::kInvalid);
}

TEST(Jinja, NamesTheLineOfAMistake) {
  EXPECT_NE(Execute("a\n{% if %}").text.find("line 2"), std::string::npos);
  EXPECT_NE(Execute("a\nb\n{{ x.y.z }}").text.find("line 3"), std::string::npos);
  EXPECT_TRUE(Execute("{{ 'a' + 1 }}").error.has_value());
  EXPECT_TRUE(Execute("\xff").error.has_value());
}

TEST(Jinja, ReachesNoFile) {
  for (const char* source : {"{% include '/etc/passwd' %}", "{% import '/etc/passwd' as p %}",
                             "{% extends '/etc/passwd' %}"}) {
    EXPECT_TRUE(Execute(source).error.has_value()) << source;
  }
}

TEST(Jinja, RefusesReservedVariables) {
  EXPECT_NE(Execute("x", {{"bos_token", "y"}}).text.find("bos_token"), std::string::npos);
}

// However a template spends, it ends with an error, and the next one works.
TEST(Jinja, IsBounded) {
  const char* const sources[] = {
      "{{ 'a' * 1000000000 }}",
      "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor "
      "%}{{ n.x }}",
      "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor "
      "%}{{ n.x | length }}",
      "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
      "{% for i in range(100000) %}{% for j in range(100000) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% "
      "endfor %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{{ range(1000000000) | list | length }}",
      "{{ ('x' | indent(1000000000)) | length }}",
      "{{ 'a' | center(1000000000) }}",
      "{% set n = 1000000000000 %}{{ ([1] * n) | list | length }}",
      "{{ ([1] * 1000000000000) | list | length }}",
      "{{ (('a' * 100000000) ~ ('a' * 100000000)) | length }}",
      "{{ ((('a' * 1000) * 1000) * 1000) | length }}",
      "{{ [1] | slice(1000000000000) | list }}",
      "{{ [1] | batch(1000000000000) | list }}",
      "{{ '%1000000000d' | format(1) }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ ('x' | indent(width=1000000000)) | length }}",
  };
  for (const char* source : sources) {
    const Outcome outcome = Execute(source);
    EXPECT_TRUE(outcome.error.has_value()) << source << " gave " << outcome.text.size();
    EXPECT_EQ(Text("{{ 1 }}"), "1");
  }
  // No loop, so that nothing but the memory itself limits this.
  std::string doubling = "{% set x = 'abcdefgh' %}";
  for (int i = 0; i < 60; ++i) doubling += "{% set x = x ~ x %}";
  EXPECT_EQ(Execute(doubling).error, ErrorKind::kResource);
  EXPECT_TRUE(Execute("{{ " + std::string(100000, '(') + " }}").error.has_value());
  EXPECT_TRUE(Execute("{{ " + std::string(100000, '[') + " }}").error.has_value());
}

// One step that would write a shared text of a megabyte a hundred thousand times.
TEST(Jinja, IsBoundedWithinAStep) {
  for (const char* expression :
       {"x | replace('a', x)", "x.replace('a', x)", "many | join('')", "''.join(many)", "many ~ ''",
        "many | map('upper') | list", "many in 'a'", "many is in 'a'", "many | tojson",
        "many | string", "many | upper", "many | sum", "many | pprint", "'%s' | format(many)",
        "[x * 60] * 5 | map('trim') | list", "many"}) {
    const Outcome outcome = Execute(
        Cat("{% set x = 'a' * 1000000 %}{% set many = [x] * 100000 %}{{ ", expression, " }}"));
    EXPECT_TRUE(outcome.error.has_value()) << expression << " gave " << outcome.text.size();
    EXPECT_EQ(Text("{{ 1 }}"), "1");
  }
}

// The checks change no result.
TEST(Jinja, ComputesAsBeforeWithinTheLimits) {
  EXPECT_EQ(Text("{{ 'a' ~ 1 ~ 'b' }}{{ 'b' in 'abc' }}{{ 2 in [1] }}{{ 1 not in [2] }}"),
            "a1bTrueFalseTrue");
  EXPECT_EQ(Text("{% for i in [1, 2] if i > 1 %}{{ i }}{% else %}none{% endfor %}"), "2");
  EXPECT_EQ(Text("{% for i in [[1, [2]], [3]] recursive %}{% if i is sequence %}({{ loop(i) }})"
                 "{% else %}{{ i }}{% endif %}{% endfor %}"),
            "(1(2))(3)");
  EXPECT_EQ(Text("{{ 'x' if false and missing.y else 'y' }}{{ (none or 'z') and 'w' }}"), "yw");
  EXPECT_EQ(Text("{% macro m(a) %}{% for i in a %}[{{ i }}{{ caller() }}]{% endfor %}{% endmacro %}"
                 "{% call m([1, 2]) %}c{% endcall %}"),
            "[1c][2c]");
  EXPECT_EQ(Text("{% set x %}a{% filter upper %}b{% endfilter %}{% endset %}{{ x }}"), "aB");
  EXPECT_EQ(Text("{% block b %}in{% endblock %}{{ 1 < 2 < 3 }}{{ [1, 2, 3][1:] }}"),
            "inTrue[2, 3]");
  EXPECT_EQ(
      Text("{{ 'a\nb' | indent(2) }}{{ 'aXa' | replace('a', 'bb') }}{{ [3, 1] | sort }}"
           "{{ ['a', 'b'] | map('upper') | join('-') }}{{ [1, 2] | sum }}{{ '%03d' | format(7) }}"),
      "a\n  bbbXbb[1, 3]A-B3007");
}

// A value nested a million deep is dropped without overflowing a stack.
TEST(Jinja, DropsDeepValues) {
  const Outcome outcome = Execute(
      "{% set n = namespace(x=[]) %}{% for i in range(1000) %}{% for j in range(1000) %}{% set "
      "n.x = [n.x] %}"
      "{% endfor %}{% endfor %}done");
  EXPECT_TRUE(outcome.error.has_value() || outcome.text == "done");
  EXPECT_TRUE(
      Execute("{% set n = namespace(x=[]) %}{% for j in range(1000) %}{% set n.x = [n.x] %}{% "
              "endfor %}{{ n.x }}")
          .error.has_value());
}

}  // namespace
}  // namespace facet
