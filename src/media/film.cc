// Films: one pass over the packets, frames sampled by time, the sound track beside them.
#include <algorithm>
#include <cmath>

#include "media/av.h"
#include "media/still.h"

extern "C" {
#include <libavutil/display.h>
}

namespace facet::media {
namespace {

constexpr double kLatest = 1e9;
constexpr double kTick = 1e-6;  // times are rounded to their container's time base

// EXIF orientation that undoes a stream's display matrix; quarter turns only.
int OrientationOf(const AVStream* stream) {
  const uint8_t* matrix = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, nullptr);
  if (!matrix) return 1;
  const double degrees = av_display_rotation_get(reinterpret_cast<const int32_t*>(matrix));
  if (std::isnan(degrees)) return 1;
  // FFmpeg counts counter-clockwise: -90 is a picture to be turned clockwise, EXIF 6.
  switch ((static_cast<int>(std::lround(degrees / 90)) % 4 + 4) % 4) {
    case 1:
      return 8;
    case 2:
      return 3;
    case 3:
      return 6;
    default:
      return 1;
  }
}

// Chooses the first frame at or after each k / rate, counted from the film's first frame whatever
// its clock says, and holds what is chosen against the limits.
class FrameSampler {
 public:
  FrameSampler(const AVStream* stream, const Limits& limits)
      : limits_(limits),
        time_base_(av_q2d(stream->time_base)),
        orientation_(OrientationOf(stream)) {
    const double rate = av_q2d(stream->avg_frame_rate);
    step_ = std::isfinite(rate) && rate > 0 ? 1.0 / rate : 0.0;
  }

  // The shape that a frame is to be kept with; none where it is passed over.
  Result<std::optional<FrameShape>> Next(const AVFrame* frame) {
    if (++decoded_ > limits_.max_decoded_frames) {
      return Error{
          Cat("expected at most ", limits_.max_decoded_frames, " frames but got more (film)"),
          ErrorKind::kResource};
    }
    FACET_ASSIGN(const double time, TimeOf(frame));
    seconds_ = std::max(seconds_, time + step_);
    if (time < next_ - kTick) return std::optional<FrameShape>();
    const double k = std::floor(time * limits_.frames_per_second + kTick);
    next_ = (k + 1) / limits_.frames_per_second;
    FACET_ASSIGN(const FrameShape shape, ShapeOf(frame, std::floor(k / limits_.frames_per_second)));
    return std::optional(shape);
  }

  int orientation() const { return orientation_; }
  double seconds() const { return seconds_; }

 private:
  Result<double> TimeOf(const AVFrame* frame) {
    const int64_t stamp = frame->pts != AV_NOPTS_VALUE ? frame->pts : frame->best_effort_timestamp;
    const double clock = stamp != AV_NOPTS_VALUE
                             ? static_cast<double>(stamp) * time_base_
                             : origin_.value_or(0) + (decoded_ > 1 ? last_ + step_ : 0);
    if (!origin_) origin_ = clock;
    const double time = clock - *origin_;
    if (!(std::abs(time) < kLatest))
      return Expected(Cat("a frame time below ", kLatest, " s"), time, "film");
    last_ = time;
    return time;
  }

  Result<FrameShape> ShapeOf(const AVFrame* frame, double label) {
    if (++kept_ > limits_.max_frames) {
      return Error{
          Cat("expected at most ", limits_.max_frames, " sampled frames but got more: at ",
              limits_.frames_per_second, " a second the film is longer than ", label, " s"),
          ErrorKind::kResource};
    }
    FACET_TRY(CheckSize(frame->width, frame->height, limits_, "film frame"));
    PictureSize size = OrientedSize({frame->width, frame->height}, orientation_);
    if (limits_.frame_budget > 0) {
      FACET_ASSIGN(size, TargetSize(size.width, size.height, limits_.frame_budget));
    }
    kept_pixels_ += int64_t{size.width} * size.height;
    if (kept_pixels_ > limits_.max_film_pixels) {
      return Error{
          Cat("expected at most ", limits_.max_film_pixels,
              " pixels in all sampled frames but got ", kept_pixels_, " by second ", label),
          ErrorKind::kTooLarge};
    }
    return FrameShape{label, size};
  }

