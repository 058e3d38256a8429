#include "eval/item.h"

#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "support/temp_folder.h"

namespace facet::eval {
namespace {

class ItemTest : public ::testing::Test {
 protected:
  std::filesystem::path Write(const std::string& text) {
    const auto path = folder_.path() / "items.jsonl";
    EXPECT_TRUE(WriteFile(path, text).ok());
    return path;
  }
  std::string ErrorOf(const std::string& text) {
    const auto items = ReadItems(Write(text));
    return items.ok() ? "" : items.error().message;
  }

  TempFolder folder_;
};

constexpr const char* kFilm =
    R"({"id": "f", "messages": [{"role": "user", "content": [{"type": "video", "path": "a/b.mp4"},)"
    R"( {"type": "text", "text": "?"}]}, {"role": "assistant", "content": "x"},)"
    R"( {"role": "user", "content": "and?"}, {"role": "assistant", "content": "y"}],)"
    R"( "meta": {"skill": "film", "check": "text", "group": "g"}})";

TEST_F(ItemTest, ReadsAnItemWithItsHistoryAndPaths) {
  const auto items = ReadItems(Write(Cat("\n", kFilm, "\n")));
  ASSERT_TRUE(items.ok()) << items.error().message;
  ASSERT_EQ(items->size(), 1u);
  const Item& item = items->front();
  EXPECT_EQ(item.skill, "film");
  EXPECT_EQ(item.group, "g");
  EXPECT_EQ(item.wanted, (std::vector<size_t>{1, 3}));
  EXPECT_EQ(item.History(0).size(), 1u);
  EXPECT_EQ(item.History(1).size(), 3u);
  EXPECT_EQ(item.Wanted(1)["content"], "y");
  EXPECT_EQ(item.messages[0]["content"][0]["path"], (folder_.path() / "a/b.mp4").string());
}

TEST_F(ItemTest, NamesTheLineAndTheFieldThatIsWrong) {
  EXPECT_NE(
      ErrorOf(Cat(kFilm, "\n{\"id\": 3}\n")).find("line 2: expected a string but got number (id)"),
      std::string::npos);
  EXPECT_NE(ErrorOf(R"({"id": "a", "messages": [], "meta": {}})").find("no assistant's answer"),
            std::string::npos);
  const std::string asked =
      R"("messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": ""}])";
  EXPECT_NE(ErrorOf(Cat("{\"id\": \"a\", ", asked, "}")).find("meta: missing"), std::string::npos);
  EXPECT_NE(
      ErrorOf(Cat("{\"id\": \"a\", ", asked, R"(, "meta": {"skill": "s", "check": "taste"}})"))
          .find("expected a kind of check but got taste (meta.check)"),
      std::string::npos);
  EXPECT_NE(
      ErrorOf(Cat("{\"id\": \"a\", ", asked,
                  R"(, "meta": {"skill": "code", "check": "code", "function": "f", "tests": []}})"))
          .find("meta.tests"),
      std::string::npos);
  EXPECT_NE(ErrorOf("{").find("line 1"), std::string::npos);
}

TEST_F(ItemTest, ReadsAnswersAsTextOrWithCalls) {
  const auto answers = ReadAnswers(Write(
      R"({"id": "a", "answers": ["yes", {"tool_calls": [{"name": "f", "arguments": "{}"}]}]})"));
  ASSERT_TRUE(answers.ok()) << answers.error().message;
  ASSERT_EQ(answers->front().second.size(), 2u);
  EXPECT_EQ(answers->front().second[0].content, "yes");
  EXPECT_EQ(answers->front().second[1].tool_calls[0]["name"], "f");
  EXPECT_FALSE(ReadAnswers(Write(R"({"id": "a", "answers": [7]})")).ok());
}

}  // namespace
}  // namespace facet::eval
