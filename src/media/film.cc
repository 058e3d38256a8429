// Films: one pass over the packets, frames sampled by time, the sound track beside them.
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

// Keeps the first frame at or after each k / rate.
class FrameSampler {
 public:
  FrameSampler(const AVStream* stream, const Limits& limits)
      : limits_(limits),
        time_base_(av_q2d(stream->time_base)),
        orientation_(OrientationOf(stream)) {
    const double rate = av_q2d(stream->avg_frame_rate);
    step_ = std::isfinite(rate) && rate > 0 ? 1.0 / rate : 0.0;
  }

  Result<void> Add(const AVFrame* frame, Film* film) {
    if (++decoded_ > limits_.max_decoded_frames) {
      return Error{
          Cat("expected at most ", limits_.max_decoded_frames, " frames but got more (film)"),
          ErrorKind::kResource};
    }
    const int64_t stamp = frame->pts != AV_NOPTS_VALUE ? frame->pts : frame->best_effort_timestamp;
    const double time = stamp != AV_NOPTS_VALUE ? stamp * time_base_ : last_ + step_;
    if (!(std::abs(time) < kLatest))
      return Expected(Cat("a frame time below ", kLatest, " s"), time, "film");
    last_ = time;
    film->seconds = std::max(film->seconds, time + step_);
    if (time < next_ - kTick) return Ok();
    const double k = std::floor(time * limits_.frames_per_second + kTick);
    next_ = (k + 1) / limits_.frames_per_second;
    return Keep(frame, std::floor(k / limits_.frames_per_second), film);
  }

 private:
  Result<void> Keep(const AVFrame* frame, double label, Film* film) {
    if (film->frames.size() >= static_cast<size_t>(limits_.max_frames)) {
      return Error{
          Cat("expected at most ", limits_.max_frames, " sampled frames but got more: at ",
              limits_.frames_per_second, " a second the film is longer than ", label, " s"),
          ErrorKind::kResource};
    }
    FACET_TRY(CheckSize(frame->width, frame->height, limits_, "film frame"));
    FACET_ASSIGN(Picture picture, FilmFrameToPicture(frame));
    picture = Orient(std::move(picture), orientation_);
    if (limits_.frame_budget > 0) {
      FACET_ASSIGN(const Size size,
                   TargetSize(picture.width, picture.height, limits_.frame_budget));
      picture = Resize(picture, size);
    }
    kept_pixels_ += int64_t{picture.width} * picture.height;
    if (kept_pixels_ > limits_.max_film_pixels) {
      return Error{
          Cat("expected at most ", limits_.max_film_pixels,
              " pixels in all sampled frames but got ", kept_pixels_, " by second ", label),
          ErrorKind::kTooLarge};
    }
    film->frames.push_back({label, std::move(picture)});
    return Ok();
  }

  const Limits& limits_;
  double time_base_, step_ = 0;
  int orientation_;
  double next_ = 0, last_ = 0;
  int64_t decoded_ = 0, kept_pixels_ = 0;
};

Result<void> CheckRate(const Limits& limits) {
  if (limits.frames_per_second > 0 && limits.frames_per_second <= 1000) return Ok();
  return Expected("more than 0 and at most 1000", limits.frames_per_second, "frames per second");
}

}  // namespace

Result<Film> DecodeFilm(std::span<const std::byte> bytes, const Limits& limits) {
  FACET_TRY(CheckRate(limits));
  if (static_cast<int64_t>(bytes.size()) > limits.max_bytes) {
    return Expected(Cat("at most ", limits.max_bytes, " bytes"), bytes.size(), "film");
  }
  FACET_ASSIGN(const std::unique_ptr<AvFile> file, AvFile::Open(bytes, limits));
  const AVStream* video = file->FirstStream(AVMEDIA_TYPE_VIDEO);
  if (!video) return Error{Cat("the ", file->format_name(), " file has no moving picture")};
  FACET_TRY(CheckSize(std::max(video->codecpar->width, 1), std::max(video->codecpar->height, 1),
                      limits, "film"));
  FACET_ASSIGN(const CodecPtr video_codec,
               OpenDecoder(video->codecpar->codec_id, video->codecpar, limits));
  video_codec->pkt_timebase = video->time_base;
  const AVStream* audio = limits.film_sound ? file->FirstStream(AVMEDIA_TYPE_AUDIO) : nullptr;
  CodecPtr audio_codec;
  if (audio) {
    FACET_ASSIGN(audio_codec, OpenDecoder(audio->codecpar->codec_id, audio->codecpar, limits));
    audio_codec->pkt_timebase = audio->time_base;
  }

  Film film;
  FrameSampler sampler(video, limits);
  SoundSink sink(limits);
  bool heard = false;
  const auto see = [&](const AVFrame* frame) { return sampler.Add(frame, &film); };
  const auto hear = [&](const AVFrame* frame) {
    heard = true;
    return sink.Add(frame);
  };
  const FramePtr frame(av_frame_alloc());
  const PacketPtr packet(av_packet_alloc());
  if (!frame || !packet) return Error{"no memory for a frame", ErrorKind::kResource};
  PacketCount seen, listened;
  while (file->Read(packet.get())) {
    if (packet->stream_index == video->index) {
      FACET_TRY(DecodePacket(video_codec.get(), packet.get(), frame.get(), &seen, see));
    } else if (audio && packet->stream_index == audio->index) {
      FACET_TRY(DecodePacket(audio_codec.get(), packet.get(), frame.get(), &listened, hear));
    }
    av_packet_unref(packet.get());
  }
  FACET_TRY(DecodePacket(video_codec.get(), nullptr, frame.get(), &seen, see));
  if (audio) FACET_TRY(DecodePacket(audio_codec.get(), nullptr, frame.get(), &listened, hear));
  FACET_TRY(seen.Check("film"));
  FACET_TRY(listened.Check("film's sound"));
  if (film.frames.empty())
    return Error{Cat("the ", file->format_name(), " file has no frame that can be decoded")};
  if (heard) {
    FACET_ASSIGN(film.sound, sink.Finish());
    film.seconds = std::max(film.seconds, film.sound->seconds());
  }
  return film;
}

}  // namespace facet::media
