// Any bytes through every decoder within small limits: what the tests of hostile files and the
// fuzzer hold against them.
#pragma once

#include <span>
#include <string>

#include "media/media.h"

namespace facet::media {

inline Limits SmallLimits() {
  Limits limits;
  limits.max_pixels = 1 << 20;
  limits.max_frames = 50;
  limits.max_film_pixels = 50 << 20;
  limits.max_decoded_frames = 2000;
  limits.max_audio_seconds = 60;
  return limits;
}

// What is wrong with a picture; empty: nothing.
inline std::string FaultOf(const Picture& picture, const Limits& limits) {
  const int64_t pixels = int64_t{picture.width} * picture.height;
  if (picture.width <= 0 || picture.height <= 0) return "a picture without pixels";
  if (pixels > limits.max_pixels) return "a picture above the limit";
  if (picture.rgb.size() != static_cast<size_t>(pixels) * 3) return "a picture of another size";
  return {};
}

inline std::string FaultOf(const Media& media, const Limits& limits) {
  if (media.kind == Kind::kPicture) {
    (void)ToPatches(media.picture, 70).ok();
    return FaultOf(media.picture, limits);
  }
  for (const Frame& frame : media.film.frames) {
    if (std::string fault = FaultOf(frame.picture, limits); !fault.empty()) return fault;
  }
  // A resampler rounds up.
  const double most = limits.max_audio_seconds + 1;
  const bool long_film = media.film.sound && media.film.sound->seconds() > most;
  return media.sound.seconds() > most || long_film ? "sound above the limit" : "";
}

// Decodes as all three kinds, and probes. What comes is a value without a fault or an error that
// says something; the answer names what is not.
inline std::string TryEveryDecoder(std::span<const std::byte> bytes) {
  const Limits limits = SmallLimits();
  for (const Kind kind : {Kind::kPicture, Kind::kSound, Kind::kFilm}) {
    const Result<Media> media = Decode(bytes, kind, limits);
    if (!media.ok() && media.error().message.empty()) return "an error without a message";
    if (!media.ok()) continue;
    if (std::string fault = FaultOf(*media, limits); !fault.empty()) return fault;
    if (kind != Kind::kPicture) continue;
    const Result<PictureSize> size = ProbePicture(bytes, limits);
    if (!size.ok() || size->width != media->picture.width || size->height != media->picture.height)
      return "another size in the header";
  }
  return {};
}

}  // namespace facet::media
