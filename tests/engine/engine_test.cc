// The scheduler on the reference's tiny model: what is cached, batched, cut or evicted never
// changes an answer.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <random>
#include <stdexcept>

#include "engine/model_executor.h"
#include "support/paths.h"
#include "support/wait.h"

namespace facet {
namespace {

class Collector : public GenerationListener {
 public:
  Decision OnToken(const Sampled& token) override {
    const std::lock_guard lock(mutex_);
    ids_.push_back(token.id);
    return {};
  }
  void OnEmbedding(std::vector<double> mean) override { mean_ = std::move(mean); }
  void OnPromptToken(const Sampled& token) override { prompt_.push_back(token); }
  const std::vector<Sampled>& prompt() const { return prompt_; }
  const std::vector<double>& mean() const { return mean_; }
  void OnDone(const Outcome& outcome) override {
    const std::lock_guard lock(mutex_);
    outcome_ = outcome;
    done_.notify_all();
  }
  Outcome Wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return outcome_.has_value(); });
    return *outcome_;
  }
  bool done() {
    const std::lock_guard lock(mutex_);
    return outcome_.has_value();
  }
  std::vector<TokenId> ids() {
    const std::lock_guard lock(mutex_);
    return ids_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<TokenId> ids_;
  std::optional<Outcome> outcome_;
  std::vector<double> mean_;
  std::vector<Sampled> prompt_;
};

// Takes one token and no more before it is told to.
class SlowReader : public Collector {
 public:
  Decision OnToken(const Sampled& token) override {
    ++taken;
    return Collector::OnToken(token);
  }
  bool Ready() const override {
    ++asked;
    return reads || taken == 0;
  }
  // Waits for some rounds of the scheduler: each asks every sequence that could go on.
  [[nodiscard]] bool WaitForRounds() const {
    const int before = asked;
    return WaitFor([&] { return asked >= before + 20; });
  }
  std::atomic<bool> reads{false};
  std::atomic<int> taken{0};
  mutable std::atomic<int> asked{0};
};

// Writes down whose requests end, in their order.
class Finisher : public Collector {
 public:
  Finisher(std::string name, std::vector<std::string>& order)
      : name_(std::move(name)), order_(order) {}
  void OnDone(const Outcome& outcome) override {
    order_.push_back(name_);
    Collector::OnDone(outcome);
  }

 private:
  std::string name_;
  std::vector<std::string>& order_;  // the engine's thread writes alone until all are done
};

