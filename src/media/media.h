// Pictures, sound and film from untrusted bytes to what the model reads (docs/model.md).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace facet::media {

struct Picture {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // (height, width, 3)
};

struct Frame {
  double seconds = 0;  // its label: floor(k / rate)
  Picture picture;
};

// Mono, 16 kHz, in [-1, 1].
struct Sound {
  std::vector<float> samples;
  double seconds() const { return samples.size() / 16000.0; }
};

struct Film {
  std::vector<Frame> frames;
  std::optional<Sound> sound;  // absent where the file has none or it was not asked for
  double seconds = 0;
};

// What a decoder may spend on one file; exceeding a limit is an error that gives both numbers. Its
// kind is kTooLarge for max_audio_seconds and max_film_pixels, which a prompt's room may set, and
// kResource or kInvalid for the others.
struct Limits {
  int64_t max_bytes = int64_t{512} << 20;
  int64_t max_pixels = 100'000'000;         // of one picture or frame
  int max_frames = 3600;                    // sampled frames of a film
  int64_t max_film_pixels = 1'000'000'000;  // of all sampled frames together, as they are kept
  int64_t max_decoded_frames = 1'000'000;   // of a film, sampled or not
  double max_audio_seconds = 4 * 3600;
  double frames_per_second = 1.0;  // sampling rate of films
  bool film_sound = true;
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

// Bytes in, values out, nothing shared: what a worker process would run. Kind::kUnknown means "as
// Sniff says". Nothing that the bytes name is ever opened.
Result<Media> Decode(std::span<const std::byte> bytes, Kind kind, const Limits& limits = {});

// Still pictures: PNG, JPEG, WebP, GIF (first frame), BMP, TIFF; EXIF orientation applied; alpha
// dropped.
Result<Picture> DecodePicture(std::span<const std::byte> bytes, const Limits& limits = {});
// WAV, MP3, FLAC, OGG/Opus, M4A: channels averaged, resampled by soxr HQ.
Result<Sound> DecodeSound(std::span<const std::byte> bytes, const Limits& limits = {});
// MP4, MKV, WebM, MOV, animated GIF.
Result<Film> DecodeFilm(std::span<const std::byte> bytes, const Limits& limits = {});

// --- What the model reads
// ---------------------------------------------------------------------------------------------

// Soft tokens of one picture: patches of 48 x 48 pixels, row by row, RGB interleaved per pixel
// (model input is value / 255).
struct Patches {
  int columns = 0, rows = 0;
  std::vector<uint8_t> pixels;  // (rows * columns, 6912)
  int count() const { return columns * rows; }
};

constexpr int kPatchSide = 48;
constexpr int kPatchValues = kPatchSide * kPatchSide * 3;
constexpr int kFrameSamples = 640;

// The size in pixels that a picture is scaled to for a budget of soft tokens, one of
// kPictureBudgets.
struct Size {
  int width = 0, height = 0;
};
Result<Size> TargetSize(int width, int height, int budget);

// torch's antialiased bicubic on uint8, to the byte.
Picture Resize(const Picture& picture, Size size);

Result<Patches> ToPatches(const Picture& picture, int budget);

// The patches of a picture that has its target size already (both sides multiples of 48).
Result<Patches> CutPatches(const Picture& picture);

// Frames of 640 samples, the last one padded with zeros: (frames, 640).
std::vector<float> ToAudioFrames(const Sound& sound);

// "mm:ss" of a film frame's label.
std::string TimeLabel(double seconds);

}  // namespace facet::media
