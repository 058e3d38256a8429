#include "engine/media_parts.h"

#include <bit>

#include "base/hash.h"
#include "base/math.h"
#include "base/picture_budget.h"

namespace facet {
namespace {

using Json = nlohmann::ordered_json;

// What is digested with the columns of a picture, and with sound.
constexpr uint64_t kPatchShape = 0x1000, kSoundShape = 0x20000000;

// SHA-256 over the kind of a medium, the shape of its rows, and its bytes. Whoever can make two
// media share a digest could otherwise make one be answered as the other.
std::array<uint64_t, 4> DigestOf(uint64_t shape, const void* data, size_t bytes) {
  Hash hash;
  hash.Add(&shape, sizeof(shape));
  hash.Add(data, bytes);
  return std::bit_cast<std::array<uint64_t, 4>>(hash.Finish());
}

std::shared_ptr<SoftItem> PatchItem(SoftItem::Kind kind, media::Patches patches) {
  auto item = std::make_shared<SoftItem>();
  item->kind = kind;
  item->count = patches.count();
  item->digest = DigestOf(kPatchShape + static_cast<uint64_t>(patches.columns),
                          patches.pixels.data(), patches.pixels.size());
  item->patches = std::move(patches);
  return item;
}

std::shared_ptr<SoftItem> SoundItem(const media::Sound& sound) {
  auto item = std::make_shared<SoftItem>();
  item->kind = SoftItem::Kind::kAudio;
  item->frames = media::ToAudioFrames(sound);
  item->count = static_cast<int>(item->frames.size() / media::kFrameSamples);
  item->digest = DigestOf(kSoundShape, item->frames.data(), item->frames.size() * sizeof(float));
  return item;
}

int SoundTokens(int64_t samples) {
  return static_cast<int>(DivideUp(samples, media::kFrameSamples));
}

int PictureTokens(media::PictureSize size) {
  return size.width / media::kPatchSide * (size.height / media::kPatchSide);
}

// What is known of an item before it is decoded.
std::shared_ptr<SoftItem> MeasuredItem(SoftItem::Kind kind, int count) {
  auto item = std::make_shared<SoftItem>();
  item->kind = kind;
  item->count = count;
  return item;
}

std::string_view TypeOf(const Json& part) {
  if (!part.is_object()) return {};
  const auto type = part.find("type");
  if (type == part.end() || !type->is_string()) return {};
  return type->get_ref<const std::string&>();
}

Result<int> BudgetOf(const Json& part, const char* key, int fallback) {
  if (!part.contains(key)) return fallback;
  if (!part[key].is_number_integer()) return Expected(kPictureBudgetNames, part[key].dump(), key);
  return part[key].get<int>();
}

class MediaDecoder {
 public:
  MediaDecoder(const ModelConfig& config, PromptRequest& request)
      : config_(config), request_(request), left_(config.text.context) {}

  Result<std::vector<MediaExpansion>> Decode() {
    if (!request_.messages.is_array()) return std::vector<MediaExpansion>();  // refused later
    for (size_t m = 0; m < request_.messages.size(); ++m) {
      Json& message = request_.messages[m];
      if (!message.is_object()) continue;
      const auto content = message.find("content");
      if (content == message.end() || !content->is_array()) continue;
      FACET_TRY(DecodeParts(*content, Cat("messages[", m, "].content")));
    }
    return std::move(expansions_);
  }

 private:
  Result<void> DecodeParts(Json& content, const std::string& where) {
    Json parts = Json::array();
    for (size_t p = 0; p < content.size(); ++p) {
      const auto sound = AddPart(content[p]);
      if (!sound.ok()) {
        // Where a part says where it came from, that is its place.
        const std::string place = content[p].value("place", Cat(where, "[", p, "]"));
        Error error = sound.error().In(place);
        error.param = place;
        return error;
      }
      parts.push_back(std::move(content[p]));
      if (*sound) parts.push_back({{"type", "audio"}});
    }
    content = std::move(parts);
    return Ok();
  }

