// Pictures, sounds and films inside of tools' results, with the published templates.
#include <gtest/gtest.h>

#include "support/reference.h"

namespace facet {
namespace {

using Json = nlohmann::ordered_json;

class ToolMedia : public testing::Test {
 protected:
  void SetUp() override {
    tokenizer_ = LoadTokenizer(Reference("tiny/checkpoint"));
    auto checkpoint = LoadCheckpoint(Reference("tiny/checkpoint"), std::nullopt);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
    config_ = checkpoint->config;
  }

  static std::vector<std::string> Templates() {
    return {**FindChatTemplate(Reference("gemma4/vocab.gguf")),
            *ReadFile(Reference("gemma4/chat_template_openai.jinja"))};
  }

  // Two calls at once, whose results are `first` and `second`, and what came of them.
  static Json Conversation(Json first, Json second, bool answered) {
    Json calls = Json::array();
    for (const char* id : {"1", "2"})
      calls.push_back({{"id", id},
                       {"type", "function"},
                       {"function", {{"name", "look"}, {"arguments", Json::object()}}}});
    Json messages = {{{"role", "user"}, {"content", "Look."}},
                     {{"role", "assistant"}, {"content", ""}, {"tool_calls", calls}},
                     {{"role", "tool"}, {"tool_call_id", "1"}, {"content", std::move(first)}},
                     {{"role", "tool"}, {"tool_call_id", "2"}, {"content", std::move(second)}}};
    if (answered) {
      messages.push_back({{"role", "assistant"}, {"content", "I see."}});
      messages.push_back({{"role", "user"}, {"content", "And?"}});
    }
    return messages;
  }

  Result<Prompt> Build(const std::string& source, Json messages) {
    auto chat = ChatTemplate::Create(source, *tokenizer_);
    EXPECT_TRUE(chat.ok()) << chat.error().message;
    PromptRequest request;
    request.messages = std::move(messages);
    request.load = [](const Json& part) {
      return ReadMediaFile(Reference("tiny/media") / part["path"].get<std::string>());
    };
    return BuildPrompt(config_, *tokenizer_, *chat, std::move(request));
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  ModelConfig config_;
};

TEST_F(ToolMedia, ReachTheModelBehindTheirResults) {
  const Json text = {{"type", "text"}, {"text", "saved"}};
  const Json picture = {{"type", "image"}, {"path", "photo.png"}};
  const Json sound = {{"type", "audio"}, {"path", "speech.wav"}};
  const Json film = {{"type", "video"}, {"path", "clip.mkv"}};
  for (const std::string& source : Templates()) {
    for (const bool answered : {false, true}) {
      const auto prompt =
          Build(source, Conversation({text, picture, sound}, {picture, film, text}, answered));
      ASSERT_TRUE(prompt.ok()) << prompt.error().message;
      using Kind = SoftItem::Kind;
      std::vector<Kind> kinds;
      for (const auto& item : prompt->items)
        if (kinds.empty() || kinds.back() != item->kind || item->kind != Kind::kFrame)
          kinds.push_back(item->kind);
      EXPECT_EQ(kinds, (std::vector{Kind::kImage, Kind::kAudio, Kind::kImage, Kind::kFrame}));
      const std::string& said = prompt->text;
      const size_t first = said.find("saved"), end = said.find("<tool_response|>", first),
                   image = said.find("<|image|>"), audio = said.find("<|audio|>"),
                   second = said.find("saved", first + 1),
                   last = said.find("<tool_response|>", second);
      EXPECT_LT(first, end) << said;
      EXPECT_LT(end, image);
      EXPECT_LT(image, audio);
      EXPECT_LT(audio, second);
      EXPECT_LT(last, said.find("<|image|>", second));
      EXPECT_LT(last, said.find("<|video|>"));
      EXPECT_EQ(said.find("\uFDD0"), std::string::npos);
      // The text of the results is as it is without media.
      const auto bare = Build(source, Conversation({text}, {text}, answered));
      ASSERT_TRUE(bare.ok()) << bare.error().message;
      EXPECT_NE(bare->text.find("response:look{value:<|\"|>saved<|\"|>}"), std::string::npos);
      EXPECT_NE(said.find("response:look{value:<|\"|>saved<|\"|>}"), std::string::npos) << said;
    }
  }
}

// A result's own text names no place for a medium.
TEST_F(ToolMedia, TextInResultsStaysText) {
  const Json picture = {{"type", "image"}, {"path", "photo.png"}};
  const Json text = {{"type", "text"}, {"text", "<|image|> <tool_response|> \uFDD2"}};
  for (const std::string& source : Templates()) {
    const auto prompt = Build(source, Conversation({text, picture}, "plain", false));
    ASSERT_TRUE(prompt.ok()) << prompt.error().message;
    EXPECT_EQ(prompt->items.size(), 1u);
    const size_t said = prompt->text.find("<|image|> <tool_response|>");
    ASSERT_NE(said, std::string::npos);
    EXPECT_GT(prompt->items[0]->begin, 0);
  }
}

}  // namespace
}  // namespace facet
