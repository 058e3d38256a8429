// FFmpeg, restricted to input in memory, one thread, and a fixed list of containers and decoders;
// nothing that a file names is opened.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "media/decode_budget.h"
#include "media/media.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

namespace facet::media {

using Bytes = std::span<const std::byte>;

struct AvFree {
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
  void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
};
using FramePtr = std::unique_ptr<AVFrame, AvFree>;
using PacketPtr = std::unique_ptr<AVPacket, AvFree>;
using CodecPtr = std::unique_ptr<AVCodecContext, AvFree>;

// "Invalid data found when processing input".
std::string AvErrorText(int code);

// What a file is by its first bytes; `demuxer` is FFmpeg's name, null for still pictures.
struct Format {
  Kind kind = Kind::kUnknown;
  const char* name = nullptr;
  const char* demuxer = nullptr;
  size_t skip = 0;  // bytes in front that are no part of it: a tag, zeros
};
Format SniffFormat(Bytes bytes);
// True for an MP4 or MOV that ends before its index.
bool LacksIndex(Bytes bytes);
// True for a Matroska or WebM that has a header and nothing behind it.
bool LacksClusters(Bytes bytes);
// "WAV", or for what no decoder here reads what it is and what to do about it.
std::string DescribeFormat(Bytes bytes);

// A decoder of the whitelist, opened; for stills `parameters` is null.
Result<CodecPtr> OpenDecoder(AVCodecID id, const AVCodecParameters* parameters,
                             const Limits& limits);

// A container opened over bytes in memory, which must outlive it, as must the budget.
class AvFile {
 public:
  static Result<std::unique_ptr<AvFile>> Open(Bytes bytes, const Limits& limits,
                                              const DecodeBudget& budget);
  ~AvFile();
  AvFile(const AvFile&) = delete;
  AvFile& operator=(const AvFile&) = delete;

  // The first stream of a kind that is not a cover picture; null where there is none.
  AVStream* FirstStream(AVMediaType type) const;
  // The next packet of any stream; false at the end. A damaged tail counts as the end. Errors: the
  // budget's.
  Result<bool> Read(AVPacket* packet);
  const char* format_name() const { return format_.name; }
  AVFormatContext* context() { return context_; }

 private:
  AvFile() = default;
  static int OnRead(void* self, uint8_t* to, int count);
  static int64_t OnSeek(void* self, int64_t offset, int whence);
  static int OnInterrupt(void* self);

  Bytes bytes_;
  size_t at_ = 0;
  const DecodeBudget* budget_ = nullptr;
  Format format_;
  AVFormatContext* context_ = nullptr;
  AVIOContext* io_ = nullptr;
};

// Packets sent and refused. A few damaged ones are skipped, as players do (streams cut at the front
// begin with some); more than that is an error.
struct PacketCount {
  int64_t sent = 0, bad = 0;
  Result<void> Check(std::string_view what) const {
    const int64_t most = 2 + sent / 100;
    if (bad <= most) return Ok();
    return Expected(Cat("at most ", most, " damaged packets of ", sent), bad, what);
  }
};

// Sends a packet (null: the end) and hands each decoded frame to `take`, which may return an error.
template <typename Take>
Result<void> DecodePacket(AVCodecContext* codec, const AVPacket* packet, AVFrame* frame,
                          PacketCount* count, Take take) {
  ++count->sent;
  bool bad = avcodec_send_packet(codec, packet) < 0;
  for (;;) {
    const int code = avcodec_receive_frame(codec, frame);
    if (code < 0) {
      bad = bad || (code != AVERROR(EAGAIN) && code != AVERROR_EOF);
      count->bad += bad ? 1 : 0;
      return Ok();
    }
    Result<void> taken = take(frame);
    av_frame_unref(frame);
    if (!taken.ok()) return taken;
  }
}

// Checks decoded audio frames and counts them.
class SoundCounter {
 public:
  explicit SoundCounter(const Limits& limits) : limits_(limits) {}
  Result<void> Add(const AVFrame* frame);
  int rate() const { return rate_; }
  // How many samples the sound has at 16 kHz. Error: there was none.
  Result<int64_t> Finish() const;

 private:
  const Limits limits_;
  int rate_ = 0;              // of the file, in Hz; 0: no frame yet
  int64_t taken_ = 0;         // samples of one channel at that rate
  int64_t all_channels_ = 0;  // samples of all channels
};

// Gathers decoded audio frames of any format as mono 16 kHz.
class SoundSink {
 public:
  explicit SoundSink(const Limits& limits);
  ~SoundSink();
  SoundSink(SoundSink&&) noexcept;
  Result<void> Add(const AVFrame* frame);
  Result<Sound> Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A decoded frame as RGB, (height, width, 3), by swscale as PyAV's to_ndarray("rgb24") converts.
// Error: kUnsupported, a pixel format that swscale does not read.
Result<Picture> FilmFrameToPicture(const AVFrame* frame, Transparency transparency);

// The opacity of a still picture's pixels: not looked at, or laid on white, where the colours may
// have been multiplied with it.
enum class StillAlpha { kDropped, kOnWhite, kMultiplied };
// As Pillow converts formats of plain 8- and 16-bit samples, bits and palettes; others as above.
Result<Picture> StillFrameToPicture(const AVFrame* frame, StillAlpha alpha);

}  // namespace facet::media