  // True where a film's sound follows as a part of its own.
  Result<bool> AddPart(const Json& part) {
    const std::string_view type = TypeOf(part);
    if (type != "image" && type != "audio" && type != "video") return false;
    if (!request_.load) return Error{"media are not allowed here", ErrorKind::kUnsupported};
    FACET_ASSIGN(const MediaSource source, request_.load(part));
    if (const auto* sound = std::get_if<media::Sound>(&source)) {
      if (type != "audio") return Error{Cat("expected ", type, " but got decoded sound")};
      if (!config_.audio) return CannotHear();
      FACET_TRY(AddSound(SoundItem(*sound)));
      return false;
    }
    const auto bytes = std::as_bytes(std::span(std::get<std::string>(source)));
    if (type == "video") return AddFilm(part, bytes);
    FACET_TRY(type == "image" ? AddPicture(part, bytes) : AddSoundFile(bytes));
    return false;
  }

  static Error CannotHear() { return {"this model cannot hear", ErrorKind::kUnsupported}; }
  static Error CannotSee() { return {"this model cannot see", ErrorKind::kUnsupported}; }
  static Error OverContext() {
    return {"needs more soft tokens than the context has left", ErrorKind::kOverContext};
  }

  // Where the context has set the limit that a decoder ran into (`bound`), the error is about the
  // context.
  template <typename T>
  static Result<T> WithinContext(Result<T> decoded, bool bound) {
    const bool over = !decoded.ok() && bound && decoded.error().kind == ErrorKind::kTooLarge;
    return over ? Result<T>(OverContext()) : std::move(decoded);
  }
  // Lowers the limit of a sound's length to what the context has left; true where it did.
  bool BindSound(media::Limits& limits) const {
    constexpr double kTokensPerSecond = 16000.0 / media::kFrameSamples;
    const double room = static_cast<double>(left_ + 1) / kTokensPerSecond;
    if (room >= limits.max_audio_seconds) return false;
    limits.max_audio_seconds = room;
    return true;
  }

  // Counts what was decoded before the next part is: a small request may name pictures and films
  // that are large together.
  Result<void> AdmitItem(SoftItem& item) {
    left_ -= item.count;
    if (left_ < 0) return OverContext();
    if (request_.memory == nullptr) return Ok();
    const size_t rows = size_t{sizeof(float)} * item.count * config_.text.width;
    const size_t bytes = item.patches.pixels.size() + item.frames.size() * sizeof(float) + rows;
    held_ += bytes;
    if (held_ > request_.memory->limit()) {
      return Error{Cat("the request's media up to here need more than the ",
                       request_.memory->limit() >> 20, " MB that media may have"),
                   ErrorKind::kResource};
    }
    item.held = request_.memory->Hold(bytes);
    if (item.held != nullptr) return Ok();
    return Error{"the media of other requests fill the memory for media", ErrorKind::kBusy};
  }

  bool measures() const { return request_.media_use == MediaUse::kMeasure; }

  Result<void> AddPicture(const Json& part, std::span<const std::byte> data) {
    if (!config_.vision) return CannotSee();
    FACET_ASSIGN(const int budget,
                 BudgetOf(part, "image_budget", ImageBudget(request_.media, config_)));
    FACET_ASSIGN(std::shared_ptr<SoftItem> item, PictureItem(data, budget));
    FACET_TRY(AdmitItem(*item));
    expansions_.push_back({kImagePlaceholder, {{"<|image>", std::move(item)}}, "<image|>"});
    return Ok();
  }

  Result<std::shared_ptr<SoftItem>> PictureItem(std::span<const std::byte> data, int budget) {
    const media::Limits& limits = request_.media.limits;
    if (measures()) {
      FACET_ASSIGN(const media::PictureSize size, media::ProbePicture(data, limits));
      FACET_ASSIGN(const media::PictureSize target,
                   media::TargetSize(size.width, size.height, budget));
      return MeasuredItem(SoftItem::Kind::kImage, PictureTokens(target));
    }
    FACET_ASSIGN(const media::Picture picture, media::DecodePicture(data, limits, request_.stop));
    FACET_ASSIGN(media::Patches patches, media::ToPatches(picture, budget));
    return PatchItem(SoftItem::Kind::kImage, std::move(patches));
  }

  Result<void> AddSoundFile(std::span<const std::byte> data) {
    if (!config_.audio) return CannotHear();
    media::Limits limits = request_.media.limits;
    const bool bound = BindSound(limits);
    if (measures()) {
      FACET_ASSIGN(const int64_t samples,
                   WithinContext(media::ProbeSound(data, limits, request_.stop), bound));
      return AddSound(MeasuredItem(SoftItem::Kind::kAudio, SoundTokens(samples)));
    }
    FACET_ASSIGN(const media::Sound sound,
                 WithinContext(media::DecodeSound(data, limits, request_.stop), bound));
    return AddSound(SoundItem(sound));
  }

