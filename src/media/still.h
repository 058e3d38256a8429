// The decoders of single formats, from which DecodePicture chooses by the first bytes. None of them
// is given an empty span.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"
#include "media/decode_budget.h"
#include "media/media.h"

namespace facet::media {

using Bytes = std::span<const std::byte>;

// An undecoded picture's size against the limits, before anything is allocated for it. Error:
// kResource.
Result<void> CheckSize(int64_t width, int64_t height, const Limits& limits,
                       std::string_view format);

// What lies behind a transparent pixel shows through: Pillow's paste() onto white, to the byte.
inline uint8_t OnWhite(uint32_t value, uint32_t alpha) {
  const uint32_t sum = value * alpha + 255 * (255 - alpha) + 128;
  return static_cast<uint8_t>((sum + (sum >> 8)) >> 8);
}
// A row of RGBA pixels to RGB.
void DropAlpha(const uint8_t* rgba, uint8_t* rgb, size_t pixels, Transparency transparency);

// What Pillow's Image.open(...).convert("RGB") gives, to the byte, where transparency is dropped;
// orientation not yet applied.
Result<Picture> DecodePng(Bytes bytes, const Limits& limits, DecodeBudget& budget);
Result<Picture> DecodeJpeg(Bytes bytes, const Limits& limits, DecodeBudget& budget);
Result<Picture> DecodeWebp(Bytes bytes, const Limits& limits, DecodeBudget& budget);
Result<Picture> DecodeGif(Bytes bytes, const Limits& limits, DecodeBudget& budget);
Result<Picture> DecodeBmp(Bytes bytes, const Limits& limits, DecodeBudget& budget);
Result<Picture> DecodeTiff(Bytes bytes, const Limits& limits, DecodeBudget& budget);
// HEIC and AVIF; its rotation is part of the picture.
Result<Picture> DecodeHeif(Bytes bytes, const Limits& limits, DecodeBudget& budget);

// The size that the decoder of the format would give, within the limits.
Result<PictureSize> PngSize(Bytes bytes, const Limits& limits);
Result<PictureSize> JpegSize(Bytes bytes, const Limits& limits);
Result<PictureSize> WebpSize(Bytes bytes, const Limits& limits);
Result<PictureSize> GifSize(Bytes bytes, const Limits& limits);
Result<PictureSize> BmpSize(Bytes bytes, const Limits& limits);
Result<PictureSize> TiffSize(Bytes bytes, const Limits& limits);
Result<PictureSize> HeifSize(Bytes bytes, const Limits& limits);

// EXIF orientation, 1 to 8; 1 where there is none or it is damaged.
int PngOrientation(Bytes bytes);
int JpegOrientation(Bytes bytes);
int WebpOrientation(Bytes bytes);
int TiffOrientation(Bytes bytes);

// A number (SHORT or LONG) of a TIFF's or EXIF block's first directory.
std::optional<uint32_t> TiffTag(Bytes bytes, uint32_t tag);

// Turns and mirrors as EXIF orientation 1 to 8 asks.
Picture Orient(Picture picture, int orientation);
// The size that Orient would give.
PictureSize OrientedSize(PictureSize size, int orientation);

}  // namespace facet::media
