// facet tokenize, detokenize and render, run as a person would.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "formats/temp_folder.h"
#include "formats/vocabularies.h"

namespace facet {
namespace {

using Json = nlohmann::json;

struct Finished {
  std::string out;
  int code = -1;
};

class TokenizeCommand : public testing::Test {
 protected:
  TokenizeCommand() { UseTestCache(); }

  Finished Run(const std::string& arguments, const std::string& input = "") const {
    const auto in = folder_.path() / "in";
    std::ofstream(in, std::ios::binary | std::ios::trunc) << input;
    const std::string command = std::string(FACET_BINARY) + " " + arguments + " < " + in.string() +
                                " 2> " + (folder_.path() / "err").string();
    Finished finished;
    FILE* pipe = popen(command.c_str(), "r");
    char buffer[4096];
    for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;)
      finished.out.append(buffer, n);
    finished.code = WEXITSTATUS(pclose(pipe));
    return finished;
  }
  std::string Stderr() const { return *ReadFile(folder_.path() / "err"); }

  const std::string vocabulary_ = Reference("gemma4/vocab.gguf").string();
  const std::string tiny_ = Reference("tiny/checkpoint").string();
  TempFolder folder_;
};

TEST_F(TokenizeCommand, TokenizesAndBack) {
  const std::string text("a\n\n <bos>\xe2\x82\xac\0b ", 14);
  const Finished ids = Run("tokenize " + vocabulary_, text);
  ASSERT_EQ(ids.code, 0) << Stderr();
  EXPECT_EQ(Json::parse(ids.out)[1], 108);
  const Finished back = Run("detokenize " + vocabulary_, ids.out);
  EXPECT_EQ(back.code, 0);
  EXPECT_EQ(back.out, text);
  EXPECT_EQ(Run("detokenize " + vocabulary_ + " 9259 236764 1902").out, "Hello, world");
}

TEST_F(TokenizeCommand, TakesABatch) {
  const std::string cases = Reference("gemma4/tokenizer-cases.json").string();
  const Finished lists = Run("tokenize " + vocabulary_ + " --batch " + cases);
  ASSERT_EQ(lists.code, 0) << Stderr();
  const Json got = Json::parse(lists.out), wanted = Json::parse(*ReadFile(cases));
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], wanted[i]["ids"]);
}

TEST_F(TokenizeCommand, RendersTheExactPrompt) {
  for (const char* name : {"tools-round-trip", "everything", "text-thinking"}) {
    const auto conversation = Reference(std::string("tiny/cases/") + name + ".json");
    const Finished prompt = Run("render " + tiny_ + " " + conversation.string());
    ASSERT_EQ(prompt.code, 0) << Stderr();
    EXPECT_EQ(prompt.out, Json::parse(*ReadFile(conversation))["prompt"].get<std::string>());
  }
}

TEST_F(TokenizeCommand, SaysWhatIsWrong) {
  EXPECT_EQ(Run("tokenize /nowhere/model").code, 1);
  EXPECT_NE(Stderr().find("/nowhere/model"), std::string::npos);
  EXPECT_EQ(Run("detokenize " + tiny_ + " 99999").code, 1);
  EXPECT_NE(Stderr().find("99999"), std::string::npos);
  EXPECT_EQ(Run("detokenize " + tiny_ + " x").code, 1);
  EXPECT_EQ(Run("render " + tiny_ + " " + tiny_ + "/tokenizer_config.json").code, 1);
  EXPECT_NE(Stderr().find("messages"), std::string::npos);
  EXPECT_EQ(Run("tokenize").code, 2);
}

}  // namespace
}  // namespace facet
