#include "media/av.h"
#include "media/media.h"

namespace facet::media {

Kind Sniff(std::span<const std::byte> bytes) {
  return SniffFormat(bytes).kind;
}

Result<Media> Decode(std::span<const std::byte> bytes, Kind kind, const Limits& limits,
                     std::stop_token stop) {
  if (bytes.empty()) return Error{"the file is empty"};
  Media media;
  media.kind = kind == Kind::kUnknown ? Sniff(bytes) : kind;
  switch (media.kind) {
    case Kind::kPicture: {
      FACET_ASSIGN(media.picture, DecodePicture(bytes, limits, std::move(stop)));
      return media;
    }
    case Kind::kSound: {
      FACET_ASSIGN(media.sound, DecodeSound(bytes, limits, std::move(stop)));
      return media;
    }
    case Kind::kFilm: {
      FACET_ASSIGN(media.film, DecodeFilm(bytes, limits, std::move(stop)));
      return media;
    }
    case Kind::kUnknown:
      break;
  }
  return Error{Cat("neither a picture, a sound nor a film in a format that is known here but ",
                   DescribeFormat(bytes)),
               ErrorKind::kUnsupported};
}

}  // namespace facet::media
