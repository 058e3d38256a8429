// Decoded frames of FFmpeg as RGB.
#include <algorithm>
#include <cstring>

#include "media/av.h"
#include "media/still.h"

extern "C" {
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

namespace facet::media {
namespace {

Picture Blank(const AVFrame* frame) {
  return {frame->width, frame->height,
          std::vector<uint8_t>(size_t(frame->width) * frame->height * 3)};
}

uint32_t Word(const uint8_t* at) {
  return at[0] | at[1] << 8;
}

// Pillow's widening of n-bit colour: value * 255 / most, truncated.
uint8_t Widen(uint32_t value, uint32_t most) {
  return static_cast<uint8_t>(value * 255 / most);
}

// One pixel of a plain format to RGB as Pillow has it; false where the format is not a plain one.
bool PlainPixel(AVPixelFormat format, const uint8_t* row, const uint8_t* palette, int x,
                uint8_t* to) {
  const auto copy = [&](int step, int r, int g, int b) {
    const uint8_t* from = row + size_t(x) * step;
    to[0] = from[r], to[1] = from[g], to[2] = from[b];
    return true;
  };
  switch (format) {
    case AV_PIX_FMT_RGB24:
      return copy(3, 0, 1, 2);
    case AV_PIX_FMT_BGR24:
      return copy(3, 2, 1, 0);
    case AV_PIX_FMT_RGBA:
    case AV_PIX_FMT_RGB0:
      return copy(4, 0, 1, 2);
    case AV_PIX_FMT_BGRA:
    case AV_PIX_FMT_BGR0:
      return copy(4, 2, 1, 0);
    case AV_PIX_FMT_ARGB:
    case AV_PIX_FMT_0RGB:
      return copy(4, 1, 2, 3);
    case AV_PIX_FMT_GRAY8:
      return copy(1, 0, 0, 0);
    case AV_PIX_FMT_YA8:
      return copy(2, 0, 0, 0);
    case AV_PIX_FMT_RGB48LE:
      return copy(6, 1, 3, 5);
    case AV_PIX_FMT_RGB48BE:
      return copy(6, 0, 2, 4);
    case AV_PIX_FMT_RGBA64LE:
      return copy(8, 1, 3, 5);
    case AV_PIX_FMT_RGBA64BE:
      return copy(8, 0, 2, 4);
    case AV_PIX_FMT_GRAY16LE:
      return copy(2, 1, 1, 1);
    case AV_PIX_FMT_GRAY16BE:
      return copy(2, 0, 0, 0);
    case AV_PIX_FMT_MONOWHITE:
    case AV_PIX_FMT_MONOBLACK: {
      const bool bit = (row[x / 8] >> (7 - x % 8) & 1) != 0;
      to[0] = to[1] = to[2] = bit == (format == AV_PIX_FMT_MONOBLACK) ? 255 : 0;
      return true;
    }
    case AV_PIX_FMT_RGB555LE: {
      const uint32_t v = Word(row + size_t(x) * 2);
      to[0] = Widen(v >> 10 & 31, 31), to[1] = Widen(v >> 5 & 31, 31), to[2] = Widen(v & 31, 31);
      return true;
    }
    case AV_PIX_FMT_RGB565LE: {
      const uint32_t v = Word(row + size_t(x) * 2);
      to[0] = Widen(v >> 11 & 31, 31), to[1] = Widen(v >> 5 & 63, 63), to[2] = Widen(v & 31, 31);
      return true;
    }
    case AV_PIX_FMT_PAL8: {
      uint32_t color;
      std::memcpy(&color, palette + size_t{row[x]} * 4, 4);
      to[0] = color >> 16 & 255, to[1] = color >> 8 & 255, to[2] = color & 255;
      return true;
    }
    default:
      return false;
  }
}

// Where a plain format's pixels keep their opacity: a byte behind the pixel's first one, and the
// bytes of a pixel; nothing for formats without.
struct AlphaPlace {
  int at = 0, step = 0;
};
AlphaPlace AlphaPlaceOf(AVPixelFormat format) {
  switch (format) {
    case AV_PIX_FMT_RGBA:
    case AV_PIX_FMT_BGRA:
      return {3, 4};
    case AV_PIX_FMT_ARGB:
      return {0, 4};
    case AV_PIX_FMT_YA8:
      return {1, 2};
    case AV_PIX_FMT_RGBA64LE:
      return {7, 8};
    case AV_PIX_FMT_RGBA64BE:
      return {6, 8};
    default:
      return {};
  }
}

// The matrix and range that the film says; where it says none, swscale's default (BT.601, limited
// range).
void SetColors(SwsContext* sws, const AVFrame* frame) {
  if (frame->colorspace == AVCOL_SPC_RGB) return;
  int *from_table, *to_table, from_full, to_full, brightness, contrast, saturation;
  if (sws_getColorspaceDetails(sws, &from_table, &from_full, &to_table, &to_full, &brightness,
                               &contrast, &saturation) < 0) {
    return;
  }
  const int* table = frame->colorspace == AVCOL_SPC_UNSPECIFIED
                         ? from_table
                         : sws_getCoefficients(frame->colorspace);
  if (frame->color_range == AVCOL_RANGE_JPEG) from_full = 1;
  sws_setColorspaceDetails(sws, table, from_full, to_table, to_full, brightness, contrast,
                           saturation);
}

}  // namespace

Result<Picture> StillFrameToPicture(const AVFrame* frame, StillAlpha alpha) {
  const auto format = static_cast<AVPixelFormat>(frame->format);
  uint8_t probe[3];
  if (format != AV_PIX_FMT_PAL8 && !PlainPixel(format, frame->data[0], nullptr, 0, probe)) {
    const bool dropped = alpha == StillAlpha::kDropped;
    return FilmFrameToPicture(frame, dropped ? Transparency::kDropped : Transparency::kWhite);
  }
  const AlphaPlace place = alpha == StillAlpha::kDropped ? AlphaPlace() : AlphaPlaceOf(format);
  Picture picture = Blank(frame);
  for (int y = 0; y < frame->height; ++y) {
    const uint8_t* row = frame->data[0] + ptrdiff_t{y} * frame->linesize[0];
    uint8_t* to = picture.rgb.data() + size_t(y) * frame->width * 3;
    for (int x = 0; x < frame->width; ++x, to += 3) {
      PlainPixel(format, row, frame->data[1], x, to);
      if (place.step == 0) continue;
      const uint32_t opacity = row[size_t(x) * place.step + place.at];
      for (int c = 0; c < 3; ++c) {
        to[c] = alpha == StillAlpha::kOnWhite
                    ? OnWhite(to[c], opacity)
                    : static_cast<uint8_t>(std::min(to[c] + 255 - opacity, 255u));
      }
    }
  }
  return picture;
}

Result<Picture> FilmFrameToPicture(const AVFrame* frame, Transparency transparency) {
  const auto format = static_cast<AVPixelFormat>(frame->format);
  const AVPixFmtDescriptor* descriptor = av_pix_fmt_desc_get(format);
  if (!descriptor || !sws_isSupportedInput(format)) {
    return Error{Cat("pixel format ", descriptor ? descriptor->name : "?", " is not supported"),
                 ErrorKind::kUnsupported};
  }
  const bool with_alpha =
      transparency == Transparency::kWhite && (descriptor->flags & AV_PIX_FMT_FLAG_ALPHA) != 0;
  const int step = with_alpha ? 4 : 3;
  const std::unique_ptr<SwsContext, decltype(&sws_freeContext)> sws(
      sws_getContext(frame->width, frame->height, format, frame->width, frame->height,
                     with_alpha ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24, SWS_BILINEAR, nullptr,
                     nullptr, nullptr),
      sws_freeContext);
  if (!sws)
    return Error{Cat("no conversion from ", descriptor->name, " to RGB"), ErrorKind::kUnsupported};
  SetColors(sws.get(), frame);
  // swscale's vector code may write past a row's end: rows are padded and copied.
  const int stride = (frame->width * step + 63) / 64 * 64 + 64;
  std::vector<uint8_t> padded(size_t(stride) * frame->height + 64);
  uint8_t* const to[4] = {padded.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {stride, 0, 0, 0};
  if (sws_scale(sws.get(), frame->data, frame->linesize, 0, frame->height, to, strides) !=
      frame->height) {
    return Error{Cat("conversion from ", descriptor->name, " to RGB failed")};
  }
  Picture picture = Blank(frame);
  for (int y = 0; y < frame->height; ++y) {
    uint8_t* row = picture.rgb.data() + size_t(y) * frame->width * 3;
    const uint8_t* from = padded.data() + size_t(y) * stride;
    if (with_alpha) {
      DropAlpha(from, row, frame->width, transparency);
    } else {
      std::memcpy(row, from, size_t(frame->width) * 3);
    }
  }
  return picture;
}

}  // namespace facet::media
