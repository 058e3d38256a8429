// From a conversation with pictures, sound and films to the tokens and soft tokens that the model
// reads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat/chat_template.h"
#include "media/media.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace facet {

// Bytes that the decoded media of all prompts hold together. Shared by many threads.
class MediaMemory : public std::enable_shared_from_this<MediaMemory> {
 public:
  explicit MediaMemory(size_t limit) : limit_(limit) {}
  size_t limit() const { return limit_; }
  // Held until the last copy of the result goes; null where so much is not left.
  std::shared_ptr<void> Hold(size_t bytes);

 private:
  const size_t limit_;
  std::atomic<size_t> held_{0};
};

// A run of soft tokens: one picture, one film frame, or one sound.
struct SoftItem {
  enum class Kind { kImage, kFrame, kAudio } kind = Kind::kImage;
  int begin = 0, count = 0;          // token positions in the prompt
  media::Patches patches;            // pictures and frames
  std::vector<float> frames;         // sound: (count, 640)
  std::array<uint64_t, 4> digest{};  // SHA-256 of what the model reads, for the prefix cache
  Buffer rows;                       // (count, width), filled by EmbedPrompt
  std::shared_ptr<void> held;        // its share of the MediaMemory
};

struct Prompt {
  std::string text;  // with placeholders expanded
  std::vector<TokenId> ids;
  std::vector<std::shared_ptr<SoftItem>> items;  // sorted by begin

  // Rows for Model::Forward; EmbedPrompt first.
  std::vector<SoftRun> Runs() const;
};

struct MediaOptions {
  // Soft tokens of a picture and of a film's frame at most, each one of kPictureBudgets; empty: the
  // checkpoint's.
  std::optional<int> image_budget = std::nullopt, video_budget = std::nullopt;
  double frames_per_second = 1.0;
  media::Limits limits = {};
};

// What holds for a part that names no budget.
int ImageBudget(const MediaOptions& options, const ModelConfig& config);
int VideoBudget(const MediaOptions& options, const ModelConfig& config);

struct PromptRequest {
  nlohmann::json messages;
  nlohmann::json tools;  // null or a list
  RenderOptions render;
  MediaOptions media;
  // The bytes of a media part ({"type": "image", "path": ...} and whatever else the caller
  // understands).
  std::function<Result<std::string>(const nlohmann::json& part)> load;
  std::shared_ptr<MediaMemory> memory = nullptr;  // null: no limit but the context
};

// How an error ends whose media need more soft tokens than the context has left.
inline constexpr std::string_view kOverContext = "more soft tokens than the context has left";

// Renders, decodes and tokenises. Parts of type image, audio and video become soft tokens; a part
// may carry image_budget, video_budget, fps and (video) audio: false. Errors name the message and
// the part: undecodable media, a budget that is none, a model that cannot see or hear, more media
// than the context (kOverContext) or `memory` can ever hold (kResource), or than is free of it now
// (kBusy).
Result<Prompt> BuildPrompt(const ModelConfig& config, const Tokenizer& tokenizer,
                           const ChatTemplate& chat_template, const PromptRequest& request);

// `text` as it is, special tokens parsed; media are not expanded.
Prompt RawPrompt(const Tokenizer& tokenizer, std::string text);

// Computes the soft tokens' rows, where that has not been done. An item's rows belong to the
// adapter that they were computed with.
Result<void> EmbedItem(Model& model, SoftItem& item, const Adapter* adapter = nullptr);
Result<void> EmbedPrompt(Model& model, Prompt& prompt, const Adapter* adapter = nullptr);

}  // namespace facet