class EngineTest : public testing::Test {
 protected:
  std::unique_ptr<Model> Load(size_t budget = 0) {
    LoadOptions options;
    options.model = std::filesystem::path(TestsDir()) / "reference/tiny/checkpoint";
    options.precision = Precision::kPlain;
    options.cache = CacheType::kF32;
    options.cache_budget = budget;
    auto model = Model::Load(options, pool_);
    if (!model.ok()) throw std::runtime_error(model.error().message);
    return std::move(*model);
  }
  static std::shared_ptr<Collector> Submit(Engine& engine, std::shared_ptr<const Prompt> prompt,
                                           int max_tokens, const std::string& scope = "",
                                           std::shared_ptr<Collector> collector = nullptr) {
    if (collector == nullptr) collector = std::make_shared<Collector>();
    GenerationRequest request;
    request.prompt = std::move(prompt);
    request.sampling.temperature = 0;
    request.max_tokens = max_tokens;
    request.scope = request.tenant = scope;
    const auto id = engine.Submit(std::move(request), collector);
    EXPECT_TRUE(id.ok());
    return collector;
  }
  static std::shared_ptr<Prompt> Text(std::vector<TokenId> ids) {
    auto prompt = std::make_shared<Prompt>();
    prompt->ids = std::move(ids);
    return prompt;
  }
  static std::shared_ptr<Prompt> Random(int length, int seed) {
    std::mt19937 random(seed);
    std::vector<TokenId> ids;
    for (int i = 0; i < length; ++i) ids.push_back(20 + random() % 200);
    return Text(std::move(ids));
  }
  // A picture of 5 x 4 patches behind `begin` tokens.
  void AddPicture(Prompt& prompt, int begin, int seed) {
    auto item = std::make_shared<SoftItem>();
    item->begin = begin;
    item->count = 20;
    item->digest = {1000 + static_cast<uint64_t>(seed)};
    item->patches.columns = 5;
    item->patches.rows = 4;
    item->patches.pixels.resize(20 * media::kPatchValues);
    std::mt19937 random(seed);
    for (auto& value : item->patches.pixels) value = random() & 255;
    prompt.ids.insert(prompt.ids.begin() + begin, 20, 5);
    prompt.items.push_back(std::move(item));
  }
  // A second of sound behind `begin` tokens.
  void AddSound(Prompt& prompt, int begin, int seed) {
    auto item = std::make_shared<SoftItem>();
    item->kind = SoftItem::Kind::kAudio;
    item->begin = begin;
    item->count = 25;
    item->digest = {2000 + static_cast<uint64_t>(seed)};
    std::mt19937 random(seed);
    for (int i = 0; i < 25 * media::kFrameSamples; ++i)
      item->frames.push_back(static_cast<float>(random() % 2000) / 1000 - 1);
    prompt.ids.insert(prompt.ids.begin() + begin, 25, 6);
    const auto at = std::find_if(prompt.items.begin(), prompt.items.end(),
                                 [&](const auto& other) { return other->begin >= begin; });
    for (auto later = at; later != prompt.items.end(); ++later) {
      auto moved = std::make_shared<SoftItem>(**later);
      moved->begin += 25;
      *later = std::move(moved);
    }
    prompt.items.insert(at, std::move(item));
  }
  std::vector<std::shared_ptr<Prompt>> Conversations() {
    std::mt19937 random(5);
    std::vector<std::shared_ptr<Prompt>> prompts;
    for (int i = 0; i < 12; ++i) {
      std::vector<TokenId> ids;
      // Three families that share beginnings of different length.
      std::mt19937 family(i % 3);
      const int shared = 40 + static_cast<int>(random() % 100),
                own = 1 + static_cast<int>(random() % 40);
      for (int k = 0; k < shared; ++k) ids.push_back(20 + family() % 200);
      for (int k = 0; k < own; ++k) ids.push_back(20 + random() % 200);
      auto prompt = Text(std::move(ids));
      // A family has its media in common: text alone, a picture, a sound before a picture.
      if (i % 3 > 0) AddPicture(*prompt, 30, i % 3);
      if (i % 3 == 2) AddSound(*prompt, 10, 9);
      prompts.push_back(std::move(prompt));
    }
    return prompts;
  }
  std::vector<std::vector<TokenId>> Answers(Engine& engine, bool together) {
    std::vector<std::shared_ptr<Collector>> collectors;
    std::vector<std::vector<TokenId>> out;
    for (const auto& prompt : Conversations()) {
      collectors.push_back(Submit(engine, prompt, 12));
      if (!together) collectors.back()->Wait();
    }
    for (const auto& collector : collectors) {
      EXPECT_EQ(collector->Wait().reason, Outcome::Reason::kLength)
          << collector->Wait().error.message;
      out.push_back(collector->ids());
    }
    return out;
  }
  ThreadPool pool_{1};
};

