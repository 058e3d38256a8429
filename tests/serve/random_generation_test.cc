// Random weights asked for everything at once: a form of the answer, tools, a budget for thoughts,
// drafts, stop strings, limits. Whatever meets, each generation ends; what ended by itself is
// valid.
#include <random>

#include "support/http_client.h"
#include "support/random_forms.h"
#include "support/vocabularies.h"

namespace facet::serve {
namespace {

using nlohmann::json;

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
      schema = pick(RandomForms());
      request["response_format"] = {
          {"type", "json_schema"},
          {"json_schema", {{"name", "x"}, {"schema", schema}, {"strict", true}}}};
    }
    if (form == 1 || form == 2) {
      request["tools"] = RandomTools(below(2) == 0);
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
        for (const auto& [name, arguments] : said.calls)
          EXPECT_TRUE(FitsTool(name, arguments)) << name << arguments;
        continue;
      }
      EXPECT_EQ(said.finish, "stop");
      const json value = json::parse(said.content, nullptr, false);
      const bool valid = !schema.is_null() && !value.is_discarded() && FitsForm(value, schema);
      EXPECT_TRUE(valid || WasStopped(request, said)) << schema.dump();
    }
    for (const auto& [finish, count] : finishes)
      std::cout << count << " ended with " << finish << "\n";
    EXPECT_GT(finishes["stop"] + finishes["tool_calls"], rounds / 4);
  }

  std::mt19937 random_{20260};
};

TEST_F(RandomGenerations, EndAndAreValidWithFixedDraftsSlow) {
  StartTiny({.mode = DraftOptions::Mode::kFixed, .length = 3});
  Generate(RandomRounds(100));
}

TEST_F(RandomGenerations, EndAndAreValidWithAdaptiveDraftsSlow) {
  random_.seed(7);
  StartTiny({});
  Generate(RandomRounds(100));
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
    const json request = {
        {"seed", budget},
        {"stream", false},
        {"thinking_budget", budget},
        {"response_format",
         {{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"schema", schema}}}}}};
    const Said said = Ask(request);
    const json value = json::parse(said.content, nullptr, false);
    EXPECT_TRUE(said.finish == "length" || FitsForm(value, schema)) << budget << said.content;
  }
}

}  // namespace
}  // namespace facet::serve
