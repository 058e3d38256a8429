// What an exam's file may hold; the recipe's own is read in score_test.cc.
#include "eval/exam.h"

#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "support/temp_folder.h"

namespace facet::eval {
namespace {

class ExamTest : public ::testing::Test {
 protected:
  Result<Exam> Read(const std::string& text) {
    const auto file = folder_.path() / "exam.json";
    EXPECT_TRUE(WriteFile(file, text).ok());
    return Exam::Read(file);
  }

  TempFolder folder_;
};

constexpr const char* kSkill =
    R"({"name": "a", "title": "A", "unit": "words", "measure": "error_rate", "floor": 25.5,
        "aim": 5, "enough": 300})";

TEST_F(ExamTest, ReadsSkillsInTheirOrder) {
  const auto exam = Read(Cat(R"({"skills": [)", kSkill,
                             R"(, {"name": "b", "title": "B", "unit": "turns", "measure": "right",
                                   "floor": 75, "aim": 95, "enough": 200}]})"));
  ASSERT_TRUE(exam.ok()) << exam.error().message;
  ASSERT_EQ(exam->skills.size(), 2u);
  EXPECT_EQ(exam->skills[0].name, "a");
  EXPECT_TRUE(exam->skills[0].error_rate);
  EXPECT_DOUBLE_EQ(exam->skills[0].floor, 25.5);
  EXPECT_EQ(exam->skills[0].enough, 300);
  EXPECT_FALSE(exam->skills[1].error_rate);
  EXPECT_EQ(exam->Find("b"), &exam->skills[1]);
  EXPECT_EQ(exam->Find("c"), nullptr);
}

TEST_F(ExamTest, NamesWhatIsWrong) {
  const auto error = [&](const std::string& text) {
    const auto exam = Read(text);
    EXPECT_FALSE(exam.ok()) << text;
    return exam.ok() ? "" : exam.error().message;
  };
  const auto with = [](const std::string& from, const std::string& to) {
    std::string skill = kSkill;
    skill.replace(skill.find(from), from.size(), to);
    return Cat(R"({"skills": [)", skill, "]}");
  };
  EXPECT_NE(error("[]").find("skills"), std::string::npos);
  EXPECT_NE(error(R"({"skills": []})").find("skills"), std::string::npos);
  EXPECT_NE(error(with("\"words\"", "3")).find("skills[0]: expected a text but got 3 (unit)"),
            std::string::npos);
  EXPECT_NE(error(with("error_rate", "wrong")).find("expected error_rate or right but got wrong"),
            std::string::npos);
  EXPECT_NE(error(with("25.5", "101")).find("floor"), std::string::npos);
  EXPECT_NE(error(with("\"aim\": 5,", "")).find("aim: missing"), std::string::npos);
  EXPECT_NE(error(with("\"aim\"", "\"goal\"")).find("goal: not a field"), std::string::npos);
  EXPECT_NE(
      error(Cat(R"({"skills": [)", kSkill, ", ", kSkill, "]}")).find("two skills are called a"),
      std::string::npos);
}

}  // namespace
}  // namespace facet::eval