TEST_F(EngineTest, CacheBatchAndEvictionChangeNothing) {
  const auto plain_model = Load();
  EngineOptions plain;
  plain.max_sequences = 1;
  plain.prefix_cache = false;
  std::vector<std::vector<TokenId>> want;
  {
    Engine engine(MakeModelExecutor(*plain_model), plain);
    want = Answers(engine, false);
    EXPECT_EQ(engine.Stats().cached_tokens, 0u);
  }
  const auto model = Load();
  {
    Engine engine(MakeModelExecutor(*model));
    EXPECT_EQ(Answers(engine, false), want);  // each finds what came before
    EXPECT_GT(engine.Stats().cached_tokens, 200u);
    EXPECT_EQ(Answers(engine, true), want);  // all at once, all cached
  }
  EXPECT_EQ(model->cache().bytes_in_use(), 0u);
  {
    EngineOptions odd;
    odd.chunk = 37;
    odd.max_sequences = 7;
    Engine engine(MakeModelExecutor(*model), odd);
    EXPECT_EQ(Answers(engine, true), want);
  }
  // Room for few sequences: snapshots are evicted, sequences are preempted.
  const auto small = Load(size_t{500} << 10);
  {
    Engine engine(MakeModelExecutor(*small));
    EXPECT_EQ(Answers(engine, true), want);
    EXPECT_EQ(Answers(engine, true), want);
    EXPECT_GT(engine.Stats().evictions, 0u);
  }
}

// Somebody who waits to be read or to start waits for a step of bounded time, as one who writes
// does.
TEST_F(EngineTest, PromptsAreCutByTimeWhereOthersWait) {
  const auto model = Load();
  EngineOptions options;
  options.step_ms = 1e-9;
  options.prefix_cache = false;
  const auto prompt = [](int seed) {
    auto made = std::make_shared<Prompt>();
    std::mt19937 random(seed);
    for (int i = 0; i < 1000; ++i) made->ids.push_back(20 + random() % 200);
    return made;
  };
  uint64_t alone = 0, together = 0;
  {
    Engine engine(MakeModelExecutor(*model), options);
    Submit(engine, prompt(1), 1)->Wait();
    alone = engine.Stats().steps;
  }
  {
    Engine engine(MakeModelExecutor(*model), options);
    const auto first = Submit(engine, prompt(1), 1), second = Submit(engine, prompt(2), 1);
    first->Wait();
    second->Wait();
    together = engine.Stats().steps;
  }
  EXPECT_LE(alone, 4u);      // 512 rows a step
  EXPECT_GE(together, 16u);  // 32 rows
}

TEST_F(EngineTest, ABranchComputesAtMost64KnownTokensAgain) {
  const auto model = Load();
  Engine engine(MakeModelExecutor(*model));
  std::vector<TokenId> ids;
  std::mt19937 random(1);
  for (int i = 0; i < 900; ++i) ids.push_back(20 + random() % 200);
  Submit(engine, Text(ids), 3)->Wait();
  for (int common : {880, 700, 333, 129, 64, 70}) {
    auto branch = ids;
    branch.resize(common);
    branch.resize(common + 40, 19);
    const Outcome outcome = Submit(engine, Text(branch), 2)->Wait();
    EXPECT_GE(outcome.stats.cached, common - 64) << common;
    EXPECT_LE(outcome.stats.cached, common);
  }
  EXPECT_EQ(Submit(engine, Text(ids), 2, "other")->Wait().stats.cached, 0);
}

TEST_F(EngineTest, RequestsThatComeTogetherShareOnePrefill) {
  const auto model = Load();
  Engine engine(MakeModelExecutor(*model));
  std::vector<TokenId> ids;
  for (int i = 0; i < 800; ++i) ids.push_back(20 + i % 177);
  const auto prompt = Text(ids);
  std::vector<std::shared_ptr<Collector>> all;
  for (int i = 0; i < 4; ++i) all.push_back(Submit(engine, prompt, 4));
  int cached = 0;
  for (const auto& one : all) cached += one->Wait().stats.cached;
  EXPECT_EQ(cached, 3 * 799);
}

TEST_F(EngineTest, OtherPicturesAreOtherPrompts) {
  const auto model = Load();
  Engine engine(MakeModelExecutor(*model));
  std::vector<TokenId> ids(120, 33);
  auto one = Text(ids), same = Text(ids), other = Text(ids);
  AddPicture(*one, 50, 1);
  AddPicture(*same, 50, 1);
  AddPicture(*other, 50, 2);
  Submit(engine, one, 2)->Wait();
  EXPECT_EQ(Submit(engine, same, 2)->Wait().stats.cached, 139);
  EXPECT_LE(Submit(engine, other, 2)->Wait().stats.cached, 50);
}

