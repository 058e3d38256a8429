// Random weights asked for everything at once: a form of the answer, tools, a budget for thoughts,
// drafts, stop strings, limits. Whatever meets, each generation ends; what ended by itself is
// valid.
#include <random>
#include <regex>

#include "support/http_client.h"
#include "support/vocabularies.h"

namespace facet::serve {
namespace {

using nlohmann::json;

// The part of JSON Schema that this test asks for.
bool Fits(const json& value, const json& schema) {
  if (schema.contains("anyOf")) {
    return std::any_of(schema["anyOf"].begin(), schema["anyOf"].end(),
                       [&](const json& one) { return Fits(value, one); });
  }
  if (schema.contains("enum"))
    return std::find(schema["enum"].begin(), schema["enum"].end(), value) != schema["enum"].end();
  const std::string type = schema.value("type", "");
  if (type == "string") {
    if (!value.is_string()) return false;
    const std::string text = value;
    const auto letters = static_cast<size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
    return letters <= schema.value("maxLength", size_t{1000000}) &&
           (!schema.contains("pattern") ||
            std::regex_match(text, std::regex(schema["pattern"].get<std::string>())));
  }
  if (type == "integer") {
    return value.is_number_integer() && value >= schema.value("minimum", json(-1000000000)) &&
           value <= schema.value("maximum", json(1000000000));
  }
  if (type == "number") return value.is_number();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "array") {
    return value.is_array() && value.size() <= schema.value("maxItems", size_t{1000000}) &&
           std::all_of(value.begin(), value.end(),
                       [&](const json& item) { return Fits(item, schema["items"]); });
  }
  if (type != "object" || !value.is_object()) return false;
  for (const json& name : schema.value("required", json::array()))
    if (!value.contains(name.get<std::string>())) return false;
  for (const auto& [name, member] : value.items()) {
    if (!schema["properties"].contains(name) || !Fits(member, schema["properties"][name]))
      return false;
  }
  return true;
}

const json kSchemas = json::parse(R"([
  {"type":"object","properties":{"answer":{"type":"string","maxLength":12},"n":{"type":"integer","minimum":0,"maximum":99}},
   "required":["answer","n"],"additionalProperties":false},
  {"type":"object","properties":{"kind":{"enum":["a","b c","d\"e"]},"ok":{"type":"boolean"},
   "none":{"anyOf":[{"type":"null"},{"type":"integer","minimum":1,"maximum":5}]}},
   "required":["kind","ok","none"],"additionalProperties":false},
  {"type":"object","properties":{"list":{"type":"array","items":{"type":"string","maxLength":4},"maxItems":3}},
   "required":["list"],"additionalProperties":false},
  {"type":"object","properties":{"code":{"type":"string","pattern":"^[a-c]{1,6}$"}},"required":["code"],
   "additionalProperties":false}])");

json Tools(bool strict) {
  json out = json::array();
  for (size_t i = 0; i < kSchemas.size(); ++i) {
    out.push_back({{"type", "function"},
                   {"function",
                    {{"name", Cat("tool_", i)}, {"parameters", kSchemas[i]}, {"strict", strict}}}});
  }
  return out;
}

struct Said {
  std::string content, finish;
  std::vector<std::pair<std::string, std::string>> calls;
};

class RandomGenerations : public ServerTest {
 protected:
  void StartTiny(DraftOptions drafts) {
    options_.models = {{.id = "gemma-4-12b",
                        .files = {.name = "tiny",
                                  .model = Reference("tiny/checkpoint"),
                                  .mmproj = {},
                                  .drafter = Reference("tiny/checkpoint-assistant")}}};
    options_.model.engine.draft = drafts;
    StartServer({});
  }

  // A request, and in `schema` what its content must fit.
  json RandomRequest(json& schema) {
    const auto below = [&](int n) { return static_cast<int>(random_() % n); };
    const auto pick = [&](const json& list) { return list[below(static_cast<int>(list.size()))]; };
    json request = {{"seed", below(1 << 30)},
                    {"max_tokens", below(4) == 0 ? 1 + below(40) : 400},
                    {"temperature", pick({0.0, 0.7, 1.0, 1.5})},
                    {"stream", below(2) == 0}};
    if (below(3) > 0) request["thinking_budget"] = pick({0, 1, 2, 3, 5, 8, 20, 60});
    if (below(3) == 0) request["reasoning_effort"] = pick({"none", "high"});
    if (request.contains("thinking_budget")) request.erase("reasoning_effort");
    if (below(3) == 0) request["stop"] = {pick({"a", "e", "\n", "}", "\"", "the", "zzz"}), "qqq"};
    if (below(4) == 0) request["frequency_penalty"] = 0.5;
    const int form = below(4);
    if (form != 1) {
      schema = pick(kSchemas);
      request["response_format"] = {
          {"type", "json_schema"},
          {"json_schema", {{"name", "x"}, {"schema", schema}, {"strict", true}}}};
    }
    if (form == 1 || form == 2) {
      request["tools"] = Tools(below(2) == 0);
      request["parallel_tool_calls"] = below(2) == 0;
      if (form == 1 || below(2) == 0) {
        request["tool_choice"] =
            below(2) == 0 ? json("required")
                          : json({{"type", "function"}, {"function", {{"name", "tool_2"}}}});
        request.erase("response_format");
        schema = nullptr;
      }
    }
    return request;
  }