  const Limits& limits_;
  const double time_base_;        // seconds of a tick
  double step_ = 0;               // seconds from frame to frame, where the container says
  const int orientation_;         // EXIF's
  std::optional<double> origin_;  // the first frame's time by the film's clock
  double next_ = 0, last_ = 0, seconds_ = 0;  // since the first frame
  int64_t decoded_ = 0, kept_ = 0, kept_pixels_ = 0;
};

// A film's streams, opened for decoding. The bytes and the budget must outlive it.
class FilmReader {
 public:
  static Result<FilmReader> Open(Bytes bytes, const Limits& limits, DecodeBudget& budget) {
    FilmReader reader(budget);
    FACET_ASSIGN(reader.file_, AvFile::Open(bytes, limits, budget));
    reader.video_ = reader.file_->FirstStream(AVMEDIA_TYPE_VIDEO);
    const AVStream* video = reader.video_;
    if (!video)
      return Error{Cat("the ", reader.file_->format_name(), " file has no moving picture")};
    FACET_TRY(CheckSize(std::max(video->codecpar->width, 1), std::max(video->codecpar->height, 1),
                        limits, "film"));
    FACET_ASSIGN(reader.video_codec_,
                 OpenDecoder(video->codecpar->codec_id, video->codecpar, limits));
    reader.video_codec_->pkt_timebase = video->time_base;
    const AVStream* audio =
        limits.film_sound ? reader.file_->FirstStream(AVMEDIA_TYPE_AUDIO) : nullptr;
    reader.audio_ = audio;
    if (!audio) return reader;
    FACET_ASSIGN(reader.audio_codec_,
                 OpenDecoder(audio->codecpar->codec_id, audio->codecpar, limits));
    reader.audio_codec_->pkt_timebase = audio->time_base;
    return reader;
  }

  const AVStream* video() const { return video_; }
  const char* format_name() const { return file_->format_name(); }

  // Only the times and sizes of the frames are wanted: what a decoder can leave out of its work on
  // their pixels, it leaves out.
  void SkipPixels() {
    video_codec_->skip_loop_filter = AVDISCARD_ALL;
    video_codec_->skip_idct = AVDISCARD_ALL;
  }

  // Hands every decoded frame to `see` and `hear`, which may return an error.
  template <typename See, typename Hear>
  Result<void> Decode(See see, Hear hear) {
    const auto spend_and_see = [&](const AVFrame* frame) -> Result<void> {
      // A decoder works on what is cropped away, too.
      const int64_t shown = int64_t{frame->width} * frame->height;
      const int64_t coded = int64_t{video_codec_->coded_width} * video_codec_->coded_height;
      FACET_TRY(budget_.SpendPixels(std::max(shown, coded)));
      return see(frame);
    };
    const FramePtr frame(av_frame_alloc());
    const PacketPtr packet(av_packet_alloc());
    if (!frame || !packet) return Error{"no memory for a frame", ErrorKind::kResource};
    PacketCount seen, heard;
    for (;;) {
      FACET_ASSIGN(const bool more, file_->Read(packet.get()));
      if (!more) break;
      if (packet->stream_index == video_->index) {
        FACET_TRY(
            DecodePacket(video_codec_.get(), packet.get(), frame.get(), &seen, spend_and_see));
      } else if (audio_ && packet->stream_index == audio_->index) {
        FACET_TRY(DecodePacket(audio_codec_.get(), packet.get(), frame.get(), &heard, hear));
      }
      av_packet_unref(packet.get());
    }
    FACET_TRY(DecodePacket(video_codec_.get(), nullptr, frame.get(), &seen, spend_and_see));
    if (audio_) FACET_TRY(DecodePacket(audio_codec_.get(), nullptr, frame.get(), &heard, hear));
    FACET_TRY(seen.Check("film"));
    return heard.Check("film's sound");
  }