TEST_F(EngineTest, TheMeanOfAllStatesIsTheSameInAnyCompany) {
  const auto model = Load();
  std::vector<TokenId> ids;
  std::mt19937 random(7);
  for (int i = 0; i < 150; ++i) ids.push_back(20 + random() % 200);
  // By hand: one chunk, all states.
  KvSequence sequence(model->cache());
  Buffer hidden;
  const Chunk chunk{.sequence = &sequence, .tokens = ids, .soft = {}, .outputs = 150};
  ASSERT_TRUE(model->Forward({&chunk, 1}, hidden).ok());
  std::vector<double> want(hidden.cols());
  for (int64_t i = 0; i < hidden.rows(); ++i) {
    for (int64_t k = 0; k < hidden.cols(); ++k) want[k] += hidden.view().row_span(i)[k];
  }
  for (double& value : want) value /= 150;
  sequence = KvSequence(model->cache());

  const auto embed = [&](Engine& engine) {
    auto collector = std::make_shared<Collector>();
    GenerationRequest request;
    request.prompt = Text(ids);
    request.embed = true;
    EXPECT_TRUE(engine.Submit(std::move(request), collector).ok());
    return collector;
  };
  {
    Engine engine(MakeModelExecutor(*model));
    const auto alone = embed(engine);
    EXPECT_EQ(alone->Wait().reason, Outcome::Reason::kStop);
    EXPECT_EQ(alone->mean(), want);
    EXPECT_EQ(alone->Wait().stats.generated, 0);
    EXPECT_EQ(engine.width(), static_cast<int>(want.size()));
  }
  EngineOptions odd;
  odd.chunk = 37;
  Engine engine(MakeModelExecutor(*model), odd);
  const auto text = Submit(engine, Text(ids), 20);
  const auto first = embed(engine), second = embed(engine);
  for (const auto& one : {first, second}) {
    one->Wait();
    EXPECT_EQ(one->mean(), want);
  }
  text->Wait();
  const auto again = embed(engine);  // the text is cached now, its states are not
  EXPECT_EQ(again->Wait().stats.cached, 0);
  EXPECT_EQ(again->mean(), want);
}

TEST_F(EngineTest, ThePromptsLogProbabilitiesAreTheModelsOwnInAnyCompany) {
  const auto model = Load();
  std::vector<TokenId> ids;
  std::mt19937 random(8);
  for (int i = 0; i < 150; ++i) ids.push_back(20 + random() % 200);
  KvSequence sequence(model->cache());
  Buffer hidden;
  const Chunk chunk{.sequence = &sequence, .tokens = ids, .soft = {}, .outputs = 150};
  ASSERT_TRUE(model->Forward({&chunk, 1}, hidden).ok());
  Buffer logits;
  model->Logits(hidden, logits.Resize(150, model->config().text.vocab));
  sequence = KvSequence(model->cache());
  const auto check = [&](const std::shared_ptr<Collector>& collector, int generated) {
    EXPECT_EQ(collector->Wait().stats.generated, generated);
    ASSERT_EQ(collector->prompt().size(), 149u);
    for (int i = 0; i < 149; ++i) {
      const std::span<const float> row = logits.view().row_span(i);
      const Sampled& token = collector->prompt()[i];
      ASSERT_EQ(token.id, ids[i + 1]);
      EXPECT_EQ(token.logprob, static_cast<float>(row[token.id] - LogSumExp(row)));
      EXPECT_EQ(token.top.at(0).first, ArgMax(row));
    }
  };
  EngineOptions odd;
  odd.chunk = 37;
  for (const EngineOptions& options : {EngineOptions(), odd}) {
    Engine engine(MakeModelExecutor(*model), options);
    const auto ask = [&](bool read_only) {
      auto collector = std::make_shared<Collector>();
      GenerationRequest request;
      request.prompt = Text(ids);
      request.sampling.temperature = 0;
      request.max_tokens = 3;
      request.prompt_logprobs = 1;
      request.read_only = read_only;
      EXPECT_TRUE(engine.Submit(std::move(request), collector).ok());
      return collector;
    };
    const auto text = Submit(engine, Text(ids), 20);
    const auto whole = ask(false), prompt_alone = ask(true);
    check(whole, 3);
    check(prompt_alone, 0);
    // What it says then is what it says without.
    text->Wait();
    std::vector<TokenId> without = text->ids();
    without.resize(3);
    EXPECT_EQ(whole->ids(), without);
    EXPECT_EQ(prompt_alone->Wait().reason, Outcome::Reason::kLength);
  }
}

