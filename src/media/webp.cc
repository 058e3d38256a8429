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

Result<Picture> FirstFrame(Bytes bytes, const Limits& limits) {
  const WebPData data{Data(bytes), bytes.size()};
  WebPAnimDecoderOptions options;
  WebPAnimDecoderOptionsInit(&options);
  options.color_mode = MODE_RGBA;
  options.use_threads = 0;
  {
    // The canvas may be larger than the first frame that WebPGetFeatures reports.
    const std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)> demuxer(WebPDemux(&data),
                                                                           WebPDemuxDelete);
    if (!demuxer) return Error{"damaged WebP: its animation cannot be read"};
    FACET_TRY(CheckSize(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH),
                        WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT), limits, "WebP"));
  }
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
  for (size_t i = 0; i < pixels; ++i) std::memcpy(&picture.rgb[i * 3], &rgba[i * 4], 3);
  return picture;
}

}  // namespace

Result<Picture> DecodeWebp(Bytes bytes, const Limits& limits) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(Data(bytes), bytes.size(), &features) != VP8_STATUS_OK) {
    return Error{"damaged WebP: its header cannot be read"};
  }
  FACET_TRY(CheckSize(features.width, features.height, limits, "WebP"));
  if (features.has_animation) return FirstFrame(bytes, limits);
  Picture picture{features.width, features.height,
                  std::vector<uint8_t>(size_t(features.width) * features.height * 3)};
  if (!WebPDecodeRGBInto(Data(bytes), bytes.size(), picture.rgb.data(), picture.rgb.size(),
                         features.width * 3)) {
    return Error{"damaged WebP: its pixels cannot be decoded"};
  }
  return picture;
}

}  // namespace facet::media