 private:
  explicit FilmReader(DecodeBudget& budget) : budget_(budget) {}

  DecodeBudget& budget_;
  std::unique_ptr<AvFile> file_;
  const AVStream* video_ = nullptr;
  const AVStream* audio_ = nullptr;  // null: none, or it is not wanted
  CodecPtr video_codec_, audio_codec_;
};

Result<void> CheckFilm(Bytes bytes, const Limits& limits) {
  const double rate = limits.frames_per_second;
  if (!(rate > 0 && rate <= 1000)) {
    return Expected("more than 0 and at most 1000", rate, "frames per second");
  }
  if (static_cast<int64_t>(bytes.size()) <= limits.max_bytes) return Ok();
  return Expected(Cat("at most ", limits.max_bytes, " bytes"), bytes.size(), "film");
}

Error NoFrame(const FilmReader& reader) {
  return Error{Cat("the ", reader.format_name(), " file has no frame that can be decoded")};
}

}  // namespace

Result<Film> DecodeFilm(std::span<const std::byte> bytes, const Limits& limits,
                        std::stop_token stop) {
  FACET_TRY(CheckFilm(bytes, limits));
  DecodeBudget budget(limits, bytes.size(), std::move(stop));
  FACET_ASSIGN(FilmReader reader, FilmReader::Open(bytes, limits, budget));
  Film film;
  FrameSampler sampler(reader.video(), limits);
  SoundSink sink(limits);
  bool heard = false;
  const auto see = [&](const AVFrame* frame) -> Result<void> {
    FACET_ASSIGN(const std::optional<FrameShape> shape, sampler.Next(frame));
    if (!shape) return Ok();
    FACET_ASSIGN(Picture picture, FilmFrameToPicture(frame, limits.transparency));
    picture = Orient(std::move(picture), sampler.orientation());
    film.frames.push_back({shape->seconds, Resize(picture, shape->size)});
    return Ok();
  };
  const auto hear = [&](const AVFrame* frame) {
    heard = true;
    return sink.Add(frame);
  };
  FACET_TRY(reader.Decode(see, hear));
  if (film.frames.empty()) return NoFrame(reader);
  film.seconds = sampler.seconds();
  if (heard) {
    FACET_ASSIGN(film.sound, sink.Finish());
    film.seconds = std::max(film.seconds, film.sound->seconds());
  }
  return film;
}

Result<FilmShape> ProbeFilm(std::span<const std::byte> bytes, const Limits& limits,
                            std::stop_token stop) {
  FACET_TRY(CheckFilm(bytes, limits));
  DecodeBudget budget(limits, bytes.size(), std::move(stop));
  FACET_ASSIGN(FilmReader reader, FilmReader::Open(bytes, limits, budget));
  reader.SkipPixels();
  FilmShape film;
  FrameSampler sampler(reader.video(), limits);
  SoundCounter counter(limits);
  bool heard = false;
  const auto see = [&](const AVFrame* frame) -> Result<void> {
    FACET_ASSIGN(const std::optional<FrameShape> shape, sampler.Next(frame));
    if (shape) film.frames.push_back(*shape);
    return Ok();
  };
  const auto hear = [&](const AVFrame* frame) {
    heard = true;
    return counter.Add(frame);
  };
  FACET_TRY(reader.Decode(see, hear));
  if (film.frames.empty()) return NoFrame(reader);
  film.seconds = sampler.seconds();
  if (heard) {
    FACET_ASSIGN(film.sound_samples, counter.Finish());
    film.seconds = std::max(film.seconds, static_cast<double>(*film.sound_samples) / kSampleRate);
  }
  return film;
}

}  // namespace facet::media
