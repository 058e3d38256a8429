// Every way of judging: right answers are right, and wrong ones are wrong.
#include "eval/score.h"
#include "support/paths.h"

#include <gtest/gtest.h>

namespace facet::eval {
namespace {

using nlohmann::json;

// The recipe's own exam.
const Exam& PebbleExam() {
  static const Exam exam = [] {
    const auto read =
        Exam::Read(std::filesystem::path(TestsDir()).parent_path() / "examples/pebble/exam.json");
    EXPECT_TRUE(read.ok()) << read.error().message;
    return read.ok() ? *read : Exam{};
  }();
  return exam;
}

Item MakeItem(Check check, const std::string& wanted) {
  Item item;
  item.id = "1";
  item.check = check;
  item.messages = json::array(
      {{{"role", "user"}, {"content", "?"}}, {{"role", "assistant"}, {"content", wanted}}});
  item.wanted = {1};
  return item;
}

Score Judged(Check check, const std::string& wanted, const std::string& got) {
  const std::vector<Answer> answers = {{got}};
  return Judge(MakeItem(check, wanted), answers);
}

void ExpectScore(const Score& score, int wrong, int total) {
  EXPECT_EQ(score.wrong, wrong);
  EXPECT_EQ(score.total, total);
}

TEST(Score, WordErrorsCountAgainstTheWordsThatWereSaid) {
  ExpectScore(Judged(Check::kWords, "turn on the light", "Turn on the light."), 0, 4);
  ExpectScore(Judged(Check::kWords, "turn on the light", "turn off the light now"), 2, 4);
  ExpectScore(Judged(Check::kWords, "turn on the light", ""), 4, 4);
  ExpectScore(Judged(Check::kWords, "stop", "go on and on"), 4, 1);  // above 100 %
  ExpectScore(Judged(Check::kWords, "the dog", "a dog"), 1, 2);      // articles are words
}

TEST(Score, LetterErrorsSeeCaseAndSpaces) {
  ExpectScore(Judged(Check::kLetters, "Print Milk", " Print  Milk\n"), 0, 10);
  ExpectScore(Judged(Check::kLetters, "Print Milk", "print milk"), 2, 10);
  ExpectScore(Judged(Check::kLetters, "Print Milk", "PrintMilk"), 1, 10);
}

TEST(Score, LabelsMustStandBesideTheirWords) {
  const std::string wanted = "speaker 1: go left\nspeaker 2: stop";
  ExpectScore(Judged(Check::kLabels, wanted, "Speaker 1: Go left.\nspeaker 2: stop"), 0, 2);
  ExpectScore(Judged(Check::kLabels, wanted, "speaker 2: go left\nspeaker 1: stop"), 2, 2);
  ExpectScore(Judged(Check::kLabels, wanted, "speaker 1: go right\nspeaker 2: stop"), 1, 2);
  ExpectScore(Judged(Check::kLabels, wanted, "speaker 1: go left"), 1, 2);
  ExpectScore(Judged(Check::kLabels, wanted, wanted + "\nspeaker 1: no"), 1, 3);
}

TEST(Score, EquivalentWordingsAreTheSameText) {
  ExpectScore(Judged(Check::kText, "the red star moves left", "A red star moves left."), 0, 1);
  ExpectScore(Judged(Check::kText, "three", "3"), 0, 1);
  ExpectScore(Judged(Check::kText, "three", "four"), 1, 1);
  ExpectScore(Judged(Check::kText, "yes", "yes no"), 1, 1);
  ExpectScore(Judged(Check::kText, "00:02", "00:03"), 1, 1);
  ExpectScore(Judged(Check::kText, "yes", ""), 1, 1);
}

TEST(Score, SentencesKeepTheirCase) {
  ExpectScore(Judged(Check::kSentence, "THE DOG", "THE  DOG"), 0, 1);
  ExpectScore(Judged(Check::kSentence, "THE DOG", "the dog"), 1, 1);
  ExpectScore(Judged(Check::kSentence, "the dog", "a dog"), 1, 1);
}

TEST(Score, AMissingAnswerIsWrong) {
  const Score score = Judge(MakeItem(Check::kText, "yes"), {});
  ExpectScore(score, 1, 1);
}

Item ToolItem() {
  Item item;
  item.check = Check::kTools;
  const json call = {
      {"id", "call_1"},
      {"type", "function"},
      {"function", {{"name", "set_light"}, {"arguments", R"({"room": "hall", "level": 40})"}}}};
  item.messages =
      json::array({{{"role", "user"}, {"content", "?"}},
                   {{"role", "assistant"}, {"content", ""}, {"tool_calls", json::array({call})}},
                   {{"role", "tool"}, {"tool_call_id", "call_1"}, {"content", "{}"}},
                   {{"role", "assistant"}, {"content", "The hall light is at 40 percent."}}});
  item.wanted = {1, 3};
  return item;
}

Answer Call(const std::string& name, const std::string& arguments) {
  return {"", json::array({{{"name", name}, {"arguments", arguments}}})};
}

TEST(Score, ACallIsRightInNameAndArgumentsAndTheAnswerFollows) {
  const Item item = ToolItem();
  const Answer said{"The hall light is at 40 percent."};
  const auto judged = [&](const Answer& call, const Answer& text) {
    const std::vector<Answer> answers = {call, text};
    return Judge(item, answers).wrong;
  };
  EXPECT_EQ(judged(Call("set_light", R"({"level": 40.0, "room": "hall"})"), said), 0);
  EXPECT_EQ(judged(Call("light", R"({"level": 40, "room": "hall"})"), said), 1);
  EXPECT_EQ(judged(Call("set_light", R"({"level": 41, "room": "hall"})"), said), 1);
  EXPECT_EQ(judged(Call("set_light", R"({"level": "40", "room": "hall"})"), said), 1);
  EXPECT_EQ(judged(Call("set_light", R"({"room": "hall"})"), said), 1);
  EXPECT_EQ(judged(Call("set_light", R"({"level": 40, "room": "hall", "x": 1})"), said), 1);
  EXPECT_EQ(judged(Call("set_light", R"({"level": 40, "room": )"), said), 1);  // cut off
  EXPECT_EQ(judged(said, said), 1);                                            // no call
  EXPECT_EQ(judged(Call("set_light", R"({"level": 40, "room": "hall"})"), {"Done."}), 1);
  // A second call where a text was wanted.
  const Answer right = Call("set_light", R"({"level": 40, "room": "hall"})");
  EXPECT_EQ(judged(right, {said.content, right.tool_calls}), 1);
  Answer twice = right;
  twice.tool_calls.push_back(right.tool_calls[0]);
  EXPECT_EQ(judged(twice, said), 1);
  // The second answer is missing.
  EXPECT_EQ(Judge(item, std::vector<Answer>{right}).wrong, 1);
}

TEST(Score, FiguresAddUpAndGroupsStandBeside) {
  std::vector<Item> items;
  std::vector<Score> scores;
  const auto add = [&](const char* skill, const char* group, Score score) {
    Item item = MakeItem(Check::kText, "");
    item.skill = skill;
    item.group = group;
    items.push_back(item);
    scores.push_back(score);
  };
  add("chat", "", {0, 1});
  add("speech", "held-out voice", {4, 4});
  add("speech", "", {1, 10});
  add("speech", "", {2, 10});
  add("chat", "", {1, 1});
  const std::vector<Figure> figures = Figures(PebbleExam(), items, scores);
  ASSERT_EQ(figures.size(), 3u);
  EXPECT_EQ(figures[0].skill->name, "speech");
  EXPECT_EQ(figures[0].group, "");
  EXPECT_DOUBLE_EQ(figures[0].percent(), 15);
  EXPECT_TRUE(figures[0].floor_held());
  EXPECT_FALSE(figures[0].holds(figures[0].skill->aim));
  EXPECT_FALSE(figures[0].enough());  // 20 words of 300
  EXPECT_EQ(figures[1].group, "held-out voice");
  EXPECT_DOUBLE_EQ(figures[1].percent(), 100);
  EXPECT_DOUBLE_EQ(figures[2].percent(), 50);
  EXPECT_FALSE(figures[2].floor_held());
  const std::string table = Table(PebbleExam(), figures);
  EXPECT_NE(table.find("1 of 2 floors held; 9 skills were not asked for; 2 figures come from too "
                       "few examples"),
            std::string::npos)
      << table;
}

TEST(Score, TheTableHasTheSkillsOfTheRecipe) {
  for (const char* name : {"speech", "speakers", "reading", "seeing", "film", "sound_picture",
                           "tools", "plots", "voice_edit", "code", "chat"}) {
    ASSERT_NE(PebbleExam().Find(name), nullptr) << name;
    const Skill& skill = *PebbleExam().Find(name);
    EXPECT_EQ(skill.error_rate, skill.aim < skill.floor) << name;
  }
  EXPECT_EQ(PebbleExam().Find("cooking"), nullptr);
}

}  // namespace
}  // namespace facet::eval
