// Programs run apart, with limits. Plots need matplotlib: recipe_suite.py tests those.
#include "eval/programs.h"

#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "support/namespaces.h"
#include "support/paths.h"
#include "support/temp_folder.h"
#include "support/vocabularies.h"

namespace facet::eval {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

const std::string kRight = "def double_it(x):\n    return x * 2";

class ProgramsTest : public ::testing::Test {
 protected:
  // The system's Python has all that code needs.
  void SetUp() override {
    UseTestCache();
    setenv("FACET_PEBBLE_PYTHON", "python3", 1);
    FACET_NEEDS_NAMESPACES();
  }

  std::vector<ProgramResult> Run(const std::vector<std::string>& answers) {
    const auto runner =
        ProgramRunner::Create(fs::path(TestsDir()).parent_path() / "examples/pebble");
    EXPECT_TRUE(runner.ok()) << runner.error().message;
    if (!runner.ok()) return {};
    Item item;
    item.check = Check::kCode;
    item.function = "double_it";
    item.tests = json::array(
        {{{"arguments", json::array({3})}, {"result", 6}},
         {{"arguments", json::array({json::array({1})})}, {"result", json::array({1, 1})}}});
    const std::vector<const Item*> items(answers.size(), &item);
    auto results = runner->Run(items, answers);
    EXPECT_TRUE(results.ok()) << results.error().message;
    return results.ok() ? *results : std::vector<ProgramResult>();
  }
};

TEST_F(ProgramsTest, RightFunctionsPassAndWrongOnesSayWhy) {
  const auto results =
      Run({"```python\ndef double_it(x):\n    return x * 2\n```",
           "def double_it(x):\n    return x + x", "def double_it(x):\n    return x * 3",
           "def double(x):\n    return x * 2", "def double_it(x)\n    return x * 2",
           "raise SystemExit(0)", "def double_it(x):\n    return x * 2 if x == 3 else (1, 1)",
           "print('{\"why\": \"\"}')", ""});
  ASSERT_EQ(results.size(), 9u);
  EXPECT_TRUE(results[0].right) << results[0].why;
  EXPECT_TRUE(results[1].right) << results[1].why;
  for (size_t i = 2; i < results.size(); ++i) {
    EXPECT_FALSE(results[i].right) << i;
    EXPECT_FALSE(results[i].why.empty()) << i;
  }
  EXPECT_NE(results[2].why.find("double_it(3) gives 9"), std::string::npos) << results[2].why;
}

TEST_F(ProgramsTest, AProgramCannotWriteFilesNorTakeMemoryNorDieLoudly) {
  const TempFolder folder;
  const std::string file = (folder.path() / "x").string();
  const auto results =
      Run({"with open('" + file + "', 'w') as f:\n    f.write('x' * 100)\n" + kRight,
           "x = bytearray(1 << 40)\n" + kRight, "import os\nos.kill(os.getpid(), 9)"});
  ASSERT_EQ(results.size(), 3u);
  for (const ProgramResult& result : results) EXPECT_FALSE(result.right);
  std::error_code code;
  EXPECT_TRUE(!fs::exists(file, code) || fs::file_size(file, code) == 0);
}

TEST_F(ProgramsTest, AProgramThatNeverEndsIsEndedSlow) {
  const auto results = Run({"while True:\n    pass", kRight});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_FALSE(results[0].right);
  EXPECT_TRUE(results[1].right) << results[1].why;
}

}  // namespace
}  // namespace facet::eval
