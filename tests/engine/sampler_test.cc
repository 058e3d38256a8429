#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "engine/stop_strings.h"

namespace facet {
namespace {

std::vector<float> Logits() {
  return {0.0f, 1.0f, 3.0f, 2.0f, -1.0f};
}

TEST(Sampler, GreedyTakesTheFirstOfTheLargestAndLeavesOutSuppressed) {
  SamplingParams params;
  params.temperature = 0;
  std::vector<float> logits = {1, 5, 5, 0};
  EXPECT_EQ(Sampler(params).Sample(logits), 1);
  params.suppress = {1};
  EXPECT_EQ(Sampler(params).Sample(logits), 2);
}

TEST(Sampler, SameSeedSameTokens) {
  SamplingParams params;
  params.seed = 7;
  const auto draw = [](const SamplingParams& p) {
    Sampler sampler(p);
    std::vector<int> ids;
    for (int i = 0; i < 50; ++i) {
      std::vector<float> logits = Logits();
      ids.push_back(sampler.Sample(logits));
      sampler.Accept(ids.back());
    }
    return ids;
  };
  const std::vector<int> first = draw(params);
  EXPECT_EQ(first, draw(params));
  params.seed = 8;
  EXPECT_NE(first, draw(params));
}

TEST(Sampler, FrequenciesFollowTheDistribution) {
  SamplingParams params;
  params.temperature = 0.7;
  Sampler sampler(params);
  std::vector<float> logits = Logits();
  const Candidates want = sampler.Distribution(logits);
  std::map<int, int> counts;
  constexpr int kDraws = 40000;
  for (int i = 0; i < kDraws; ++i) {
    std::vector<float> row = Logits();
    const int id = sampler.Sample(row);
    ++counts[id];
    sampler.Accept(id);
  }
  double chi = 0;
  for (const auto& [id, probability] : want.tokens) {
    const double expected = kDraws * probability;
    chi += (counts[id] - expected) * (counts[id] - expected) / expected;
  }
  EXPECT_LT(chi, 18.5);  // 4 degrees of freedom, p = 0.001
}

TEST(Sampler, TopKTopPAndMinPCutTheTail) {
  SamplingParams params;
  std::vector<float> logits = Logits();
  params.top_k = 2;
  Candidates c = Sampler(params).Distribution(logits);
  ASSERT_EQ(c.tokens.size(), 2u);
  EXPECT_EQ(c.tokens[0].first, 2);
  EXPECT_EQ(c.tokens[1].first, 3);
  EXPECT_NEAR(c.tokens[0].second, 1 / (1 + std::exp(-1.0)), 1e-6);
  params.top_k = 0;
  params.top_p = 0.6;  // the best token has 0.64
  EXPECT_EQ(Sampler(params).Distribution(logits).tokens.size(), 1u);
  params.top_p = 1;
  params.min_p = 0.3;  // e^-1 = 0.37 stays, e^-2 = 0.14 goes
  EXPECT_EQ(Sampler(params).Distribution(logits).tokens.size(), 2u);
}

TEST(Sampler, PenaltiesAndBias) {
  SamplingParams params;
  params.temperature = 0;
  params.frequency_penalty = 0.6;
  params.presence_penalty = 0.5;
  Sampler sampler(params);
  std::vector<float> logits = Logits();
  EXPECT_EQ(sampler.Sample(logits), 2);
  sampler.Accept(2);  // 3 - 1.1 < 2
  logits = Logits();
  EXPECT_EQ(sampler.Sample(logits), 3);
  SamplingParams repetition;
  repetition.temperature = 0;
  repetition.repetition_penalty = 2;
  Sampler repeated(repetition);
  const int32_t prompt[] = {2};
  repeated.AddPrompt(prompt);
  logits = Logits();
  EXPECT_EQ(repeated.Sample(logits), 3);
  SamplingParams bias;
  bias.temperature = 0;
  bias.logit_bias = {{4, 10.0f}};
  logits = Logits();
  EXPECT_EQ(Sampler(bias).Sample(logits), 4);
}

TEST(Sampler, RangesAreCheckedAndNamed) {
  SamplingParams params;
  params.top_p = 1.5;
  const Result<void> result = CheckSampling(params, 5);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().message.find("top_p"), std::string::npos);
  params = {};
  params.temperature = std::nan("");
  EXPECT_FALSE(CheckSampling(params, 5).ok());
  params = {};
  params.logit_bias = {{5, 1.0f}};
  EXPECT_FALSE(CheckSampling(params, 5).ok());
}

TEST(Sampler, NotANumberIsNeverSampled) {
  std::vector<float> logits = {std::nanf(""), 1, 0};
  EXPECT_EQ(ArgMax(logits), 1);
  SamplingParams params;
  params.top_k = 3;
  for (const auto& [id, probability] : Sampler(params).Distribution(logits).tokens)
    EXPECT_NE(id, 0);
}

// What a request with log-probabilities is told, against sorting the whole vocabulary.
TEST(TopLogits, AreTheBeginningOfTheSortedVocabulary) {
  std::mt19937 random(3);
  for (const int size : {1, 7, 500, 5000}) {
    std::vector<float> logits(size);
    for (float& value : logits) value = static_cast<float>(random() % 40) / 4 - 5;  // many equals
    std::vector<std::pair<TokenId, float>> sorted;
    for (int i = 0; i < size; ++i) sorted.emplace_back(i, logits[i]);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    for (const int k : {0, 1, 5, 20, 6000}) {
      const size_t count = std::min<size_t>(k, sorted.size());
      EXPECT_EQ(TopLogits(logits, k), std::vector(sorted.begin(), sorted.begin() + count))
          << size << " " << k;
    }
    double sum = 0;
    for (const float value : logits) sum += std::exp(static_cast<double>(value));
    EXPECT_NEAR(LogSumExp(logits), std::log(sum), 1e-9);
  }
}

TEST(StopStrings, SpanTokensAndReleaseWhatCannotBecomeOne) {
  StopStrings stops({"STOP", "###"});
  EXPECT_EQ(stops.Add("a S"), "a ");
  EXPECT_EQ(stops.Add("T"), "");
  EXPECT_EQ(stops.Add("x##"), "STx");
  EXPECT_EQ(stops.Add(" y"), "## y");
  EXPECT_EQ(stops.Add(" zSTO"), " z");
  EXPECT_EQ(stops.Add("P and more"), "");
  EXPECT_TRUE(stops.stopped());
  EXPECT_EQ(stops.matched(), "STOP");
  EXPECT_EQ(stops.Add("ignored"), "");
  EXPECT_EQ(stops.Finish(), "");
}

TEST(StopStrings, EverySplitGivesTheSameText) {
  const std::string text = "one ## two # three ### four";
  for (size_t a = 0; a <= text.size(); ++a) {
    for (size_t b = a; b <= text.size(); ++b) {
      StopStrings stops({"###"});
      std::string out;
      for (const std::string& part : {text.substr(0, a), text.substr(a, b - a), text.substr(b)})
        out += stops.Add(part);
      out += stops.Finish();
      ASSERT_EQ(out, "one ## two # three ") << a << " " << b;
    }
  }
}

}  // namespace
}  // namespace facet
