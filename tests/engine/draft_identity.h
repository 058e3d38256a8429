// Random generations on the tiny model, to compare what they give with and without drafts.
#pragma once

#include <condition_variable>
#include <mutex>
#include <random>

#include "engine/engine.h"
#include "engine/grammar_constraint.h"
#include "engine/model_executor.h"
#include "support/reference.h"

namespace facet {

// What one generation gave, all that a client could see.
struct Heard {
  std::vector<TokenId> ids;
  std::vector<float> logprobs;
  Outcome outcome;
  bool operator==(const Heard& other) const {
    return ids == other.ids && logprobs == other.logprobs &&
           outcome.reason == other.outcome.reason &&
           outcome.error.message == other.outcome.error.message;
  }
};

class Ear : public GenerationListener {
 public:
  struct Habits {
    int force_at = -1;  // after so many tokens, `force` must follow
    std::vector<TokenId> force;
    std::vector<TokenId> stop_phrase;  // ends the answer
  };
  explicit Ear(Habits habits) : habits_(std::move(habits)) {}

  Decision OnToken(const Sampled& token) override {
    const std::lock_guard lock(mutex_);
    heard_.ids.push_back(token.id);
    if (!token.top.empty()) heard_.logprobs.push_back(token.logprob);
    for (const auto& [id, logprob] : token.top) heard_.logprobs.push_back(logprob);
    Decision decision;
    if (static_cast<int>(heard_.ids.size()) == habits_.force_at) decision.force = habits_.force;
    const std::vector<TokenId>& phrase = habits_.stop_phrase;
    decision.stop = !phrase.empty() && heard_.ids.size() >= phrase.size() &&
                    std::equal(phrase.rbegin(), phrase.rend(), heard_.ids.rbegin());
    return decision;
  }
  void OnDone(const Outcome& outcome) override {
    const std::lock_guard lock(mutex_);
    heard_.outcome = outcome;
    done_ = true;
    changed_.notify_all();
  }
  Heard Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
    return heard_;
  }

 private:
  Habits habits_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Heard heard_;
  bool done_ = false;
};

// The i-th generation of a fixed series: prompts that share beginnings and repeat themselves, with
// pictures and sound, greedy and sampled, with everything that a request can ask for.
class Generations {
 public:
  explicit Generations(std::shared_ptr<const Tokenizer> tokenizer)
      : tokenizer_(std::move(tokenizer)),
        vocabulary_(Take(ConstraintVocabulary::Create(*tokenizer_, kStops))) {}

  // Some generations ask for it.
  void Use(std::shared_ptr<const Adapter> adapter) { adapter_ = std::move(adapter); }

  std::pair<GenerationRequest, std::shared_ptr<Ear>> Make(int i) const {
    std::mt19937 random(i);
    GenerationRequest request;
    request.prompt = MakePrompt(i % 5, random);
    SamplingParams& sampling = request.sampling;
    sampling.temperature = i % 2 == 0 ? 0 : 0.4 + 0.1 * (i % 6);
    if (i % 4 == 1) sampling.top_k = 20;
    if (i % 4 == 3) sampling.top_p = 0.8;
    if (i % 8 == 5) sampling.min_p = 0.1;
    if (i % 7 == 3) sampling.repetition_penalty = 1.2;
    if (i % 7 == 4) sampling.presence_penalty = 0.4, sampling.frequency_penalty = 0.2;
    // A favoured token makes text that repeats, whatever the weights are.
    if (i % 3 == 1) sampling.logit_bias = {{30 + i % 20, 9.0f}, {31 + i % 20, 8.5f}};
    sampling.suppress = {5, 6, 7, 8, 9, 10, 23};
    sampling.seed = i;
    request.max_tokens = 8 + static_cast<int>(random() % 40);
    request.anchors = {static_cast<int>(request.prompt->ids.size()) / 2};
    if (adapter_ && i % 11 < 3) request.adapter = adapter_, request.scope = "\nadapter\n";
    if (i % 6 == 2) request.top_logprobs = 3;
    if (i % 3 != 0) request.stop_tokens = kStops;
    Ear::Habits habits;
    if (i % 9 == 4) habits.force_at = 3, habits.force = {40, 41, 42, 43, 40, 41};
    if (i % 10 == 7) habits.stop_phrase = {30 + i % 20, 30 + i % 20};
    if (i % 8 == 6) {
      request.constraint = Take(vocabulary_->Compile(kForms[i / 8 % kForms.size()]));
      request.stop_tokens = kStops;
      habits.force_at = -1;
    }
    return {std::move(request), std::make_shared<Ear>(std::move(habits))};
  }

