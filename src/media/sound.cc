// Sound: any decoded sample format to float as soundfile reads it (integers by their full scale),
// channels averaged, then 16 kHz by soxr HQ.
#include <soxr.h>

#include <algorithm>
#include <cmath>

#include "media/av.h"

namespace facet::media {
namespace {

constexpr int kLowestRate = 1000, kHighestRate = 768000;
constexpr int kMostChannels = 64;
// What a decoder may give for each second that the limits allow: eight channels at 48 kHz.
constexpr double kMostSamplesPerSecond = 8 * 48000.0;

float Sample(const AVFrame* frame, int channel, int channels, int i) {
  const auto format = static_cast<AVSampleFormat>(frame->format);
  const bool planar = av_sample_fmt_is_planar(format);
  const uint8_t* data = planar ? frame->extended_data[channel] : frame->extended_data[0];
  const size_t at = planar ? size_t(i) : size_t(i) * channels + channel;
  switch (av_get_packed_sample_fmt(format)) {
    case AV_SAMPLE_FMT_U8:
      return (data[at] - 128) / 128.0f;
    case AV_SAMPLE_FMT_S16:
      return reinterpret_cast<const int16_t*>(data)[at] / 32768.0f;
    case AV_SAMPLE_FMT_S32:
      return static_cast<float>(reinterpret_cast<const int32_t*>(data)[at]) * 0x1p-31f;
    case AV_SAMPLE_FMT_FLT:
      return reinterpret_cast<const float*>(data)[at];
    case AV_SAMPLE_FMT_DBL:
      return static_cast<float>(reinterpret_cast<const double*>(data)[at]);
    case AV_SAMPLE_FMT_S64:
      return static_cast<float>(reinterpret_cast<const int64_t*>(data)[at]) * 0x1p-63f;
    default:
      return 0;
  }
}

Error TooLong(double seconds, const Limits& limits) {
  return {Cat("expected at most ", limits.max_audio_seconds, " s of sound but got ", seconds,
              " s or more"),
          ErrorKind::kTooLarge};
}

Result<void> CheckShape(int64_t rate, int64_t channels) {
  if (rate < kLowestRate || rate > kHighestRate) {
    return Expected(Cat("a sample rate of ", kLowestRate, " to ", kHighestRate, " Hz"),
                    Cat(rate, " Hz"), "sound");
  }
  if (channels < 1 || channels > kMostChannels) {
    return Expected(Cat("1 to ", kMostChannels, " channels"), channels, "sound");
  }
  return Ok();
}

}  // namespace

Result<void> SoundCounter::Add(const AVFrame* frame) {
  const int channels = frame->ch_layout.nb_channels;
  FACET_TRY(CheckShape(frame->sample_rate, channels));
  if (rate_ == 0) rate_ = frame->sample_rate;
  if (frame->sample_rate != rate_) {
    return Expected(Cat("one sample rate, ", rate_, " Hz"), Cat(frame->sample_rate, " Hz"),
                    "sound");
  }
  taken_ += frame->nb_samples;
  all_channels_ += int64_t{frame->nb_samples} * channels;
  const double seconds = static_cast<double>(taken_) / rate_;
  if (seconds > limits_.max_audio_seconds) return TooLong(seconds, limits_);
  const double most = kMostSamplesPerSecond * std::max(limits_.max_audio_seconds, 60.0);
  if (static_cast<double>(all_channels_) <= most) return Ok();
  return Error{Cat("expected at most ", static_cast<int64_t>(most),
                   " samples of all channels but got more (sound)"),
               ErrorKind::kResource};
}

Result<int64_t> SoundCounter::Finish() const {
  if (taken_ == 0) return Error{"the sound holds no samples that can be decoded"};
  if (rate_ == kSampleRate) return taken_;
  // As soxr rounds the length of its output.
  const double ratio = static_cast<double>(rate_) / kSampleRate;
  return static_cast<int64_t>(static_cast<double>(taken_) / ratio + 0.5);
}

struct SoundSink::State {
  explicit State(const Limits& limits) : counter(limits) {}

  SoundCounter counter;
  bool started = false;
  soxr_t soxr = nullptr;
  std::vector<float> mono;
  std::vector<float> samples;

  ~State() {
    if (soxr) soxr_delete(soxr);
  }

  Result<void> Start(int rate) {
    started = true;
    if (rate == kSampleRate) return Ok();
    const soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    soxr_error_t error = nullptr;
    soxr = soxr_create(rate, kSampleRate, 1, &error, &io, &quality, &runtime);
    if (error) return Error{Cat("resampling from ", rate, " Hz: ", error), ErrorKind::kResource};
    return Ok();
  }