  Result<void> AddSound(std::shared_ptr<SoftItem> item) {
    FACET_TRY(AdmitItem(*item));
    expansions_.push_back({kAudioPlaceholder, {{"<|audio>", std::move(item)}}, "<audio|>"});
    return Ok();
  }

  // How far a film is decoded; `bound`: by what the context has left.
  Result<media::Limits> FilmLimits(const Json& part, bool& bound) const {
    media::Limits limits = request_.media.limits;
    // Frames shrink as they are decoded: an hour at full size would not fit in memory.
    FACET_ASSIGN(limits.frame_budget,
                 BudgetOf(part, "video_budget", VideoBudget(request_.media, config_)));
    limits.frames_per_second = request_.media.frames_per_second;
    if (part.contains("fps")) {
      if (!part["fps"].is_number()) return Expected("a number", part["fps"].dump(), "fps");
      limits.frames_per_second = part["fps"].get<double>();
    }
    limits.film_sound = config_.audio.has_value();
    if (part.contains("audio")) {
      if (!part["audio"].is_boolean()) return Expected("a boolean", part["audio"].dump(), "audio");
      limits.film_sound = limits.film_sound && part["audio"].get<bool>();
    }
    // A film that needs more than the context is not decoded to its end.
    constexpr int64_t kTokenPixels = int64_t{media::kPatchSide} * media::kPatchSide;
    bound = BindSound(limits);
    if (left_ * kTokenPixels < limits.max_film_pixels) {
      limits.max_film_pixels = left_ * kTokenPixels;
      bound = true;
    }
    return limits;
  }

  struct FilmItems {
    std::vector<std::pair<double, std::shared_ptr<SoftItem>>> frames;  // with their seconds
    std::shared_ptr<SoftItem> sound;                                   // null: none
  };
  Result<FilmItems> ReadFilm(const Json& part, std::span<const std::byte> data) {
    bool bound = false;
    FACET_ASSIGN(const media::Limits limits, FilmLimits(part, bound));
    FilmItems items;
    if (measures()) {
      FACET_ASSIGN(const media::FilmShape film,
                   WithinContext(media::ProbeFilm(data, limits, request_.stop), bound));
      for (const media::FrameShape& frame : film.frames) {
        items.frames.emplace_back(frame.seconds,
                                  MeasuredItem(SoftItem::Kind::kFrame, PictureTokens(frame.size)));
      }
      if (film.sound_samples)
        items.sound = MeasuredItem(SoftItem::Kind::kAudio, SoundTokens(*film.sound_samples));
      return items;
    }
    FACET_ASSIGN(media::Film film,
                 WithinContext(media::DecodeFilm(data, limits, request_.stop), bound));
    for (media::Frame& frame : film.frames) {
      FACET_ASSIGN(media::Patches patches, media::CutPatches(frame.picture));
      frame.picture = {};
      items.frames.emplace_back(frame.seconds,
                                PatchItem(SoftItem::Kind::kFrame, std::move(patches)));
    }
    if (film.sound) items.sound = SoundItem(*film.sound);
    return items;
  }

  // True where its sound follows.
  Result<bool> AddFilm(const Json& part, std::span<const std::byte> data) {
    if (!config_.vision) return CannotSee();
    FACET_ASSIGN(FilmItems film, ReadFilm(part, data));
    MediaExpansion expansion{kVideoPlaceholder, {}, film.frames.empty() ? "" : "<image|>"};
    for (auto& [seconds, item] : film.frames) {
      FACET_TRY(AdmitItem(*item));
      expansion.runs.push_back(
          {Cat(expansion.runs.empty() ? "" : "<image|> ", media::TimeLabel(seconds), " <|image>"),
           std::move(item)});
    }
    expansions_.push_back(std::move(expansion));
    if (film.sound == nullptr || film.sound->count == 0) return false;
    FACET_TRY(AddSound(std::move(film.sound)));
    return true;
  }

  const ModelConfig& config_;
  PromptRequest& request_;
  int64_t left_;     // soft tokens of the context
  size_t held_ = 0;  // bytes of the request's media
  std::vector<MediaExpansion> expansions_;
};

}  // namespace

Result<std::vector<MediaExpansion>> DecodeMediaParts(const ModelConfig& config,
                                                     PromptRequest& request) {
  return MediaDecoder(config, request).Decode();
}

}  // namespace facet
