// WebP by libwebp; of an animation the first frame.
#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>

#include "media/still.h"

namespace facet::media {
namespace {

const uint8_t* Data(Bytes bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

Result<Picture> FirstFrame(Bytes bytes, Transparency transparency) {
  const WebPData data{Data(bytes), bytes.size()};
  WebPAnimDecoderOptions options;
  WebPAnimDecoderOptionsInit(&options);
  options.color_mode = MODE_RGBA;
  options.use_threads = 0;
  const std::unique_ptr<WebPAnimDecoder, decltype(&WebPAnimDecoderDelete)> decoder(
      WebPAnimDecoderNew(&data, &options), WebPAnimDecoderDelete);
  WebPAnimInfo info;
  uint8_t* rgba = nullptr;
  int time = 0;
  if (!decoder || !WebPAnimDecoderGetInfo(decoder.get(), &info) ||
      !WebPAnimDecoderGetNext(decoder.get(), &rgba, &time)) {
    return Error{"damaged WebP: its first frame cannot be decoded"};
  }
  const size_t pixels = size_t{info.canvas_width} * info.canvas_height;
  Picture picture{static_cast<int>(info.canvas_width), static_cast<int>(info.canvas_height),
                  std::vector<uint8_t>(pixels * 3)};
  DropAlpha(rgba, picture.rgb.data(), pixels, transparency);
  return picture;
}

struct WebpHeader {
  PictureSize size;
  bool animated = false, alpha = false;
};

Result<WebpHeader> ReadHeader(Bytes bytes, const Limits& limits) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(Data(bytes), bytes.size(), &features) != VP8_STATUS_OK) {
    return Error{"damaged WebP: its header cannot be read"};
  }
  FACET_TRY(CheckSize(features.width, features.height, limits, "WebP"));
  WebpHeader header{
      {features.width, features.height}, features.has_animation != 0, features.has_alpha != 0};
  if (!header.animated) return header;
  // The canvas may be larger than the first frame that WebPGetFeatures reports.
  const WebPData data{Data(bytes), bytes.size()};
  const std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)> demuxer(WebPDemux(&data),
                                                                         WebPDemuxDelete);
  if (!demuxer) return Error{"damaged WebP: its animation cannot be read"};
  const int64_t width = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH);
  const int64_t height = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT);
  FACET_TRY(CheckSize(width, height, limits, "WebP"));
  header.size = {static_cast<int>(width), static_cast<int>(height)};
  return header;
}

}  // namespace

Result<PictureSize> WebpSize(Bytes bytes, const Limits& limits) {
  FACET_ASSIGN(const WebpHeader header, ReadHeader(bytes, limits));
  return header.size;
}

Result<Picture> DecodeWebp(Bytes bytes, const Limits& limits, DecodeBudget&) {
  FACET_ASSIGN(const WebpHeader header, ReadHeader(bytes, limits));
  if (header.animated) return FirstFrame(bytes, limits.transparency);
  const auto [width, height] = header.size;
  Picture picture{width, height, std::vector<uint8_t>(size_t(width) * height * 3)};
  if (header.alpha && limits.transparency == Transparency::kWhite) {
    std::vector<uint8_t> rgba(size_t(width) * height * 4);
    if (!WebPDecodeRGBAInto(Data(bytes), bytes.size(), rgba.data(), rgba.size(), width * 4))
      return Error{"damaged WebP: its pixels cannot be decoded"};
    DropAlpha(rgba.data(), picture.rgb.data(), size_t(width) * height, limits.transparency);
    return picture;
  }
  if (!WebPDecodeRGBInto(Data(bytes), bytes.size(), picture.rgb.data(), picture.rgb.size(),
                         width * 3)) {
    return Error{"damaged WebP: its pixels cannot be decoded"};
  }
  return picture;
}

}  // namespace facet::media
