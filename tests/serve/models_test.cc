// Several models under one memory budget, and adapters by name.
#include "base/base64.h"
#include "base/mapped_file.h"
#include "model/estimate.h"
#include "support/http_client.h"
#include "support/paths.h"

namespace facet::serve {
namespace {

using nlohmann::json;

constexpr size_t kMiB = size_t{1} << 20;

class ModelsTest : public ServerTest {
 protected:
  // Scripted models a, b, c of 64 MiB each: 32 for the vocabulary, 32 for keys and values.
  void Start(size_t memory, int count = 3, size_t cache = 32 * kMiB) {
    options_.model.cache_budget = cache;
    options_.memory.bytes = memory;
    for (int i = 0; i < count; ++i) {
      const std::string name(1, static_cast<char>('a' + i));
      const auto path = folder_ / (name + ".jsonl");
      std::ofstream(path) << json({{"match", "SLOW"},
                                   {"emit", "tick tack tick tack tick tack"},
                                   {"delay_ms", 100}})
                          << '\n'
                          << json({{"emit", "I am " + name + "."}}) << '\n';
      options_.models.push_back({.id = name, .files = {}, .script = path});
    }
    StartServer({{{"emit", "unused"}}});
  }
  HttpAnswer Ask(const std::string& model, const std::string& text = "Hi") {
    return Chat({{"model", model}}, text);
  }
  std::string Said(const std::string& model) {
    const HttpAnswer answer = Ask(model);
    if (answer.status != 200) return answer.body;
    return answer.Json()["choices"][0]["message"]["content"];
  }
  // The states of a, b, c as /v1/models tells them.
  std::vector<std::string> States() {
    std::vector<std::string> out;
    const json list = Request("GET", "/v1/models").Json();
    for (const json& model : list["data"]) out.push_back(model["status"]["value"]);
    return out;
  }
  using Strings = std::vector<std::string>;
};

TEST_F(ModelsTest, LoadsOnDemandAndGivesUpTheLongestUnused) {
  Start(150 * kMiB);  // two at a time
  EXPECT_EQ(States(), Strings({"loaded", "unloaded", "unloaded"}));
  EXPECT_EQ(Said("b"), "I am b.");
  EXPECT_EQ(States(), Strings({"loaded", "loaded", "unloaded"}));
  EXPECT_EQ(Said("a"), "I am a.");
  EXPECT_EQ(Said("c"), "I am c.");
  EXPECT_EQ(States(), Strings({"loaded", "unloaded", "loaded"}));
  EXPECT_EQ(Said("b"), "I am b.");
  EXPECT_EQ(States(), Strings({"unloaded", "loaded", "loaded"}));
  EXPECT_EQ(Request("GET", "/health").status, 200);
  const std::string metrics = Request("GET", "/metrics").body;
  EXPECT_NE(metrics.find(Cat("facet_memory_budget_bytes ", 150 * kMiB)), std::string::npos);
  EXPECT_NE(metrics.find(Cat("facet_memory_models_bytes ", 128 * kMiB)), std::string::npos);
}

TEST_F(ModelsTest, EveryModelTellsItsLimitsBeforeItIsLoaded) {
  Start(150 * kMiB, 2);
  json b;
  for (int i = 0; i < 200 && !b.contains("context_length"); ++i) {
    b = Request("GET", "/v1/models/b").Json();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(b["status"]["value"], "unloaded");
  EXPECT_EQ(b["context_length"], 131072);
  EXPECT_EQ(b["architecture"]["input_modalities"], json({"text", "image", "video", "audio"}));
  EXPECT_EQ(b["meta"]["memory_bytes"], 64 * kMiB);
}

TEST_F(ModelsTest, AModelInUseIsNeverGivenUp) {
  options_.memory.wait = std::chrono::milliseconds(50);
  Start(100 * kMiB, 2);  // one at a time
  std::thread slow([&] {
    const HttpAnswer answer = Ask("a", "SLOW");
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.Json()["choices"][0]["message"]["content"], "tick tack tick tack tick tack");
  });
  while (server_->models().Loaded("a")->engine->Stats().running == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const HttpAnswer refused = Ask("b");
  EXPECT_EQ(refused.status, 503);
  const json error = refused.Json()["error"];
  EXPECT_EQ(error["code"], "model_busy");
  EXPECT_EQ(error["param"], "model");
  EXPECT_NE(error["message"].get<std::string>().find("in use now: 'a' (67.1 MB)"),
            std::string::npos)
      << error["message"];
  EXPECT_NE(refused.head.find("Retry-After"), std::string::npos);
  slow.join();
  EXPECT_EQ(Said("b"), "I am b.");
}

TEST_F(ModelsTest, ARequestWaitsForAnotherModelToBecomeIdle) {
  Start(100 * kMiB, 2);
  std::thread slow([&] { EXPECT_EQ(Ask("a", "SLOW").status, 200); });
  while (server_->models().Loaded("a")->engine->Stats().running == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::vector<std::thread> others;
  for (int i = 0; i < 8; ++i) others.emplace_back([&] { EXPECT_EQ(Said("b"), "I am b."); });
  // Nothing that waits for a model holds a thread that others need.
  EXPECT_EQ(Request("GET", "/health").status, 200);
  EXPECT_EQ(Said("nope").find("{\"error\""), 0u);
  slow.join();
  for (std::thread& other : others) other.join();
}

TEST_F(ModelsTest, WhatCanNeverFitSaysHowMuchItNeeds) {
  Start(50 * kMiB, 1);
  Stop();
  EXPECT_FALSE(run_.ok());
  EXPECT_NE(run_.error().message.find("'a' needs 33.6 MB and 33.6 MB for keys and values; this "
                                      "server may use 52.4 MB"),
            std::string::npos)
      << run_.error().message;
}

TEST_F(ModelsTest, KeysAndValuesGetWhatIsLeft) {
  options_.model.cache_budget = size_t{8} << 30;
  const auto path = folder_ / "a.jsonl";
  std::ofstream(path) << json({{"emit", "x"}});
  options_.models = {{.id = "a", .files = {}, .script = path}};
  options_.memory.bytes = 100 * kMiB;
  StartServer({{{"emit", "unused"}}});
  EXPECT_EQ(Ask("a").status, 200);
  EXPECT_EQ(server_->models().Loaded("a")->engine->Stats().cache_budget, 68 * kMiB);
}

// What a model says that it can hold is refused at once beyond, and answered up to there.
TEST_F(ModelsTest, TheContextIsWhatTheCacheHolds) {
  options_.model.cache_budget = kMiB;
  StartServer({{{"emit", "ok"}}});
  const int context = Request("GET", "/v1/models").Json()["data"][0]["context_length"];
  EXPECT_LT(context, 20000);
  EXPECT_EQ(server_->models().Loaded("gemma-4-12b")->engine->context(), context);
  const auto ask = [&](int tokens) {
    const std::vector<int> prompt(tokens, 100);
    return Post("/v1/completions", {{"prompt", prompt}, {"max_tokens", 4}});
  };
  const HttpAnswer refused = ask(context);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.Json()["error"]["code"], "context_length_exceeded") << refused.body;
  EXPECT_EQ(ask(context - 8).status, 200);
}

// Of what is asked for, as much as the memory leaves: said before the model is loaded.
TEST_F(ModelsTest, TheContextIsWhatTheMemoryLeaves) {
  options_.model.context = 1 << 20;
  Start(70 * kMiB, 2, size_t{8} << 30);  // 38 MiB for keys and values
  json b;
  for (int i = 0; i < 200 && !b.contains("context_length"); ++i) {
    b = Request("GET", "/v1/models/b").Json();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const int context = server_->models().Loaded("a")->engine->context();
  EXPECT_LT(context, 1 << 20);
  EXPECT_GT(context, 1 << 19);
  EXPECT_EQ(b["status"]["value"], "unloaded");
  EXPECT_EQ(b["context_length"], context);
  EXPECT_EQ(Request("GET", "/v1/models/a").Json()["context_length"], context);
}

TEST_F(ModelsTest, ACacheThatHoldsNothingIsAnError) {
  const auto tiny = std::filesystem::path(TestsDir()) / "reference/tiny";
  options_.model.cache_budget = 1000;
  options_.models = {{.id = "tiny", .files = {"tiny", tiny / "checkpoint", {}, {}}}};
  StartServer({{{"emit", "unused"}}});
  Stop();
  ASSERT_FALSE(run_.ok());
  EXPECT_NE(run_.error().message.find("for keys and values do not hold a conversation"),
            std::string::npos)
      << run_.error().message;
}

TEST_F(ModelsTest, AnAdapterIsAModelOfItsOwnWithAPrefixCacheOfItsOwn) {
  const auto path = folder_ / "a.jsonl";
  std::ofstream(path) << json({{"emit", "x"}});
  options_.models = {{.id = "a", .files = {}, .script = path, .adapters = {{"tuned", folder_}}}};
  StartServer({{{"emit", "unused"}}});
  const json list = Request("GET", "/v1/models").Json()["data"];
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[1]["id"], "a:tuned");
  EXPECT_EQ(list[1]["parent"], "a");
  EXPECT_EQ(list[1]["status"]["value"], "loaded");
  const auto cached = [&](const std::string& model) {
    const json body = Ask(model).Json();
    EXPECT_EQ(body["model"], model);
    return body["usage"]["prompt_tokens_details"]["cached_tokens"].get<int>();
  };
  EXPECT_EQ(cached("a"), 0);
  EXPECT_EQ(cached("a:tuned"), 0);
  EXPECT_GT(cached("a"), 0);
  EXPECT_GT(cached("a:tuned"), 0);
  // They share an engine, which counts once.
  const std::string metrics = Request("GET", "/metrics").body;
  EXPECT_NE(metrics.find("facet_prompt_tokens_total{model=\"a\"}"), std::string::npos);
  EXPECT_EQ(metrics.find("a:tuned"), std::string::npos);
  EXPECT_EQ(Ask("a:other").Json()["error"]["code"], "model_not_found");
  EXPECT_EQ(Request("GET", "/v1/models/a:tuned").status, 200);
}

// The base model and its adapter share steps and differ in every answer; each says the same as it
// does alone.
TEST_F(ModelsTest, AnAdapterIsAppliedToItsOwnRequestsAlone) {
  const auto tiny = std::filesystem::path(TestsDir()) / "reference/tiny";
  options_.models = {{.id = "tiny",
                      .files = {"tiny", tiny / "checkpoint", {}, {}},
                      .adapters = {{"tuned", tiny / "adapter-after-3-steps"}}}};
  StartServer({{{"emit", "unused"}}});
  ASSERT_TRUE(run_.ok()) << run_.error().message;
  const auto complete = [&](const std::string& model, int seed) {
    const json body = {{"model", model},
                       {"prompt", json::array({2, 40 + seed, 50, 60, 70, 80})},
                       {"max_tokens", 8},
                       {"temperature", 0},
                       {"logprobs", 1}};
    const HttpAnswer answer = Post("/v1/completions", body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.Json()["choices"][0]["logprobs"]["token_logprobs"];
  };
  std::vector<json> base, tuned;
  for (int i = 0; i < 4; ++i) {
    base.push_back(complete("tiny", i));
    tuned.push_back(complete("tiny:tuned", i));
    EXPECT_NE(base[i], tuned[i]);
  }
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&, i] { EXPECT_EQ(complete("tiny", i), base[i]); });
    clients.emplace_back([&, i] { EXPECT_EQ(complete("tiny:tuned", i), tuned[i]); });
  }
  for (std::thread& client : clients) client.join();
  const auto embed = [&](const std::string& model) {
    return Post("/v1/embeddings", {{"model", model}, {"input", {2, 40, 50}}})
        .Json()["data"][0]["embedding"];
  };
  EXPECT_NE(embed("tiny"), embed("tiny:tuned"));
}

// The drafter is loaded with its model: what it takes counts in the model's memory.
TEST_F(ModelsTest, ADrafterCountsInTheBudget) {
  const auto tiny = std::filesystem::path(TestsDir()) / "reference/tiny";
  const ModelSpec plain{.id = "tiny", .files = {"tiny", tiny / "checkpoint", {}, {}}};
  ModelSpec drafted = plain;
  drafted.files.drafter = tiny / "checkpoint-assistant";
  options_.model.engine.max_sequences = 3;
  const auto fixed = [&](const ModelSpec& spec) {
    const auto facts = MeasureModel(spec, options_.model);
    EXPECT_TRUE(facts.ok()) << facts.error().message;
    return facts.ok() ? facts->fixed : 0;
  };
  const auto drafter = EstimateDrafter(*drafted.files.drafter, 3);
  ASSERT_TRUE(drafter.ok()) << drafter.error().message;
  const size_t without = fixed(plain);
  EXPECT_EQ(fixed(drafted), without + drafter->total());
  options_.model.engine.draft.mode = DraftOptions::Mode::kOff;
  EXPECT_EQ(fixed(drafted), without);

  // What fits without its drafter and not with it is refused.
  options_.model.engine.draft.mode = DraftOptions::Mode::kAuto;
  options_.model.cache_budget = 4 * kMiB;
  const size_t least = MeasureModel(plain, options_.model)->least;
  options_.memory.bytes = without + std::min(least, 4 * kMiB) + drafter->total() / 2;
  for (const ModelSpec& spec : {plain, drafted}) {
    ModelPool models({spec}, options_.model, options_.memory);
    const auto model = models.Get("tiny");
    EXPECT_EQ(!model, spec.files.drafter.has_value());
    if (!model) {
      EXPECT_EQ(model.error().code, "insufficient_memory") << model.error().message;
    }
  }
}

// The processor's budget holds for pictures whose request names none.
TEST_F(ModelsTest, PicturesGetTheBudgetOfTheirCheckpoint) {
  const auto tiny = std::filesystem::path(TestsDir()) / "reference/tiny";
  std::filesystem::copy(tiny / "checkpoint", folder_ / "own");
  std::ofstream(folder_ / "own/processor_config.json")
      << json({{"image_processor", {{"max_soft_tokens", 70}}}});
  options_.models = {{.id = "usual", .files = {"usual", tiny / "checkpoint", {}, {}}},
                     {.id = "own", .files = {"own", folder_ / "own", {}, {}}}};
  StartServer({{{"emit", "unused"}}});
  ASSERT_TRUE(run_.ok()) << run_.error().message;
  const auto picture = ReadFile(tiny / "media/photo.png");
  ASSERT_TRUE(picture.ok());
  const auto tokens = [&](const std::string& model, json part = json::object()) {
    part.update({{"type", "image_url"},
                 {"image_url", {{"url", "data:image/png;base64," + EncodeBase64(*picture)}}}});
    const HttpAnswer answer =
        Post("/v1/chat/completions",
             {{"model", model},
              {"max_tokens", 1},
              {"messages", {{{"role", "user"}, {"content", json::array({part})}}}}});
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.status == 200 ? answer.Json()["usage"]["prompt_tokens"].get<int>() : 0;
  };
  const int usual = tokens("usual"), own = tokens("own");
  EXPECT_LT(own + 70, usual);
  EXPECT_EQ(tokens("own", {{"image_budget", 280}}), usual);
}

}  // namespace
}  // namespace facet::serve
