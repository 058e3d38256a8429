#include "serve/openai/spoken_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <regex>

#include "base/utf8.h"

namespace facet::serve {
namespace {

constexpr int kRate = 16000;

// Hissing silence with a tone in each of the stretches.
std::vector<float> Speech(double seconds, const std::vector<Stretch>& spoken) {
  std::mt19937 random(1);
  std::normal_distribution<float> noise(0, 1e-4f);
  std::vector<float> out(static_cast<size_t>(seconds * kRate));
  for (size_t i = 0; i < out.size(); ++i) {
    const double time = static_cast<double>(i) / kRate;
    out[i] = noise(random);
    for (const Stretch& s : spoken) {
      if (time >= s.begin && time < s.end)
        out[i] += 0.3f * static_cast<float>(std::sin(2 * M_PI * 220 * time));
    }
  }
  return out;
}

size_t Characters(const std::string& text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += std::max(DecodeUtf8(text, at).bytes, 1)) ++count;
  return count;
}

TEST(SpokenText, FindsWhereSomebodySpeaks) {
  const std::vector<Stretch> spoken = {{0.5, 1.5}, {2.2, 3.0}, {4.0, 4.6}};
  const auto found = SpokenStretches(Speech(6, spoken));
  ASSERT_EQ(found.size(), spoken.size());
  for (size_t i = 0; i < spoken.size(); ++i) {
    EXPECT_NEAR(found[i].begin, spoken[i].begin, 0.03);
    EXPECT_NEAR(found[i].end, spoken[i].end, 0.03);
  }
  EXPECT_TRUE(SpokenStretches(std::vector<float>(kRate)).empty());
  EXPECT_TRUE(SpokenStretches({}).empty());
  // Nothing stands out: all of it may be speech.
  EXPECT_EQ(SpokenStretches(Speech(2, {{0, 2}})).size(), 1u);
}

TEST(SpokenText, WordsStandWhereSomebodySpeaksAndInOrder) {
  const std::vector<Stretch> spoken = {{0.5, 1.5}, {3.0, 4.0}};
  const auto words = TimeWords("one three five seven\n\n nine", {0, 6}, spoken);
  ASSERT_EQ(words.size(), 5u);
  EXPECT_DOUBLE_EQ(words.front().time.begin, 0.5);
  EXPECT_DOUBLE_EQ(words.back().time.end, 4.0);
  for (size_t i = 0; i < words.size(); ++i) {
    EXPECT_LE(words[i].time.begin, words[i].time.end);
    if (i > 0) {
      EXPECT_LE(words[i - 1].time.end, words[i].time.begin + 1e-9);
    }
    const double middle = words[i].time.begin;
    EXPECT_TRUE((middle >= 0.5 && middle < 1.5) || (middle >= 3.0 && middle < 4.0)) << middle;
  }
  EXPECT_TRUE(TimeWords(" \n ", {0, 1}, {}).empty());
  const auto silent = TimeWords("a b", {2, 4}, {});
  EXPECT_DOUBLE_EQ(silent[0].time.begin, 2);
  EXPECT_DOUBLE_EQ(silent[1].time.end, 4);
}

TEST(SpokenText, CuesCanBeRead) {
  std::string text;
  for (int i = 0; i < 40; ++i)
    text += i % 9 == 8 ? "and this is the end of it. " : "somewhat longer words follow each other ";
  const auto cues = MakeCues(TimeWords(text, {0, 120}, {{1, 50}, {55, 119}}));
  ASSERT_GT(cues.size(), 15u);
  std::string all;
  int sentences = 0;
  const auto cue_ends_sentence = [](const Cue& cue) { return cue.lines.back().ends_with('.'); };
  for (size_t i = 0; i < cues.size(); ++i) {
    EXPECT_LE(cues[i].lines.size(), 2u);
    EXPECT_LE(cues[i].time.end - cues[i].time.begin, 7.01);
    if (i > 0) {
      EXPECT_GE(cues[i].time.begin, cues[i - 1].time.end - 1e-9);
    }
    for (const std::string& line : cues[i].lines) {
      EXPECT_LE(Characters(line), 42u) << line;
      all += line + " ";
    }
    sentences += cue_ends_sentence(cues[i]);
  }
  EXPECT_GE(sentences, 3);  // of four
  EXPECT_EQ(all, text);
}

TEST(SpokenText, CuesOfScriptsWithoutSpacesBreakToo) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "吾輩は猫である。";
  std::string all;
  for (const Cue& cue : MakeCues(TimeWords(text, {0, 60}, {}))) {
    for (const std::string& line : cue.lines) {
      EXPECT_LE(Characters(line), 42u) << line;
      EXPECT_FALSE(line.starts_with("。")) << line;
      EXPECT_TRUE(IsUtf8(line));
      all += line;
    }
  }
  EXPECT_EQ(all, text);
  for (const Cue& cue : MakeCues(TimeWords(std::string(500, 'x'), {0, 5}, {}))) {
    for (const std::string& line : cue.lines) EXPECT_LE(line.size(), 42u);
  }
}

// Whatever was said, a file has as many cues as were written, each two lines of times and text.
TEST(SpokenText, NoTextBreaksSubtitles) {
  const std::string evil[] = {
      "first\n\n2\n00:00:05,000 --> 00:00:06,000\nforged",
      "a --> b ---> c ----> d <i>e</i> & f",
      "\n\n\n--> \n\r\n NOTE x\n\nSTYLE\n::cue{}",
      "line\u2028separators\u2029and\vfeeds\fand\x85nothing\x01",
  };
  const std::regex times(R"(\d\d:\d\d:\d\d[.,]\d{3} --> \d\d:\d\d:\d\d[.,]\d{3})");
  for (const std::string& text : evil) {
    const auto cues = MakeCues(TimeWords(text, {0, 20}, {}));
    for (const std::string& file : {WriteSrt(cues), WriteVtt(cues)}) {
      const auto arrows = [&](std::string_view part) {
        size_t count = 0;
        for (size_t at = part.find("-->"); at != part.npos; at = part.find("-->", at + 3)) ++count;
        return count;
      };
      EXPECT_EQ(arrows(file), cues.size()) << file;
      size_t blocks = 0;
      for (size_t at = file.find("\n\n"); at != file.npos; at = file.find("\n\n", at + 2)) ++blocks;
      EXPECT_EQ(blocks, cues.size() + (file.starts_with("WEBVTT") ? 1 : 0)) << file;
      EXPECT_EQ(file.find("\n\n\n"), file.npos) << file;
      const auto begin = std::sregex_iterator(file.begin(), file.end(), times);
      EXPECT_EQ(static_cast<size_t>(std::distance(begin, std::sregex_iterator())), cues.size());
    }
  }
  EXPECT_EQ(WriteSrt({}), "");
  EXPECT_EQ(WriteVtt({}), "WEBVTT\n\n");
  const std::vector<Cue> one = {{{3661.5, 3662}, {"x < y"}}};
  EXPECT_EQ(WriteSrt(one), "1\n01:01:01,500 --> 01:01:02,000\nx < y\n\n");
  EXPECT_EQ(WriteVtt(one), "WEBVTT\n\n01:01:01.500 --> 01:01:02.000\nx &lt; y\n\n");
}

}  // namespace
}  // namespace facet::serve