  Said Ask(const json& request) {
    const HttpAnswer answer = Chat(request);
    EXPECT_EQ(answer.status, 200) << answer.body << "\n" << request.dump();
    Said said;
    if (answer.status != 200) return said;
    const auto add = [&](const json& message) {
      if (message.contains("content") && message["content"].is_string())
        said.content += message["content"].get<std::string>();
      for (const json& call : message.value("tool_calls", json::array())) {
        const json& function = call["function"];
        if (function.contains("name")) said.calls.emplace_back(function["name"], "");
        said.calls.back().second += function.value("arguments", "");
      }
    };
    if (!request["stream"]) {
      const json choice = answer.Json()["choices"][0];
      add(choice["message"]);
      said.finish = choice["finish_reason"];
      return said;
    }
    for (const json& event : answer.Events()) {
      EXPECT_FALSE(event.contains("error")) << event.dump() << "\n" << request.dump();
      if (event.contains("error")) return said;
      add(event["choices"][0]["delta"]);
      if (event["choices"][0]["finish_reason"].is_string())
        said.finish = event["choices"][0]["finish_reason"];
    }
    return said;
  }

  // The content ends where the stop string came.
  bool WasStopped(json request, const Said& said) {
    if (!request.contains("stop")) return false;
    const json stops = request["stop"];
    request.erase("stop");
    const std::string whole = Ask(request).content;
    return whole.starts_with(said.content) &&
           std::any_of(stops.begin(), stops.end(), [&](const json& stop) {
             return whole.compare(said.content.size(), stop.get<std::string>().size(),
                                  stop.get<std::string>()) == 0;
           });
  }

  void Generate(int rounds) {
    std::map<std::string, int> finishes;
    for (int round = 0; round < rounds && !HasFailure(); ++round) {
      json schema;
      const json request = RandomRequest(schema);
      const Said said = Ask(request);
      ++finishes[said.finish];
      SCOPED_TRACE(request.dump() + "\n" + said.content);
      for (const auto& [name, arguments] : said.calls)
        EXPECT_TRUE(json::accept(arguments)) << arguments;
      if (said.finish == "length") continue;
      if (said.finish == "tool_calls") {
        for (const auto& [name, arguments] : said.calls) {
          const size_t tool = static_cast<size_t>(name.back() - '0');
          ASSERT_LT(tool, kSchemas.size()) << name;
          EXPECT_TRUE(Fits(json::parse(arguments), kSchemas[tool])) << name << arguments;
        }
        continue;
      }
      EXPECT_EQ(said.finish, "stop");
      const json value = json::parse(said.content, nullptr, false);
      const bool valid = !schema.is_null() && !value.is_discarded() && Fits(value, schema);
      EXPECT_TRUE(valid || WasStopped(request, said)) << schema.dump();
    }
    for (const auto& [finish, count] : finishes)
      std::cout << count << " ended with " << finish << "\n";
    EXPECT_GT(finishes["stop"] + finishes["tool_calls"], rounds / 4);
  }

  // FACET_GENERATIONS: how many instead.
  static int Rounds(int usual) {
    const char* more = std::getenv("FACET_GENERATIONS");
    return more == nullptr ? usual : std::atoi(more);
  }

  std::mt19937 random_{20260};
};

TEST_F(RandomGenerations, EndAndAreValidWithFixedDraftsSlow) {
  StartTiny({.mode = DraftOptions::Mode::kFixed, .length = 3});
  Generate(Rounds(150));
}

TEST_F(RandomGenerations, EndAndAreValidWithAdaptiveDraftsSlow) {
  random_.seed(7);
  StartTiny({});
  Generate(Rounds(150));
}

// Budgets that end inside of characters, which the tokens of their bytes make.
TEST_F(RandomGenerations, AThoughtIsClosedBehindItsCharacters) {
  const std::string thought = "x \U000132a4\U000132a5 y \U000132a6\U000132a7";
  StartServer({{{"emit", Cat("<|channel>thought\n", thought, "\n<channel|>{\"n\": 1}")}}});
  const json schema = {
      {"type", "object"},
      {"properties", {{"n", {{"type", "integer"}, {"minimum", 0}, {"maximum", 9}}}}},
      {"required", {"n"}},
      {"additionalProperties", false}};
  for (int budget = 0; budget < 24; ++budget) {
    for (int seed = 0; seed < 3; ++seed) {
      const json request = {
          {"seed", seed},
          {"stream", false},
          {"thinking_budget", budget},
          {"response_format",
           {{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"schema", schema}}}}}};
      const Said said = Ask(request);
      EXPECT_TRUE(said.finish == "length" ||
                  Fits(json::parse(said.content, nullptr, false), schema))
          << budget << said.content;
    }
  }
}

}  // namespace
}  // namespace facet::serve
