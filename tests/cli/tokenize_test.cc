// facet tokenize, detokenize and render, run as a person would.
#include <nlohmann/json.hpp>

#include "support/command.h"

namespace facet {
namespace {

using Json = nlohmann::json;

class TokenizeCommand : public CommandTest {
 protected:
  const std::string vocabulary_ = Reference("gemma4/vocab.gguf").string();
  const std::string tiny_ = Reference("tiny/checkpoint").string();
};

TEST_F(TokenizeCommand, TokenizesAndBack) {
  const std::string text("a\n\n <bos>\xe2\x82\xac\0b ", 14);
  const Finished ids = Run("tokenize " + vocabulary_, text);
  ASSERT_EQ(ids.code, 0) << ids.err;
  EXPECT_EQ(Json::parse(ids.out)[1], 108);
  const Finished back = Run("detokenize " + vocabulary_, ids.out);
  EXPECT_EQ(back.code, 0);
  EXPECT_EQ(back.out, text);
  EXPECT_EQ(Run("detokenize " + vocabulary_ + " 9259 236764 1902").out, "Hello, world");
}

TEST_F(TokenizeCommand, TakesABatch) {
  const std::string cases = Reference("gemma4/tokenizer-cases.json").string();
  const Finished lists = Run("tokenize " + vocabulary_ + " --batch " + cases);
  ASSERT_EQ(lists.code, 0) << lists.err;
  const Json got = Json::parse(lists.out), wanted = Json::parse(*ReadFile(cases));
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], wanted[i]["ids"]);
}

TEST_F(TokenizeCommand, RendersTheExactPrompt) {
  for (const char* name : {"tools-round-trip", "everything", "text-thinking"}) {
    const auto conversation = Reference(std::string("tiny/cases/") + name + ".json");
    const Finished prompt = Run("render " + tiny_ + " " + conversation.string());
    ASSERT_EQ(prompt.code, 0) << prompt.err;
    EXPECT_EQ(prompt.out, Json::parse(*ReadFile(conversation))["prompt"].get<std::string>());
  }
}

TEST_F(TokenizeCommand, SaysWhatIsWrong) {
  const auto fails = [&](const std::string& arguments, int code, const std::string& text) {
    const Finished finished = Run(arguments);
    EXPECT_EQ(finished.code, code) << arguments;
    EXPECT_NE(finished.err.find(text), std::string::npos) << finished.err;
  };
  fails("tokenize /nowhere/model", 1, "/nowhere/model");
  fails("detokenize " + tiny_ + " 99999", 1, "99999");
  fails("detokenize " + tiny_ + " x", 1, "");
  fails("render " + tiny_ + " " + tiny_ + "/tokenizer_config.json", 1, "messages");
  fails("tokenize", 2, "");
}

}  // namespace
}  // namespace facet
