// How closely a prompt's pictures are looked at: the part's word, the caller's, the checkpoint's;
// and how many of them there may be.
#include "engine/prompt.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stop_token>

#include "base/mapped_file.h"
#include "chat/load_template.h"
#include "support/vocabularies.h"

namespace facet {
namespace {

using nlohmann::json;

class PictureBudget : public testing::Test {
 protected:
  void SetUp() override {
    tokenizer_ = LoadTokenizer(Reference("tiny/checkpoint"));
    ASSERT_NE(tokenizer_, nullptr);
    auto loaded = LoadChatTemplate(Reference("tiny/checkpoint"), *tokenizer_);
    ASSERT_TRUE(loaded.ok() && *loaded);
    template_.emplace(std::move(**loaded));
    auto checkpoint = LoadCheckpoint(Reference("tiny/checkpoint"), std::nullopt);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
    config_ = checkpoint->config;
  }

  Result<Prompt> Build(json parts, const MediaOptions& media = {},
                       std::shared_ptr<MediaMemory> memory = nullptr) {
    PromptRequest request;
    request.messages = json::array({{{"role", "user"}, {"content", std::move(parts)}}});
    request.media = media;
    request.memory = std::move(memory);
    request.load = [](const nlohmann::ordered_json& p) {
      return ReadMediaFile(Reference("tiny/media") / p["path"].get<std::string>());
    };
    return BuildPrompt(config_, *tokenizer_, *template_, std::move(request));
  }
  // Soft tokens of the part's first picture or frame.
  int Count(json part, const MediaOptions& media = {}) {
    const auto prompt = Build(json::array({std::move(part)}), media);
    EXPECT_TRUE(prompt.ok()) << prompt.error().message;
    return prompt.ok() && !prompt->items.empty() ? prompt->items[0]->count : 0;
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<ChatTemplate> template_;
  ModelConfig config_;
};

TEST_F(PictureBudget, IsTheCheckpointsUnlessSomebodySaysOtherwise) {
  const json picture = {{"type", "image"}, {"path", "photo.png"}};
  const int usual = Count(picture);
  EXPECT_GT(usual, 140);
  EXPECT_LE(usual, 280);
  config_.vision->image_budget = 70;
  EXPECT_LE(Count(picture), 70);
  EXPECT_EQ(Count(picture, {.image_budget = 280}), usual);
  json close = picture;
  close["image_budget"] = 560;
  EXPECT_GT(Count(close, {.image_budget = 140}), 280);
}

TEST_F(PictureBudget, OfAFilmIsItsOwn) {
  const json film = {{"type", "video"}, {"path", "clip.mkv"}, {"audio", false}};
  const int usual = Count(film);
  EXPECT_LE(usual, 70);
  config_.vision->image_budget = 1120;
  EXPECT_EQ(Count(film), usual);
  config_.vision->video_budget = 280;
  EXPECT_GT(Count(film), 140);
  EXPECT_EQ(Count(film, {.video_budget = 70}), usual);
}

// A small request may name pictures that are large together.
TEST_F(PictureBudget, IsBoundedByTheContext) {
  const json picture = {{"type", "image"}, {"path", "photo.png"}, {"image_budget", 70}};
  config_.text.context = 2 * Count(picture) + 10;
  EXPECT_TRUE(Build({picture, picture}).ok());
  const auto refused = Build({picture, picture, picture, picture});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kOverContext);
  EXPECT_EQ(refused.error().param, "messages[0].content[2]");
  EXPECT_TRUE(refused.error().message.starts_with("messages[0].content[2]: "))
      << refused.error().message;
  const json film = {{"type", "video"}, {"path", "clip.mkv"}, {"audio", false}};
  config_.text.context = 40;
  // The decoder itself stops at what the context has left.
  const auto film_refused = Build({film});
  ASSERT_FALSE(film_refused.ok());
  EXPECT_EQ(film_refused.error().kind, ErrorKind::kOverContext);
  const auto sound_refused = Build(json::array({{{"type", "audio"}, {"path", "speech.wav"}}}));
  ASSERT_FALSE(sound_refused.ok());
  EXPECT_EQ(sound_refused.error().kind, ErrorKind::kOverContext) << sound_refused.error().message;
}

TEST_F(PictureBudget, MemoryIsSharedAndComesBack) {
  const json picture = {{"type", "image"}, {"path", "photo.png"}, {"image_budget", 70}};
  const size_t one = Count(picture) * (media::kPatchValues + sizeof(float) * config_.text.width);
  const auto memory = std::make_shared<MediaMemory>(one * 2 + 1);
  {
    const auto first = Build({picture}, {}, memory);
    ASSERT_TRUE(first.ok());
    const auto second = Build({picture, picture}, {}, memory);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().kind, ErrorKind::kBusy);
    EXPECT_TRUE(Build({picture}, {}, memory).ok());
  }
  EXPECT_TRUE(Build({picture, picture}, {}, memory).ok());
  const auto never = Build({picture, picture, picture}, {}, memory);
  ASSERT_FALSE(never.ok());
  EXPECT_EQ(never.error().kind, ErrorKind::kResource);
}

using MediaPrompt = PictureBudget;

// Text is tokenised apart from the soft tokens in it: that must not show.
TEST_F(MediaPrompt, HasTheIdsOfItsWholeText) {
  const auto text = [](const char* said) { return json{{"type", "text"}, {"text", said}}; };
  const json picture = {{"type", "image"}, {"path", "photo.png"}, {"image_budget", 70}};
  const json sound = {{"type", "audio"}, {"path", "speech.wav"}};
  const json film = {{"type", "video"}, {"path", "clip.mkv"}};
  const std::vector<json> conversations = {
      json::array({picture}), json::array({text("before"), picture, text("after")}),
      json::array({text(" x <"), picture, picture, text("|> y\n\n"), sound, text("  ")}),
      json::array({film, text("What is this?")}), json::array({sound, film, picture})};
  for (const json& parts : conversations) {
    const auto prompt = Build(parts);
    ASSERT_TRUE(prompt.ok()) << prompt.error().message;
    EXPECT_EQ(prompt->ids, tokenizer_->Encode(prompt->text)) << prompt->text;
    size_t soft = 0;
    for (const auto& item : prompt->items) {
      const TokenId id = item->kind == SoftItem::Kind::kImage   ? config_.tokens.image
                         : item->kind == SoftItem::Kind::kFrame ? config_.tokens.video
                                                                : config_.tokens.audio;
      for (int i = item->begin; i < item->end(); ++i) ASSERT_EQ(prompt->ids[i], id);
      soft += item->count;
    }
    EXPECT_EQ(soft, static_cast<size_t>(
                        std::count_if(prompt->ids.begin(), prompt->ids.end(), [&](TokenId id) {
                          return id == config_.tokens.image || id == config_.tokens.video ||
                                 id == config_.tokens.audio;
                        })));
  }
}

TEST_F(MediaPrompt, APlaceholderThatAUserWritesIsText) {
  const json picture = {{"type", "image"}, {"path", "photo.png"}, {"image_budget", 70}};
  const auto prompt = Build(json::array({{{"type", "text"}, {"text", "<|image|>"}}, picture}));
  ASSERT_TRUE(prompt.ok()) << prompt.error().message;
  ASSERT_EQ(prompt->items.size(), 1u);
  EXPECT_EQ(std::count(prompt->ids.begin(), prompt->ids.end(), config_.tokens.image),
            prompt->items[0]->count);
}

TEST_F(MediaPrompt, IsNotDecodedForACallerThatHasLeft) {
  std::stop_source caller;
  PromptRequest request;
  request.stop = caller.get_token();
  request.load = [&](const nlohmann::ordered_json& part) {
    caller.request_stop();
    return ReadMediaFile(Reference("tiny/media") / part["path"].get<std::string>());
  };
  for (const auto& [type, path] :
       {std::pair{"image", "photo.jpg"}, {"audio", "speech.wav"}, {"video", "clip.mkv"}}) {
    const json part = {{"type", type}, {"path", path}};
    request.messages = json::array({{{"role", "user"}, {"content", json::array({part})}}});
    const auto prompt = BuildPrompt(config_, *tokenizer_, *template_, request);
    ASSERT_FALSE(prompt.ok()) << type;
    EXPECT_EQ(prompt.error().kind, ErrorKind::kCancelled) << prompt.error().message;
  }
}

TEST_F(MediaPrompt, TakesSoundThatIsDecodedAlready) {
  const json parts = json::array({{{"type", "audio"}, {"path", "speech.wav"}}});
  const auto from_file = Build(parts);
  ASSERT_TRUE(from_file.ok()) << from_file.error().message;
  const auto bytes = ReadFile(Reference("tiny/media/speech.wav"));
  ASSERT_TRUE(bytes.ok());
  const auto sound = media::DecodeSound(std::as_bytes(std::span(*bytes)));
  ASSERT_TRUE(sound.ok());
  PromptRequest request;
  request.messages = json::array({{{"role", "user"}, {"content", parts}}});
  request.load = [&](const nlohmann::ordered_json&) { return Result<MediaSource>(*sound); };
  const auto decoded = BuildPrompt(config_, *tokenizer_, *template_, request);
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  EXPECT_EQ(decoded->ids, from_file->ids);
  EXPECT_EQ(decoded->items[0]->digest, from_file->items[0]->digest);
  // A picture cannot be sound.
  request.messages[0]["content"][0]["type"] = "image";
  EXPECT_FALSE(BuildPrompt(config_, *tokenizer_, *template_, request).ok());
}

}  // namespace
}  // namespace facet
