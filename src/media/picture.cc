// Still pictures: which decoder, limits, orientation; BMP and TIFF through FFmpeg's decoders.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "media/av.h"
#include "media/still.h"

namespace facet::media {
namespace {

Result<Picture> DecodeStill(Bytes bytes, AVCodecID id, const char* name, const Limits& limits,
                            StillAlpha alpha) {
  FACET_ASSIGN(const CodecPtr codec, OpenDecoder(id, nullptr, limits));
  const PacketPtr packet(av_packet_alloc());
  const FramePtr frame(av_frame_alloc());
  if (!packet || !frame || av_new_packet(packet.get(), static_cast<int>(bytes.size())) < 0) {
    return Error{Cat("no memory for a ", name), ErrorKind::kResource};
  }
  std::memcpy(packet->data, bytes.data(), bytes.size());
  int code = avcodec_send_packet(codec.get(), packet.get());
  if (code >= 0) code = avcodec_send_packet(codec.get(), nullptr);
  if (code >= 0) code = avcodec_receive_frame(codec.get(), frame.get());
  if (code < 0) return Error{Cat("damaged or unsupported ", name, ": ", AvErrorText(code))};
  FACET_TRY(CheckSize(frame->width, frame->height, limits, name));
  return StillFrameToPicture(frame.get(), alpha);
}

uint32_t Little(Bytes bytes, size_t at, int size) {
  uint32_t value = 0;
  for (int i = size - 1; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

struct StillFormat {
  std::string_view name;
  Result<Picture> (*decode)(Bytes, const Limits&, DecodeBudget&);
  Result<PictureSize> (*size)(Bytes, const Limits&);
  int (*orientation)(Bytes);
};

int Upright(Bytes) {
  return 1;
}

constexpr StillFormat kStillFormats[] = {
    {"PNG", DecodePng, PngSize, PngOrientation},
    {"JPEG", DecodeJpeg, JpegSize, JpegOrientation},
    {"WebP", DecodeWebp, WebpSize, WebpOrientation},
    {"GIF", DecodeGif, GifSize, Upright},
    {"BMP", DecodeBmp, BmpSize, Upright},
    {"TIFF", DecodeTiff, TiffSize, TiffOrientation},
    {"HEIC", DecodeHeif, HeifSize, Upright},
    {"AVIF", DecodeHeif, HeifSize, Upright},
};

Result<const StillFormat*> FindStillFormat(Bytes bytes, const Limits& limits) {
  if (static_cast<int64_t>(bytes.size()) > limits.max_bytes || bytes.size() > INT32_MAX / 2) {
    return Expected(Cat("at most ", std::min<int64_t>(limits.max_bytes, INT32_MAX / 2), " bytes"),
                    bytes.size(), "picture");
  }
  const Format format = SniffFormat(bytes);
  for (const StillFormat& still : kStillFormats) {
    if (format.name && still.name == format.name) return &still;
  }
  return Error{Cat("expected a PNG, JPEG, WebP, GIF, BMP, TIFF, HEIC or AVIF picture but got ",
                   DescribeFormat(bytes)),
               ErrorKind::kUnsupported};
}

}  // namespace

void DropAlpha(const uint8_t* rgba, uint8_t* rgb, size_t pixels, Transparency transparency) {
  for (size_t i = 0; i < pixels; ++i, rgba += 4, rgb += 3) {
    if (transparency == Transparency::kDropped) {
      std::memcpy(rgb, rgba, 3);
    } else {
      for (int c = 0; c < 3; ++c) rgb[c] = OnWhite(rgba[c], rgba[3]);
    }
  }
}

Result<void> CheckSize(int64_t width, int64_t height, const Limits& limits,
                       std::string_view format) {
  if (width <= 0 || height <= 0)
    return Expected("at least 1x1 pixels", Cat(width, "x", height), format);
  // Beyond this the product below and 3-byte rows would not fit their types.
  constexpr int64_t kLongestSide = 1 << 28;
  if (width > kLongestSide || height > kLongestSide) {
    return Expected(Cat("sides of at most ", kLongestSide, " pixels"), Cat(width, "x", height),
                    format);
  }
  if (width * height > limits.max_pixels) {
    Error error = Expected(Cat("at most ", limits.max_pixels, " pixels"),
                           Cat(width, "x", height, " = ", width * height), format);
    error.kind = ErrorKind::kResource;
    return error;
  }
  return Ok();
}

Result<PictureSize> BmpSize(Bytes bytes, const Limits& limits) {
  if (bytes.size() < 26) return Error{"the BMP is truncated in its header"};
  const bool core = Little(bytes, 14, 4) == 12;  // OS/2 1.x: 16-bit sides
  const int64_t width = core ? Little(bytes, 18, 2) : static_cast<int32_t>(Little(bytes, 18, 4));
  const int64_t height = core ? Little(bytes, 20, 2) : static_cast<int32_t>(Little(bytes, 22, 4));
  FACET_TRY(CheckSize(width, std::abs(height), limits, "BMP"));
  return PictureSize{static_cast<int>(width), static_cast<int>(std::abs(height))};
}

Result<Picture> DecodeBmp(Bytes bytes, const Limits& limits, DecodeBudget&) {
  FACET_TRY(BmpSize(bytes, limits));
  // The fourth byte of a BMP's pixels is seldom meant.
  return DecodeStill(bytes, AV_CODEC_ID_BMP, "BMP", limits, StillAlpha::kDropped);
}

Result<PictureSize> TiffSize(Bytes bytes, const Limits& limits) {
  const uint32_t width = TiffTag(bytes, 256).value_or(0), height = TiffTag(bytes, 257).value_or(0);
  FACET_TRY(CheckSize(width, height, limits, "TIFF"));
  return PictureSize{static_cast<int>(width), static_cast<int>(height)};
}

// FFmpeg shows pictures of other kinds too, but wrongly: they are refused.
Result<Picture> DecodeTiff(Bytes bytes, const Limits& limits, DecodeBudget&) {
  FACET_TRY(TiffSize(bytes, limits));
  constexpr uint32_t kCompressions[] = {1, 2, 3, 4, 5, 8, 32773, 32946};
  const uint32_t compression = TiffTag(bytes, 259).value_or(1);
  if (std::find(std::begin(kCompressions), std::end(kCompressions), compression) ==
      std::end(kCompressions)) {
    return Error{Cat("a TIFF with compression ", compression,
                     " is not supported (plain, LZW, deflate, "
                     "PackBits and fax are)"),
                 ErrorKind::kUnsupported};
  }
  // White or black is zero, RGB, palette, CMYK.
  const uint32_t colors = TiffTag(bytes, 262).value_or(1);
  if (colors > 3 && colors != 5) {
    return Error{Cat("a TIFF with color interpretation ", colors,
                     " is not supported (grey, RGB, palette and CMYK are)"),
                 ErrorKind::kUnsupported};
  }
  // ExtraSamples: 1 is opacity that colours were multiplied with already, 2 is opacity, 0 unknown.
  const uint32_t extra = TiffTag(bytes, 338).value_or(0);
  const bool white = limits.transparency == Transparency::kWhite;
  return DecodeStill(bytes, AV_CODEC_ID_TIFF, "TIFF", limits,
                     !white || extra == 0 ? StillAlpha::kDropped
                     : extra == 1         ? StillAlpha::kMultiplied
                                          : StillAlpha::kOnWhite);
}

Result<Picture> DecodePicture(std::span<const std::byte> bytes, const Limits& limits,
                              std::stop_token stop) {
  FACET_ASSIGN(const StillFormat* format, FindStillFormat(bytes, limits));
  DecodeBudget budget(limits, bytes.size(), std::move(stop));
  FACET_TRY(budget.Check());
  FACET_ASSIGN(Picture picture, format->decode(bytes, limits, budget));
  return Orient(std::move(picture), format->orientation(bytes));
}

Result<PictureSize> ProbePicture(std::span<const std::byte> bytes, const Limits& limits) {
  FACET_ASSIGN(const StillFormat* format, FindStillFormat(bytes, limits));
  FACET_ASSIGN(const PictureSize size, format->size(bytes, limits));
  return OrientedSize(size, format->orientation(bytes));
}

}  // namespace facet::media
