// examples/pebble/config as this program reads it: shape, vocabulary, template.
#include <gtest/gtest.h>

#include "chat/load_template.h"
#include "formats/json.h"
#include "model/config.h"
#include "support/paths.h"
#include "text/tokenizer.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class PebbleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(TestsDir()).parent_path() / "examples/pebble/config";
    auto tokenizer = Tokenizer::Load(folder_);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    tokenizer_ = *tokenizer;
    auto loaded = LoadChatTemplate(folder_, *tokenizer_);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    ASSERT_TRUE(loaded->has_value());
    template_ = std::make_unique<ChatTemplate>(std::move(**loaded));
  }

  std::string Render(const json& messages, const json& tools, bool generation) {
    RenderOptions options;
    options.add_generation_prompt = generation;
    const auto rendered = template_->Render(messages, tools, options);
    EXPECT_TRUE(rendered.ok()) << (rendered.ok() ? "" : rendered.error().message);
    return rendered.ok() ? rendered->text : "";
  }

  fs::path folder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<ChatTemplate> template_;
};

TEST_F(PebbleTest, TheShapeFitsTheVocabulary) {
  const auto config = ReadJson(folder_ / "config.json");
  const auto generation = ReadJson(folder_ / "generation_config.json");
  ASSERT_TRUE(config.ok() && generation.ok());
  const auto model = ConfigFromJson(*config, *generation);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->text.vocab, tokenizer_->size());
  EXPECT_EQ(model->text.layers.size(), 8u);
  EXPECT_FALSE(model->text.layers.back().sliding);
  EXPECT_EQ(model->tokens.image, tokenizer_->Find("<|image|>"));
  EXPECT_EQ(model->tokens.video, tokenizer_->Find("<|video|>"));
  EXPECT_EQ(model->tokens.audio, tokenizer_->Find("<|audio|>"));
  for (const char* end : {"<eos>", "<turn|>", "<|tool_response>"}) {
    EXPECT_NE(std::find(model->generation.eos.begin(), model->generation.eos.end(),
                        *tokenizer_->Find(end)),
              model->generation.eos.end())
        << end;
  }
}

TEST_F(PebbleTest, EveryTextComesBackAndDigitsStaySingle) {
  for (const char* text :
       {"turn on the kitchen light", "def f(x):\n    return x * 12\n", "Über 東京\t🙂"})
    EXPECT_EQ(tokenizer_->Decode(tokenizer_->EncodePlain(text)), text);
  EXPECT_EQ(tokenizer_->EncodePlain("1234").size(), 4u);
  EXPECT_EQ(tokenizer_->EncodePlain(" kitchen").size(), 1u);
}

TEST_F(PebbleTest, EveryAnswerStandsBehindThePromptThatTheModelGets) {
  const json call = {{"id", "call_1"},
                     {"type", "function"},
                     {"function", {{"name", "add"}, {"arguments", R"({"b": 2, "a": "x"})"}}}};
  const json tools = json::array(
      {{{"type", "function"},
        {"function",
         {{"name", "add"},
          {"description", "Add"},
          {"parameters", {{"type", "object"}, {"properties", {{"a", {{"type", "integer"}}}}}}}}}}});
  const json messages = json::array(
      {{{"role", "user"}, {"content", "One?"}},
       {{"role", "assistant"}, {"content", ""}, {"tool_calls", json::array({call})}},
       {{"role", "tool"}, {"tool_call_id", "call_1"}, {"content", "3"}},
       {{"role", "assistant"}, {"content", "Three."}},
       {{"role", "user"},
        {"content", json::array({{{"type", "image"}}, {{"type", "text"}, {"text", "And this?"}}})}},
       {{"role", "assistant"}, {"content", "Four."}}});
  const std::string whole = Render(messages, tools, false);
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i]["role"] != "assistant") continue;
    const json history(std::vector<json>(messages.begin(), messages.begin() + i));
    const std::string prompt = Render(history, tools, true);
    EXPECT_EQ(whole.substr(0, prompt.size()), prompt) << i;
  }
  EXPECT_NE(
      whole.find("<|tool_call>call:add{a:<|\"|>x<|\"|>,b:2}<tool_call|>"
                 "<|tool_response>response:add{value:<|\"|>3<|\"|>}<tool_response|>Three.<turn|>"),
      std::string::npos)
      << whole;
  EXPECT_NE(whole.find("<|turn>user\n<|image|>And this?<turn|>\n<|turn>model\nFour.<turn|>\n"),
            std::string::npos)
      << whole;
}

}  // namespace
}  // namespace facet