TEST_F(EngineTest, NoStopTokenComesBeforeTheLeastTokens) {
  const auto model = Load();
  Engine engine(MakeModelExecutor(*model));
  const auto free = Submit(engine, Random(60, 3), 12);
  free->Wait();
  const auto ask = [&](int least) {
    auto collector = std::make_shared<Collector>();
    GenerationRequest request;
    request.prompt = Random(60, 3);
    request.sampling.temperature = 0;
    request.max_tokens = 12;
    request.min_tokens = least;
    request.stop_tokens = free->ids();  // everything that it would say ends the answer
    EXPECT_TRUE(engine.Submit(std::move(request), collector).ok());
    return collector->Wait().stats.generated;
  };
  EXPECT_EQ(ask(0), 1);
  EXPECT_GT(ask(7), 7);
}

// One place, and a tenant whose work so far outweighs all that others ask for: that they had none
// until now gives them no right to catch up.
TEST_F(EngineTest, NobodySavesUpTurns) {
  const auto model = Load();
  EngineOptions options;
  options.max_sequences = 1;
  options.patience = std::chrono::hours(1);
  std::vector<std::string> order;
  Engine engine(MakeModelExecutor(*model), options);
  int seed = 0;
  Submit(engine, Random(50, ++seed), 2, "idle")->Wait();
  for (int i = 0; i < 4; ++i) Submit(engine, Random(700, ++seed), 2, "busy")->Wait();

  const auto first = std::make_shared<SlowReader>();
  Submit(engine, Random(200, ++seed), 4, "busy", first);
  ASSERT_TRUE(WaitFor([&] { return first->taken > 0; }));
  std::vector<std::shared_ptr<Collector>> all;
  for (const std::string name : {"idle", "new", "busy"}) {
    for (int i = 0; i < (name == "busy" ? 2 : 12); ++i) {
      all.push_back(
          Submit(engine, Random(50, ++seed), 2, name, std::make_shared<Finisher>(name, order)));
    }
  }
  first->reads = true;
  for (const auto& one : all) EXPECT_EQ(one->Wait().reason, Outcome::Reason::kLength);
  // Each of the others has its 200 tokens' worth before it; from then on all take turns.
  ASSERT_EQ(order.size(), 26u);
  EXPECT_NE(order[0], "busy");
  const auto busy = std::find(order.begin(), order.end(), "busy");
  EXPECT_LE(busy - order.begin(), 10);
  EXPECT_LE(std::find(busy + 1, order.end(), "busy") - order.begin(), 14);
}

