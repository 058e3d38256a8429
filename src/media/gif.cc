// The first frame of a GIF by giflib. Where transparency is dropped, composed as Pillow shows it:
// transparent pixels keep their colour, what the frame does not cover has colour 0, or the
// transparent one where there is one. Else both are white.
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "media/still.h"

namespace facet::media {
namespace {

struct GifFree {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};

struct GifSource {
  Bytes rest;
  bool past_end = false;
};

// giflib wants the empty block behind the pixels too, which a picture that is otherwise whole may
// lack: one is read at the file's end.
int OnRead(GifFileType* gif, GifByteType* to, int count) {
  auto* source = static_cast<GifSource*>(gif->UserData);
  const size_t taken = std::min(source->rest.size(), static_cast<size_t>(count));
  std::memcpy(to, source->rest.data(), taken);
  source->rest = source->rest.subspan(taken);
  if (taken == static_cast<size_t>(count)) return count;
  source->past_end = true;
  if (count != 1) return static_cast<int>(taken);
  *to = 0;
  return 1;
}

// A GIF opened and read up to the pixels of its first frame.
class GifFirstFrame {
 public:
  static Result<std::unique_ptr<GifFirstFrame>> Open(Bytes bytes, const Limits& limits) {
    std::unique_ptr<GifFirstFrame> frame(new GifFirstFrame);
    frame->source_.rest = bytes;
    int code = 0;
    frame->gif_.reset(DGifOpen(&frame->source_, OnRead, &code));
    if (!frame->gif_) return frame->Damage(code);
    FACET_TRY(frame->FindImage());
    FACET_TRY(frame->Measure(limits));
    return frame;
  }

  PictureSize size() const { return size_; }

  Result<Picture> Decode(Transparency transparency) {
    const GifImageDesc& image = gif_->Image;
    ColorTable colors = Colors();
    const bool white = transparency == Transparency::kWhite;
    if (white && transparent_ >= 0) std::fill_n(&colors[transparent_ * 3], 3, uint8_t{255});
    Picture picture{size_.width, size_.height,
                    std::vector<uint8_t>(size_t(size_.width) * size_.height * 3, 255)};
    const uint8_t* ground = &colors[std::max(transparent_, 0) * 3];
    for (size_t i = 0; !white && i < picture.rgb.size(); i += 3)
      std::memcpy(&picture.rgb[i], ground, 3);
    std::vector<GifPixelType> line(image.Width);
    for (const int y : RowOrder(image.Height, image.Interlace)) {
      if (DGifGetLine(gif_.get(), line.data(), image.Width) != GIF_OK) return Damage(gif_->Error);
      uint8_t* to = &picture.rgb[(size_t(image.Top + y) * size_.width + image.Left) * 3];
      for (const GifPixelType index : line) {
        std::memcpy(to, &colors[index * 3], 3);
        to += 3;
      }
    }
    return picture;
  }

 private:
  using ColorTable = std::array<uint8_t, 768>;

  GifFirstFrame() = default;

  Error Damage(int code) const {
    if (source_.past_end) return Error{"the GIF is truncated before the end of its first frame"};
    const char* text = GifErrorString(code);
    return Error{Cat("damaged GIF: ", text ? text : "unknown error")};
  }

  Result<void> FindImage() {
    for (;;) {
      GifRecordType type = UNDEFINED_RECORD_TYPE;
      if (DGifGetRecordType(gif_.get(), &type) != GIF_OK) {
        // Padding between blocks is skipped, as other readers do.
        if (gif_->Error == D_GIF_ERR_WRONG_RECORD && !source_.past_end) continue;
        return Damage(gif_->Error);
      }
      if (type == TERMINATE_RECORD_TYPE) return Error{"the GIF has no frame"};
      if (type == IMAGE_DESC_RECORD_TYPE) break;
      FACET_TRY(SkipExtension());
    }
    if (DGifGetImageHeader(gif_.get()) != GIF_OK) return Damage(gif_->Error);
    return Ok();
  }

  // A graphic control extension says which index is transparent.
  Result<void> SkipExtension() {
    int code = 0;
    GifByteType* block = nullptr;  // its length, then its bytes
    if (DGifGetExtension(gif_.get(), &code, &block) != GIF_OK) return Damage(gif_->Error);
    if (code == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4) {
      transparent_ = (block[1] & 1) != 0 ? block[4] : -1;
    }
    while (block) {
      if (DGifGetExtensionNext(gif_.get(), &block) != GIF_OK) return Damage(gif_->Error);
    }
    if (source_.past_end) return Damage(0);
    return Ok();
  }

  // The canvas grows where the frame reaches over its edge.
  Result<void> Measure(const Limits& limits) {
    const GifImageDesc& image = gif_->Image;
    FACET_TRY(CheckSize(image.Width, image.Height, limits, "GIF frame"));
    size_.width = std::max(gif_->SWidth, image.Left + image.Width);
    size_.height = std::max(gif_->SHeight, image.Top + image.Height);
    return CheckSize(size_.width, size_.height, limits, "GIF");
  }

  // The frame's own colours, or the file's, or greys; indices past the table's end are black.
  ColorTable Colors() const {
    ColorTable colors{};
    const ColorMapObject* map = gif_->Image.ColorMap ? gif_->Image.ColorMap : gif_->SColorMap;
    for (int i = 0; i < 256; ++i) {
      if (!map) {
        colors[i * 3] = colors[i * 3 + 1] = colors[i * 3 + 2] = static_cast<uint8_t>(i);
      } else if (i < map->ColorCount) {
        const GifColorType& color = map->Colors[i];
        colors[i * 3] = color.Red, colors[i * 3 + 1] = color.Green, colors[i * 3 + 2] = color.Blue;
      }
    }
    return colors;
  }

  // Row i of the file in the picture: interlaced files send every eighth row first.
  static std::vector<int> RowOrder(int height, bool interlaced) {
    std::vector<int> order;
    order.reserve(height);
    const auto add_pass = [&](int start, int step) {
      for (int y = start; y < height; y += step) order.push_back(y);
    };
    if (!interlaced) {
      add_pass(0, 1);
      return order;
    }
    add_pass(0, 8), add_pass(4, 8), add_pass(2, 4), add_pass(1, 2);
    return order;
  }

  GifSource source_;
  std::unique_ptr<GifFileType, GifFree> gif_;
  int transparent_ = -1;  // -1: none
  PictureSize size_;
};

}  // namespace

Result<PictureSize> GifSize(Bytes bytes, const Limits& limits) {
  FACET_ASSIGN(const std::unique_ptr<GifFirstFrame> frame, GifFirstFrame::Open(bytes, limits));
  return frame->size();
}

Result<Picture> DecodeGif(Bytes bytes, const Limits& limits, DecodeBudget&) {
  FACET_ASSIGN(const std::unique_ptr<GifFirstFrame> frame, GifFirstFrame::Open(bytes, limits));
  return frame->Decode(limits.transparency);
}

}  // namespace facet::media
