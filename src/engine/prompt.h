// From a conversation with pictures, sound and films to the tokens and soft tokens that the model
// reads.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "chat/chat_template.h"
#include "engine/soft_item.h"
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

struct Prompt {
  std::string text;                                    // with placeholders expanded
  std::vector<TokenId> ids;                            // with a placeholder for each soft token
  std::vector<std::shared_ptr<const SoftItem>> items;  // sorted by begin

  // Where pictures and film frames stand, for ChunkLength.
  std::vector<PictureSpan> Pictures() const;
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

// The bytes of a file, or sound that is decoded already.
using MediaSource = std::variant<std::string, media::Sound>;
Result<MediaSource> ReadMediaFile(const std::filesystem::path& path);

// Whether soft items get what the model reads, or for counting tokens only their kind and count.
enum class MediaUse { kDecode, kMeasure };

// An answer that has begun: the model goes on with it.
struct BegunAnswer {
  std::string thoughts;  // without a content, these go on
  std::string content;
};

struct PromptRequest {
  nlohmann::ordered_json messages;
  std::optional<BegunAnswer> begun = std::nullopt;  // behind the generation prompt
  nlohmann::ordered_json tools;                     // null or a list
  RenderOptions render;
  MediaOptions media;
  // What a media part holds ({"type": "image", "path": ...} and whatever else the caller
  // understands).
  std::function<Result<MediaSource>(const nlohmann::ordered_json& part)> load;
  MediaUse media_use = MediaUse::kDecode;
  std::shared_ptr<MediaMemory> memory = nullptr;  // null: no limit but the context
  std::stop_token stop = {};                      // ends the decoding of media: kCancelled
  // A longer prompt is an error (kOverContext), found before all of its text has been tokenised.
  size_t max_tokens = SIZE_MAX;
};

// Renders, decodes and tokenises. Parts of type image, audio and video become soft tokens; a part
// may carry image_budget, video_budget, fps and (video) audio: false. Errors name the message and
// the part, in `param` too ("messages[2].content[1]"): undecodable media, a budget that is none, a
// model that cannot see or hear, more soft tokens than the context holds (kOverContext), more media
// than `memory` can ever hold (kResource) or than is free of it now (kBusy).
Result<Prompt> BuildPrompt(const ModelConfig& config, const Tokenizer& tokenizer,
                           const ChatTemplate& chat_template, PromptRequest request);

// `text` as it is, special tokens parsed; media are not expanded.
Prompt RawPrompt(const Tokenizer& tokenizer, std::string text);

// The soft tokens of one item: rows (count, width). They belong to the adapter that they were
// computed with.
Result<void> EmbedItem(Model& model, const SoftItem& item, const Adapter* adapter, Buffer& rows);

// The soft tokens of a prompt.
struct EmbeddedMedia {
  std::vector<Buffer> rows;   // (count, width) of each item
  std::vector<SoftRun> runs;  // views of them, for Model::Forward
};
Result<EmbeddedMedia> EmbedMedia(Model& model, Media media, const Adapter* adapter = nullptr);

}  // namespace facet