 private:
  static inline const std::vector<TokenId> kStops = {1, 12, 17};
  static inline const std::vector<std::string> kForms = {
      "start: /[a-e ]{3,40}/", "start: (\"one\" | \"two\" | \"three, four\")+ \".\"",
      "start: \"[\" item (\",\" item)* \"]\"\nitem: /[0-9]+/ | \"null\""};

  static void AddItem(Prompt& prompt, int begin, SoftItem::Kind kind, uint32_t seed) {
    auto item = std::make_shared<SoftItem>();
    const bool sound = kind == SoftItem::Kind::kAudio;
    item->kind = kind;
    item->begin = begin;
    item->count = sound ? 11 : 20;
    item->digest = {1000 + seed + (sound ? 500u : 0u)};
    std::mt19937 random(seed);
    if (sound) {
      item->frames.resize(11 * media::kFrameSamples);
      for (float& value : item->frames) value = static_cast<float>(random() % 2001) / 1000 - 1;
    } else {
      item->patches.columns = 5;
      item->patches.rows = 4;
      item->patches.pixels.resize(20 * media::kPatchValues);
      for (auto& value : item->patches.pixels) value = random() & 255;
    }
    prompt.ids.insert(prompt.ids.begin() + begin, item->count, sound ? 8 : 5);
    prompt.items.push_back(std::move(item));
  }

  static std::shared_ptr<const Prompt> MakePrompt(int family, std::mt19937& random) {
    auto prompt = std::make_shared<Prompt>();
    std::mt19937 shared(family);
    const int begin = 30 + static_cast<int>(shared() % 80);
    for (int i = 0; i < begin; ++i) prompt->ids.push_back(24 + shared() % 300);
    for (int i = static_cast<int>(random() % 30); i > 0; --i)
      prompt->ids.push_back(24 + random() % 300);
    if (random() % 2 == 0) {  // ends like something in its middle
      const size_t from = random() % (prompt->ids.size() / 2), count = 5 + random() % 10;
      for (size_t i = 0; i < count; ++i) prompt->ids.push_back(prompt->ids[from + i]);
    }
    if (family == 1 || family == 3) AddItem(*prompt, 17, SoftItem::Kind::kImage, random() % 2);
    if (family >= 3) AddItem(*prompt, family == 3 ? 45 : 12, SoftItem::Kind::kAudio, random() % 2);
    return prompt;
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const ConstraintVocabulary> vocabulary_;
  std::shared_ptr<const Adapter> adapter_;
};

// Runs generations [begin, end), `together` at a time.
inline std::vector<Heard> RunAll(Engine& engine, const Generations& generations, int begin, int end,
                                 int together) {
  std::vector<Heard> out;
  std::vector<std::shared_ptr<Ear>> ears;
  for (int i = begin; i < end; ++i) {
    auto [request, ear] = generations.Make(i);
    const auto id = engine.Submit(std::move(request), ear);
    EXPECT_TRUE(id.ok()) << id.error().message;
    ears.push_back(std::move(ear));
    if (static_cast<int>(ears.size()) < together && i + 1 < end) continue;
    for (const auto& one : ears) out.push_back(one->Wait());
    ears.clear();
  }
  return out;
}

}  // namespace facet
