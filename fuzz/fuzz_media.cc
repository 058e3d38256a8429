// Any bytes as a picture, a sound and a film: decoded within small limits, or refused.
#include "media/media.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace facet::media;
  Limits limits;
  limits.max_pixels = 1 << 20;
  limits.max_frames = 50;
  limits.max_film_pixels = 50 << 20;
  limits.max_decoded_frames = 2000;
  limits.max_audio_seconds = 60;
  const auto span = std::as_bytes(std::span(bytes, size));
  for (const Kind kind : {Kind::kPicture, Kind::kSound, Kind::kFilm}) {
    const auto media = Decode(span, kind, limits);
    if (!media.ok() || kind != Kind::kPicture) continue;
    (void)ToPatches(media->picture, 70).ok();
  }
  return 0;
}
