// Pictures, sound and film from untrusted bytes to what the model reads (docs/model.md). Decoders
// take bytes and give values, keep no state and may run on any thread; nothing that the bytes name
// is ever opened.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/patch.h"
#include "base/result.h"

namespace facet::media {

using facet::kFrameSamples;
using facet::kPatchSide;
using facet::kPatchValues;

constexpr int kSampleRate = 16000;  // of decoded sound, in Hz

// In pixels.
struct PictureSize {
  int width = 0, height = 0;
};

struct Picture {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // (height, width, 3)
};

struct Frame {
  // Its label: floor(k / rate) for the k-th sampling time, counted from the film's first frame.
  double seconds = 0;
  Picture picture;
};

// Mono, 16 kHz, in [-1, 1].
struct Sound {
  std::vector<float> samples;
  double seconds() const { return static_cast<double>(samples.size()) / kSampleRate; }
};

struct Film {
  std::vector<Frame> frames;
  // Absent where the file has none or it was not asked for.
  std::optional<Sound> sound;
  double seconds = 0;
};

// What becomes of transparent pixels. People see a picture on a page; the reference (Pillow's
// convert("RGB")) shows the colours that the file keeps where nothing is to be seen, often black.
enum class Transparency { kWhite, kDropped };

// What a decoder may spend on one file; exceeding a limit is an error that gives both numbers. Its
// kind is kTooLarge for max_audio_seconds and max_film_pixels, which a prompt's room may set, and
// kResource or kInvalid for the others.
struct Limits {
  int64_t max_bytes = int64_t{512} << 20;
  int64_t max_pixels = 100'000'000;         // of one picture or frame
  int max_frames = 3600;                    // sampled frames of a film
  int64_t max_film_pixels = 1'000'000'000;  // of all sampled frames together, as they are kept
  int64_t max_decoded_frames = 1'000'000;   // of a film, sampled or not
  // Of all frames of a film, sampled or not: an hour of 1080p at 30 frames a second. A film whose
  // few bytes stand for many pixels is refused before that (DecodeBudget).
  int64_t max_decoded_pixels = 250'000'000'000;
  // On the wall clock, for one file; 0: no limit.
  double max_decode_seconds = 0;
  double max_audio_seconds = 4 * 3600;
  double frames_per_second = 1.0;  // sampling rate of films
  bool film_sound = true;
  Transparency transparency = Transparency::kWhite;
  // A budget of soft tokens: each frame is resized to its TargetSize as it is decoded, so that a
  // long film does not stay in memory at full size (then CutPatches, not ToPatches, makes its
  // patches). 0 keeps the frames as they are.
  int frame_budget = 0;
};

enum class Kind { kUnknown, kPicture, kSound, kFilm };

// What the first bytes say, whatever the file is called. A GIF counts as a picture, an MP4 as a
// film unless it is marked as sound (M4A); the three decoders below look for themselves and take
// either.
Kind Sniff(std::span<const std::byte> bytes);

// One decoded file: the member that `kind` names is filled.
struct Media {
  Kind kind = Kind::kUnknown;
  Picture picture;
  Sound sound;
  Film film;
};

// Kind::kUnknown means "as Sniff says". `stop` is looked at between packets, frames and scans, here
// and below; the error is kCancelled.
Result<Media> Decode(std::span<const std::byte> bytes, Kind kind, const Limits& limits = {},
                     std::stop_token stop = {});

// Still pictures: PNG, JPEG, WebP, GIF (first frame), BMP, TIFF, HEIC, AVIF; orientation of EXIF or
// XMP applied; transparency as the limits say.
Result<Picture> DecodePicture(std::span<const std::byte> bytes, const Limits& limits = {},
                              std::stop_token stop = {});
// WAV, MP3, FLAC, OGG/Opus, M4A: channels averaged, resampled by soxr HQ.
Result<Sound> DecodeSound(std::span<const std::byte> bytes, const Limits& limits = {},
                          std::stop_token stop = {});
// MP4, MKV, WebM, MOV, animated GIF.
Result<Film> DecodeFilm(std::span<const std::byte> bytes, const Limits& limits = {},
                        std::stop_token stop = {});

// --- What decoding would give, for less: where it succeeds, the probe of the same bytes with the
// same limits says exactly this. What a probe accepts may still turn out to be damaged.

// The size after orientation, from the header alone.
Result<PictureSize> ProbePicture(std::span<const std::byte> bytes, const Limits& limits = {});
// Samples at 16 kHz. Decodes, as only this is exact for every format, but resamples and keeps
// nothing.
Result<int64_t> ProbeSound(std::span<const std::byte> bytes, const Limits& limits = {},
                           std::stop_token stop = {});

struct FrameShape {
  double seconds = 0;  // as in Frame
  PictureSize size;    // of the Frame's picture: after orientation and, with a budget, resizing
};
struct FilmShape {
  std::vector<FrameShape> frames;
  std::optional<int64_t> sound_samples;  // at 16 kHz
  double seconds = 0;
};
// Decodes without converting, scaling or keeping a frame.
Result<FilmShape> ProbeFilm(std::span<const std::byte> bytes, const Limits& limits = {},
                            std::stop_token stop = {});

// --- What the model reads

// Soft tokens of one picture: patches of 48 x 48 pixels, row by row, RGB interleaved per pixel
// (model input is value / 255).
struct Patches {
  int columns = 0, rows = 0;
  std::vector<uint8_t> pixels;  // (rows * columns, 6912)
  int count() const { return columns * rows; }
};

// The size that a picture is scaled to for a budget of soft tokens, one of kPictureBudgets: both
// sides are multiples of 48, and (width / 48) * (height / 48) tokens are at most the budget.
Result<PictureSize> TargetSize(int width, int height, int budget);

// torch's antialiased bicubic on uint8, to the byte.
Picture Resize(const Picture& picture, PictureSize size);

Result<Patches> ToPatches(const Picture& picture, int budget);

// The patches of a picture that has its target size already (both sides multiples of 48).
Result<Patches> CutPatches(const Picture& picture);

// Frames of 640 samples, the last one padded with zeros: (frames, 640).
std::vector<float> ToAudioFrames(const Sound& sound);

// "mm:ss" of a film frame's label.
std::string TimeLabel(double seconds);

}  // namespace facet::media