TEST_F(EngineTest, ASlowReaderIsPreemptedWhereOthersWait) {
  const auto model = Load();
  EngineOptions options;
  options.max_sequences = 2;
  options.patience = std::chrono::milliseconds(1);
  Engine engine(MakeModelExecutor(*model), options);
  const auto prompt = Random(150, 1);
  const auto alone = Submit(engine, prompt, 40);
  ASSERT_EQ(alone->Wait().reason, Outcome::Reason::kLength);

  std::vector<std::shared_ptr<SlowReader>> slow;
  for (int i = 0; i < 2; ++i) {
    slow.push_back(std::make_shared<SlowReader>());
    Submit(engine, prompt, 40, "", slow.back());
    ASSERT_TRUE(WaitFor([&] { return slow.back()->taken > 0; }));
  }
  // While nobody else is there, they keep their places.
  ASSERT_TRUE(slow[0]->WaitForRounds());
  EXPECT_EQ(engine.Stats().running, 2);
  EXPECT_EQ(engine.Stats().preemptions, 0u);

  const auto other = Submit(engine, Random(80, 2), 8, "other");
  ASSERT_TRUE(WaitFor([&] { return other->done(); }));
  EXPECT_EQ(other->Wait().reason, Outcome::Reason::kLength);
  // One was preempted. It does not come back to a free place as long as nobody reads it.
  const auto waits = [&] { return engine.Stats().running == 1 && engine.Stats().waiting == 1; };
  EXPECT_TRUE(WaitFor(waits));
  for (const auto& one : slow) ASSERT_TRUE(one->WaitForRounds());
  EXPECT_TRUE(waits());
  EXPECT_EQ(engine.Stats().preemptions, 1u);

  for (const auto& one : slow) one->reads = true;
  for (const auto& one : slow) {
    EXPECT_EQ(one->Wait().reason, Outcome::Reason::kLength);
    EXPECT_EQ(one->ids(), alone->ids());  // what was said stays said
  }
}

// Whatever fits into the context is computed to its end, next to others as well.
TEST_F(EngineTest, TheContextIsWhatTheCacheHolds) {
  for (const size_t kib : {200, 500, 1000}) {
    const auto model = Load(kib << 10);
    Engine engine(MakeModelExecutor(*model));
    const int context = engine.context();
    ASSERT_GT(context, 64) << kib;
    ASSERT_LT(context, model->config().text.context) << kib;
    const auto full = Submit(engine, Random(context - 40, 1), 1000);
    const auto other = Submit(engine, Random(60, 2), 10);
    EXPECT_EQ(full->Wait().reason, Outcome::Reason::kLength) << full->Wait().error.message;
    EXPECT_EQ(full->ids().size(), 40u);
    EXPECT_EQ(other->Wait().reason, Outcome::Reason::kLength) << other->Wait().error.message;

    GenerationRequest request;
    request.prompt = Random(context, 3);
    const auto refused = engine.Submit(std::move(request), std::make_shared<Collector>());
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, ErrorKind::kOverContext);
  }
  const auto model = Load(size_t{64} << 20);
  EXPECT_EQ(MakeModelExecutor(*model)->context(), model->config().text.context);
  EXPECT_EQ(MakeModelExecutor(*model, 300)->context(), 300);
}

TEST_F(EngineTest, RefusesAndCancels) {
  const auto model = Load();
  EngineOptions options;
  options.max_sequences = 1;
  options.max_queue = 1;
  Engine engine(MakeModelExecutor(*model, 256), options);
  const auto submit = [&](std::vector<TokenId> ids,
                          std::shared_ptr<Collector> collector = std::make_shared<Collector>()) {
    GenerationRequest request;
    request.prompt = Text(std::move(ids));
    request.max_tokens = 200;
    return engine.Submit(std::move(request), collector);
  };
  EXPECT_FALSE(submit({}).ok());
  EXPECT_FALSE(submit(std::vector<TokenId>(256, 20)).ok());
  const auto full = Submit(engine, Text(std::vector<TokenId>(250, 20)), 1000);
  EXPECT_EQ(full->Wait().reason, Outcome::Reason::kLength);
  EXPECT_EQ(full->ids().size(), 6u);
  const auto cancelled = std::make_shared<Collector>();
  const auto id = submit({20, 21}, cancelled);
  ASSERT_TRUE(id.ok());
  engine.Cancel(*id);
  EXPECT_EQ(cancelled->Wait().reason, Outcome::Reason::kCancelled);
  engine.Stop();
  EXPECT_FALSE(submit({20, 21}).ok());
}

}  // namespace
}  // namespace facet
