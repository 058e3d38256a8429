#include "engine/prompt.h"

#include <algorithm>
#include <bit>
#include <memory>

#include "base/hash.h"
#include "base/picture_budget.h"

namespace facet {
namespace {

using nlohmann::json;

// What is digested with the columns of a picture, and with sound.
constexpr uint64_t kPatchShape = 0x1000, kSoundShape = 0x20000000;
constexpr std::string_view kImage = "<|image|>", kAudio = "<|audio|>", kVideo = "<|video|>";

// SHA-256 over the kind of a medium, the shape of its rows, and its bytes. Whoever can make two
// media share a digest could otherwise make one be answered as the other.
std::array<uint64_t, 4> Digest(uint64_t shape, const void* data, size_t bytes) {
  Hash hash;
  hash.Add(&shape, sizeof(shape));
  hash.Add(data, bytes);
  return std::bit_cast<std::array<uint64_t, 4>>(hash.Finish());
}

std::string Repeat(std::string_view text, int count) {
  std::string out;
  out.reserve(text.size() * count);
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

// What one media part contributes: the text that replaces its placeholder, and its soft items in
// order.
struct Expansion {
  std::string_view placeholder;
  std::string text;
  std::vector<std::shared_ptr<SoftItem>> items;
};

std::shared_ptr<SoftItem> PatchItem(SoftItem::Kind kind, media::Patches patches) {
  auto item = std::make_shared<SoftItem>();
  item->kind = kind;
  item->count = patches.count();
  item->digest = Digest(kPatchShape + static_cast<uint64_t>(patches.columns), patches.pixels.data(),
                        patches.pixels.size());
  item->patches = std::move(patches);
  return item;
}

// Decodes the media of one conversation, part by part.
class Expander {
 public:
  Expander(const ModelConfig& config, const PromptRequest& request)
      : config_(config), request_(request), left_(config.text.context) {}

  // Replaces a film with sound by the film and a sound part behind it, so that the template writes
  // both.
  Result<json> Expand(const json& messages) {
    json out = messages;
    for (size_t m = 0; m < out.size(); ++m) {
      if (!out[m].is_object() || !out[m].contains("content") || !out[m]["content"].is_array())
        continue;
      json parts = json::array();
      for (size_t p = 0; p < out[m]["content"].size(); ++p) {
        const json& part = out[m]["content"][p];
        parts.push_back(part);
        const std::string type = part.is_object() ? part.value("type", "") : "";
        if (type != "image" && type != "audio" && type != "video") continue;
        auto sound = AddPart(part, type);
        if (!sound.ok()) return sound.error().In(Cat("messages[", m, "].content[", p, "]"));
        if (*sound) parts.push_back({{"type", "audio"}});
      }
      out[m]["content"] = std::move(parts);
    }
    return out;
  }

  std::vector<Expansion>& expansions() { return expansions_; }

 private:
  Result<std::string> Load(const json& part) {
    if (!request_.load) return Error{"media are not allowed here", ErrorKind::kUnsupported};
    return request_.load(part);
  }
  Result<int> Budget(const json& part, const char* key, int fallback) {
    if (!part.contains(key)) return fallback;
    if (!part[key].is_number_integer()) return Expected(kPictureBudgetNames, part[key].dump(), key);
    return part[key].get<int>();
  }

  // True where a film's sound follows as a part of its own.
  Result<bool> AddPart(const json& part, const std::string& type) {
    FACET_ASSIGN(const std::string bytes, Load(part));
    const auto data = std::as_bytes(std::span(bytes));
    if (type == "image") {
      FACET_TRY(AddImage(part, data));
      return false;
    }
    if (type == "video") return AddFilm(part, data);
    if (!config_.audio) return Error{"this model cannot hear", ErrorKind::kUnsupported};
    media::Limits limits = request_.media.limits;
    constexpr double kTokensPerSecond = 16000.0 / media::kFrameSamples;
    const double room = static_cast<double>(left_ + 1) / kTokensPerSecond;
    const bool bound = room < limits.max_audio_seconds;
    if (bound) limits.max_audio_seconds = room;
    FACET_ASSIGN(const media::Sound sound,
                 Within(media::DecodeSound(data, limits), bound, " s of sound but got"));
    FACET_TRY(AddSound(sound));
    return false;
  }

  Result<void> AddImage(const json& part, std::span<const std::byte> data) {
    if (!config_.vision) return Error{"this model cannot see", ErrorKind::kUnsupported};
    FACET_ASSIGN(const int budget,
                 Budget(part, "image_budget", ImageBudget(request_.media, config_)));
    FACET_ASSIGN(const media::Picture picture, media::DecodePicture(data, request_.media.limits));
    FACET_ASSIGN(media::Patches patches, media::ToPatches(picture, budget));
    const int n = patches.count();
    auto item = PatchItem(SoftItem::Kind::kImage, std::move(patches));
    FACET_TRY(Admit(*item));
    expansions_.push_back({kImage, "<|image>" + Repeat(kImage, n) + "<image|>", {std::move(item)}});
    return Ok();
  }

  static Error OverContext() {
    return {std::string("needs ").append(kOverContext), ErrorKind::kResource};
  }

  // Where the context has set the limit that a decoder speaks of, the error is about the context.
  template <typename T>
  static Result<T> Within(Result<T> decoded, bool bound, std::string_view limit) {
    const bool over =
        !decoded.ok() && bound && decoded.error().message.find(limit) != std::string::npos;
    return over ? Result<T>(OverContext()) : std::move(decoded);
  }

  // Counts what was decoded before the next part is: a small request may name pictures and films
  // that are large together.
  Result<void> Admit(SoftItem& item) {
    left_ -= item.count;
    if (left_ < 0) return OverContext();
    if (request_.memory == nullptr) return Ok();
    const size_t rows = size_t{sizeof(float)} * item.count * config_.text.width;
    const size_t bytes = item.patches.pixels.size() + item.frames.size() * sizeof(float) + rows;
    held_ += bytes;
    if (held_ > request_.memory->limit())
      return Error{Cat("with what stands before it, it needs more than the ",
                       request_.memory->limit() >> 20, " MB that media may have"),
                   ErrorKind::kResource};
    item.held = request_.memory->Hold(bytes);
    if (item.held != nullptr) return Ok();
    return Error{"the media of other requests fill the memory for media", ErrorKind::kBusy};
  }

  Result<void> AddSound(const media::Sound& sound) {
    auto item = std::make_shared<SoftItem>();
    item->kind = SoftItem::Kind::kAudio;
    item->frames = media::ToAudioFrames(sound);
    item->count = static_cast<int>(item->frames.size() / media::kFrameSamples);
    item->digest = Digest(kSoundShape, item->frames.data(), item->frames.size() * sizeof(float));
    FACET_TRY(Admit(*item));
    expansions_.push_back({kAudio, "<|audio>" + Repeat(kAudio, item->count) + "<audio|>", {item}});
    return Ok();
  }

  Result<bool> AddFilm(const json& part, std::span<const std::byte> data) {
    if (!config_.vision) return Error{"this model cannot see", ErrorKind::kUnsupported};
    FACET_ASSIGN(const int budget,
                 Budget(part, "video_budget", VideoBudget(request_.media, config_)));
    media::Limits limits = request_.media.limits;
    limits.frames_per_second = request_.media.frames_per_second;
    if (part.contains("fps")) {
      if (!part["fps"].is_number()) return Expected("a number", part["fps"].dump(), "fps");
      limits.frames_per_second = part["fps"].get<double>();
    }
    limits.film_sound = config_.audio.has_value() && part.value("audio", true);
    limits.frame_budget =
        budget;  // frames shrink as they are decoded: an hour at full size would not fit in memory
    // A film that needs more than the context is not decoded to its end.
    constexpr int64_t kTokenPixels = int64_t{media::kPatchSide} * media::kPatchSide;
    const bool bound = left_ * kTokenPixels < limits.max_film_pixels;
    if (bound) limits.max_film_pixels = left_ * kTokenPixels;
    FACET_ASSIGN(media::Film film,
                 Within(media::DecodeFilm(data, limits), bound, "pixels in all sampled frames"));
    Expansion expansion{kVideo, {}, {}};
    for (media::Frame& frame : film.frames) {
      FACET_ASSIGN(media::Patches patches, media::CutPatches(frame.picture));
      frame.picture = {};
      if (!expansion.text.empty()) expansion.text += ' ';
      expansion.text += media::TimeLabel(frame.seconds) + " <|image>" +
                        Repeat(kVideo, patches.count()) + "<image|>";
      expansion.items.push_back(PatchItem(SoftItem::Kind::kFrame, std::move(patches)));
      FACET_TRY(Admit(*expansion.items.back()));
    }
    expansions_.push_back(std::move(expansion));
    if (!film.sound || film.sound->samples.empty()) return false;
    FACET_TRY(AddSound(*film.sound));
    return true;
  }

  const ModelConfig& config_;
  const PromptRequest& request_;
  int64_t left_;     // soft tokens of the context
  size_t held_ = 0;  // bytes of the request's media
  std::vector<Expansion> expansions_;
};

bool Touches(std::span<const TextSpan> spans, size_t begin, size_t end) {
  const auto at = std::partition_point(spans.begin(), spans.end(),
                                       [&](const TextSpan& s) { return s.end <= begin; });
  return at != spans.end() && at->begin < end;
}

// The rendered text with every placeholder of the template replaced, and the spans moved along.
Result<RenderedPrompt> ReplacePlaceholders(const RenderedPrompt& rendered,
                                           const std::vector<Expansion>& expansions) {
  RenderedPrompt out;
  const std::string_view text = rendered.text;
  size_t next_span = 0, next = 0, copied = 0;
  const auto copy_until = [&](size_t end) {
    for (; next_span < rendered.plain.size() && rendered.plain[next_span].begin < end;
         ++next_span) {
      const TextSpan& span = rendered.plain[next_span];
      const size_t shift = out.text.size() - copied;
      out.plain.push_back({span.begin + shift, span.end + shift});
    }
    out.text += text.substr(copied, end - copied);
    copied = end;
  };
  for (size_t at = text.find("<|"); at != std::string::npos; at = text.find("<|", at + 1)) {
    const std::string_view rest = text.substr(at);
    std::string_view found;
    for (const std::string_view placeholder : {kImage, kAudio, kVideo}) {
      if (rest.starts_with(placeholder)) found = placeholder;
    }
    if (found.empty() || Touches(rendered.plain, at, at + found.size())) continue;
    if (next == expansions.size() || expansions[next].placeholder != found) {
      return Error{
          Cat("the chat template writes ", found, " where the messages have ",
              next == expansions.size() ? "no further media" : expansions[next].placeholder)};
    }
    copy_until(at);
    out.text += expansions[next++].text;
    copied = at + found.size();
  }
  copy_until(text.size());
  if (next != expansions.size()) {
    return Error{Cat("the chat template writes no place for ", expansions[next].placeholder),
                 ErrorKind::kUnsupported};
  }
  return out;
}

// Finds each item's placeholders among the ids: items come in the order in which their tokens do.
Result<void> PlaceItems(const ModelConfig& config, Prompt& prompt) {
  const auto token_of = [&](const SoftItem& item) {
    switch (item.kind) {
      case SoftItem::Kind::kImage:
        return config.tokens.image;
      case SoftItem::Kind::kFrame:
        return config.tokens.video;
      case SoftItem::Kind::kAudio:
        return config.tokens.audio;
    }
    return -1;
  };
  size_t at = 0;
  for (const std::shared_ptr<SoftItem>& item : prompt.items) {
    const TokenId token = token_of(*item);
    while (at < prompt.ids.size() && prompt.ids[at] != token) ++at;
    item->begin = static_cast<int>(at);
    for (int i = 0; i < item->count; ++i, ++at) {
      if (at == prompt.ids.size() || prompt.ids[at] != token) {
        return Error{
            "the vocabulary does not have the placeholders of this model's pictures and sound"};
      }
    }
  }
  return Ok();
}

}  // namespace

std::shared_ptr<void> MediaMemory::Hold(size_t bytes) {
  size_t held = held_.load();
  do {
    if (bytes > limit_ - held) return nullptr;
  } while (!held_.compare_exchange_weak(held, held + bytes));
  return {this, [memory = shared_from_this(), bytes](void*) { memory->held_ -= bytes; }};
}

int ImageBudget(const MediaOptions& options, const ModelConfig& config) {
  return options.image_budget.value_or(config.vision ? config.vision->image_budget : kImageBudget);
}

int VideoBudget(const MediaOptions& options, const ModelConfig& config) {
  return options.video_budget.value_or(config.vision ? config.vision->video_budget : kVideoBudget);
}

std::vector<SoftRun> Prompt::Runs() const {
  std::vector<SoftRun> runs;
  for (const auto& item : items) {
    if (item->count > 0)
      runs.push_back(
          {item->begin, std::as_const(item->rows).view(), item->kind != SoftItem::Kind::kAudio});
  }
  return runs;
}

Result<Prompt> BuildPrompt(const ModelConfig& config, const Tokenizer& tokenizer,
                           const ChatTemplate& chat_template, const PromptRequest& request) {
  Expander expander(config, request);
  FACET_ASSIGN(const json messages, expander.Expand(request.messages));
  FACET_ASSIGN(const RenderedPrompt rendered,
               chat_template.Render(messages, request.tools, request.render));
  FACET_ASSIGN(RenderedPrompt expanded, ReplacePlaceholders(rendered, expander.expansions()));
  Prompt prompt;
  prompt.ids = tokenizer.Encode(expanded.text, expanded.plain);
  prompt.text = std::move(expanded.text);
  for (Expansion& expansion : expander.expansions()) {
    for (auto& item : expansion.items) prompt.items.push_back(std::move(item));
  }
  FACET_TRY(PlaceItems(config, prompt));
  return prompt;
}

Prompt RawPrompt(const Tokenizer& tokenizer, std::string text) {
  Prompt prompt;
  prompt.ids = tokenizer.Encode(text);
  prompt.text = std::move(text);
  return prompt;
}

Result<void> EmbedItem(Model& model, SoftItem& item, const Adapter* adapter) {
  if (item.count == 0 || item.rows.rows() == item.count) return Ok();
  Mat rows = item.rows.Resize(item.count, model.config().text.width);
  if (item.kind == SoftItem::Kind::kAudio) {
    return model.EmbedAudio({item.frames.data(), item.count, media::kFrameSamples}, rows, adapter);
  }
  const media::Patches& patches = item.patches;
  return model.EmbedPatches({patches.pixels.data(), patches.count(), media::kPatchValues},
                            patches.columns, rows, adapter);
}

Result<void> EmbedPrompt(Model& model, Prompt& prompt, const Adapter* adapter) {
  for (const auto& item : prompt.items) FACET_TRY(EmbedItem(model, *item, adapter));
  return Ok();
}

}  // namespace facet