  // Null input ends the stream and drains what the filter holds.
  Result<void> Resample(const float* input, size_t count) {
    constexpr size_t kBlock = 16384;
    size_t used = 0;
    for (;;) {
      const size_t before = samples.size();
      samples.resize(before + kBlock);
      size_t in = 0, out = 0;
      const soxr_error_t error = soxr_process(soxr, input ? input + used : nullptr, count - used,
                                              &in, samples.data() + before, kBlock, &out);
      samples.resize(before + out);
      if (error) return Error{Cat("resampling from ", counter.rate(), " Hz: ", error)};
      used += in;
      if (input ? (used == count && out < kBlock) : out == 0) return Ok();
    }
  }
};

SoundSink::SoundSink(const Limits& limits) : state_(std::make_unique<State>(limits)) {}
SoundSink::~SoundSink() = default;
SoundSink::SoundSink(SoundSink&&) noexcept = default;

Result<void> SoundSink::Add(const AVFrame* frame) {
  State& state = *state_;
  FACET_TRY(state.counter.Add(frame));
  if (!state.started) FACET_TRY(state.Start(frame->sample_rate));
  const int channels = frame->ch_layout.nb_channels;
  state.mono.resize(frame->nb_samples);
  for (int i = 0; i < frame->nb_samples; ++i) {
    float sum = 0;
    for (int c = 0; c < channels; ++c) sum += Sample(frame, c, channels, i);
    if (!std::isfinite(sum)) return Expected("finite samples", sum, "sound");
    state.mono[i] = sum / channels;
  }
  if (state.soxr) return state.Resample(state.mono.data(), state.mono.size());
  state.samples.insert(state.samples.end(), state.mono.begin(), state.mono.end());
  return Ok();
}

Result<Sound> SoundSink::Finish() {
  State& state = *state_;
  FACET_TRY(state.counter.Finish());
  if (state.soxr) FACET_TRY(state.Resample(nullptr, 0));
  return Sound{std::move(state.samples)};
}

namespace {

// Hands the decoded frames of a file's first sound stream to `take`.
template <typename Take>
Result<void> DecodeSoundStream(Bytes bytes, const Limits& limits, std::stop_token stop, Take take) {
  if (static_cast<int64_t>(bytes.size()) > limits.max_bytes) {
    return Expected(Cat("at most ", limits.max_bytes, " bytes"), bytes.size(), "sound");
  }
  const DecodeBudget budget(limits, bytes.size(), std::move(stop));
  FACET_ASSIGN(const std::unique_ptr<AvFile> file, AvFile::Open(bytes, limits, budget));
  const AVStream* stream = file->FirstStream(AVMEDIA_TYPE_AUDIO);
  if (!stream) return Error{Cat("the ", file->format_name(), " file has no sound")};
  FACET_TRY(CheckShape(stream->codecpar->sample_rate, stream->codecpar->ch_layout.nb_channels));
  FACET_ASSIGN(const CodecPtr codec,
               OpenDecoder(stream->codecpar->codec_id, stream->codecpar, limits));
  codec->pkt_timebase = stream->time_base;

  const FramePtr frame(av_frame_alloc());
  const PacketPtr packet(av_packet_alloc());
  if (!frame || !packet) return Error{"no memory for a frame", ErrorKind::kResource};
  PacketCount count;
  for (;;) {
    FACET_ASSIGN(const bool more, file->Read(packet.get()));
    if (!more) break;
    if (packet->stream_index == stream->index) {
      FACET_TRY(DecodePacket(codec.get(), packet.get(), frame.get(), &count, take));
    }
    av_packet_unref(packet.get());
  }
  FACET_TRY(DecodePacket(codec.get(), nullptr, frame.get(), &count, take));
  return count.Check("sound");
}

}  // namespace

Result<Sound> DecodeSound(std::span<const std::byte> bytes, const Limits& limits,
                          std::stop_token stop) {
  SoundSink sink(limits);
  FACET_TRY(DecodeSoundStream(bytes, limits, std::move(stop),
                              [&](const AVFrame* frame) { return sink.Add(frame); }));
  return sink.Finish();
}

Result<int64_t> ProbeSound(std::span<const std::byte> bytes, const Limits& limits,
                           std::stop_token stop) {
  SoundCounter counter(limits);
  FACET_TRY(DecodeSoundStream(bytes, limits, std::move(stop),
                              [&](const AVFrame* frame) { return counter.Add(frame); }));
  return counter.Finish();
}

}  // namespace facet::media
