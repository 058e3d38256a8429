#include "eval/text.h"

#include <gtest/gtest.h>

namespace facet::eval {
namespace {

using Strings = std::vector<std::string>;

TEST(EvalText, WordsDropCaseAndPunctuationAndKeepNumbers) {
  EXPECT_EQ(Words("Turn on, the LIGHT!"), (Strings{"turn", "on", "the", "light"}));
  EXPECT_EQ(Words("At 00:02, or 4.5 of -3."), (Strings{"at", "00:02", "or", "4.5", "of", "-3"}));
  EXPECT_EQ(Words("don't 3-4"), (Strings{"dont", "3", "4"}));
  EXPECT_EQ(Words("Été, 東京"), (Strings{"Été", "東京"}));  // beyond ASCII as it is
  EXPECT_EQ(Words(" \n ."), Strings{});
}

TEST(EvalText, NumbersAreTheSameAsWordsAndDigits) {
  EXPECT_EQ(Words("three red things"), Words("3 Red things"));
  EXPECT_NE(Words("three"), Words("four"));
}

TEST(EvalText, KeyWordsDropArticlesAndNothingElse) {
  EXPECT_EQ(KeyWords("A red star."), KeyWords("the red star"));
  EXPECT_NE(KeyWords("a red star"), KeyWords("a blue star"));
  EXPECT_NE(KeyWords("left"), KeyWords("top left"));
  EXPECT_NE(KeyWords(""), KeyWords("yes"));
}

TEST(EvalText, DistanceCountsInsertionsDeletionsAndReplacements) {
  EXPECT_EQ(WordDistance({"a", "b", "c"}, {"a", "b", "c"}), 0);
  EXPECT_EQ(WordDistance({"a", "b", "c"}, {"a", "x", "c"}), 1);
  EXPECT_EQ(WordDistance({"a", "b", "c"}, {}), 3);
  EXPECT_EQ(WordDistance({}, {"a", "b"}), 2);
  EXPECT_EQ(LetterDistance("kitten", "sitting"), 3);
  EXPECT_EQ(LetterDistance("Zürich", "Zurich"), 1);  // one character, though two bytes
  EXPECT_EQ(LetterCount("Zürich"), 6);
}

TEST(EvalText, OneSpaceTrimsAndJoins) {
  EXPECT_EQ(OneSpace("  a \n\t b "), "a b");
  EXPECT_EQ(OneSpace(""), "");
}

TEST(EvalText, ProgramIsTheFirstBlockOrTheWholeAnswer) {
  EXPECT_EQ(ProgramOf("Here:\n```python\nx = 1\n```\nDone. ```y```"), "x = 1\n");
  EXPECT_EQ(ProgramOf("x = 1"), "x = 1");
  EXPECT_EQ(ProgramOf("```python\nx = 1"), "x = 1");  // cut off
  EXPECT_EQ(ProgramOf("```"), "");
}

}  // namespace
}  // namespace facet::eval
