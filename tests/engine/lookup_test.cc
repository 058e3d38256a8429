#include "engine/lookup.h"

#include <gtest/gtest.h>

#include <random>

namespace facet {
namespace {

std::vector<TokenId> Random(int count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> out(count);
  for (TokenId& id : out) id = static_cast<TokenId>(random() % 50000);
  return out;
}

// Tokens of `answer` that are predicted right before they come.
int Hits(std::vector<TokenId> tokens, const std::vector<TokenId>& answer) {
  NgramLookup lookup;
  lookup.Extend(tokens);
  int hits = 0;
  for (const TokenId id : answer) {
    const std::vector<TokenId> next = lookup.Predict(tokens, 1);
    hits += !next.empty() && next[0] == id;
    tokens.push_back(id);
    lookup.Extend(tokens);
  }
  return hits;
}

TEST(NgramLookup, FollowsACopyFromItsThirdTokenOn) {
  const std::vector<TokenId> text = Random(500, 1);
  EXPECT_EQ(Hits(text, {text.begin() + 100, text.begin() + 300}), 197);
}

TEST(NgramLookup, GoesOnBehindEdits) {
  const std::vector<TokenId> text = Random(500, 1);
  std::vector<TokenId> answer(text.begin() + 100, text.begin() + 300);
  answer[50] = 60000;                             // one for another
  answer.insert(answer.begin() + 100, 2, 60001);  // two more
  answer.erase(answer.begin() + 150, answer.begin() + 153);
  // 3 to begin with; the replaced one; the two and what they stand before; the gap.
  EXPECT_GE(Hits(text, answer), 199 - 3 - 1 - 3 - 2);
}

TEST(NgramLookup, PrefersTheLongerMatch) {
  // "9 1 2 3" occurs twice with different tokens before it.
  std::vector<TokenId> tokens = {4, 5, 6, 9, 1, 2, 3, 70, 8, 8, 7, 9, 1, 2, 3, 71};
  tokens.insert(tokens.end(), {4, 5, 6, 9, 1, 2, 3});
  NgramLookup lookup;
  lookup.Extend(tokens);
  EXPECT_EQ(lookup.Predict(tokens, 1), std::vector<TokenId>{70});
  EXPECT_EQ(lookup.match().length, 7);
}

TEST(NgramLookup, ALoopGoesOnInWhatItPredicts) {
  const std::vector<TokenId> tokens = {1, 2, 3, 1, 2, 3, 1, 2, 3};
  NgramLookup lookup;
  lookup.Extend(tokens);
  EXPECT_EQ(lookup.Predict(tokens, 7), (std::vector<TokenId>{1, 2, 3, 1, 2, 3, 1}));
}

TEST(NgramLookup, FindsNothingInWhatNeverRepeats) {
  std::vector<TokenId> tokens(2000);
  for (int i = 0; i < 2000; ++i) tokens[i] = i;
  NgramLookup lookup;
  for (int n : {1, 2, 700, 2000}) {
    lookup.Extend(std::span(tokens).first(n));
    EXPECT_TRUE(lookup.Predict(tokens, 4).empty());
  }
}

// More tokens than the tables hold: old n-grams are forgotten, new ones are found.
TEST(NgramLookup, ForgetsWhatIsOldestInLongTexts) {
  std::vector<TokenId> tokens = Random(400000, 3);
  const std::vector<TokenId> recent(tokens.end() - 300, tokens.end() - 100);
  EXPECT_GE(Hits(tokens, recent), 190);
}

}  // namespace
}  // namespace facet
