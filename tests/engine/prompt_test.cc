// How closely a prompt's pictures are looked at: the part's word, the caller's, the checkpoint's.
#include "engine/prompt.h"

#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "chat/load_template.h"
#include "formats/vocabularies.h"

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

  // Soft tokens of the part's first picture or frame.
  int Count(json part, const MediaOptions& media = {}) {
    PromptRequest request;
    request.messages =
        json::array({{{"role", "user"}, {"content", json::array({std::move(part)})}}});
    request.media = media;
    request.load = [](const json& p) {
      return ReadFile(Reference("tiny/media") / p["path"].get<std::string>());
    };
    const auto prompt = BuildPrompt(config_, *tokenizer_, *template_, request);
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

}  // namespace
}  // namespace facet
