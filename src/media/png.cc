// PNG by libpng, with the conversions of Pillow: low bit depths are scaled, 16-bit samples keep
// their high byte. Pillow cuts 16-bit grey off at 255 instead (its "I;16"
// to "RGB"), which leaves nothing of such a picture but white: there it is not followed.
#include <png.h>

#include <array>
#include <csetjmp>
#include <cstring>

#include "media/still.h"

namespace facet::media {
namespace {

struct PngReader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  Bytes rest;
  char message[160] = "";
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void OnError(png_structp png, png_const_charp text) {
  auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
  std::strncpy(reader->message, text, sizeof reader->message - 1);
  std::longjmp(png_jmpbuf(png), 1);
}

void OnWarning(png_structp, png_const_charp) {}

void OnRead(png_structp png, png_bytep to, size_t count) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
  if (count > reader->rest.size()) png_error(png, "the file is truncated");
  std::memcpy(to, reader->rest.data(), count);
  reader->rest = reader->rest.subspan(count);
}

// libpng leaves by longjmp: the two functions around setjmp hold nothing that needs a destructor.
bool ReadHeader(PngReader& reader) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_read_info(reader.png, reader.info);
  return true;
}

bool ReadRows(PngReader& reader, png_bytep* rows) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_read_image(reader.png, rows);
  return true;
}

// One row of `depth`-bit samples (1 to 8, or 16) in 8 or 16 bits a sample, to RGB.
struct RowFormat {
  int channels;
  int sample_bytes;
  bool palette;
  bool on_white;  // the last channel is opacity, to be applied
  std::array<uint8_t, 768> colors;
};

void ToRgb(const uint8_t* from, uint8_t* to, int width, const RowFormat& format) {
  const int step = format.channels * format.sample_bytes;
  for (int x = 0; x < width; ++x, from += step, to += 3) {
    if (format.palette) {
      std::memcpy(to, &format.colors[from[0] * 3], 3);
    } else if (format.channels >= 3) {
      for (int c = 0; c < 3; ++c) to[c] = from[c * format.sample_bytes];
    } else {
      to[0] = to[1] = to[2] = from[0];
    }
    if (!format.on_white) continue;
    const uint32_t alpha = from[step - format.sample_bytes];
    for (int c = 0; c < 3; ++c) to[c] = OnWhite(to[c], alpha);
  }
}

RowFormat FormatOf(PngReader& reader) {
  RowFormat format{};  // indices past the palette's end are black
  const int type = png_get_color_type(reader.png, reader.info);
  format.palette = type == PNG_COLOR_TYPE_PALETTE;
  format.channels = png_get_channels(reader.png, reader.info);
  format.sample_bytes = png_get_bit_depth(reader.png, reader.info) == 16 ? 2 : 1;
  png_colorp colors = nullptr;
  int count = 0;
  if (format.palette && png_get_PLTE(reader.png, reader.info, &colors, &count) != 0) {
    for (int i = 0; i < count && i < 256; ++i) {
      format.colors[i * 3] = colors[i].red;
      format.colors[i * 3 + 1] = colors[i].green;
      format.colors[i * 3 + 2] = colors[i].blue;
    }
  }
  return format;
}

// Reads up to the pixels and checks the size.
Result<PictureSize> OpenPng(PngReader& reader, Bytes bytes, const Limits& limits) {
  reader.rest = bytes;
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, OnError, OnWarning);
  reader.info = reader.png ? png_create_info_struct(reader.png) : nullptr;
  if (!reader.info) return Error{"no memory for a PNG decoder", ErrorKind::kResource};
  png_set_read_fn(reader.png, &reader, OnRead);
  png_set_user_limits(reader.png, 0x7fffffff, 0x7fffffff);  // CheckSize words this better
  png_set_chunk_malloc_max(reader.png, 8 << 20);
  png_set_chunk_cache_max(reader.png, 128);
  if (!ReadHeader(reader)) return Error{Cat("damaged PNG: ", reader.message)};

  const int64_t width = png_get_image_width(reader.png, reader.info);
  const int64_t height = png_get_image_height(reader.png, reader.info);
  FACET_TRY(CheckSize(width, height, limits, "PNG"));
  return PictureSize{static_cast<int>(width), static_cast<int>(height)};
}

}  // namespace

Result<PictureSize> PngSize(Bytes bytes, const Limits& limits) {
  PngReader reader;
  return OpenPng(reader, bytes, limits);
}

Result<Picture> DecodePng(Bytes bytes, const Limits& limits, DecodeBudget&) {
  PngReader reader;
  FACET_ASSIGN(const PictureSize size, OpenPng(reader, bytes, limits));
  const int64_t width = size.width, height = size.height;
  const size_t stride = png_get_rowbytes(reader.png, reader.info);
  // Deflate shrinks at most 1032 to 1: a body that cannot hold the picture is refused before memory
  // is taken for it.
  const uint64_t most = (uint64_t{bytes.size()} + 64) * 1032;
  if (stride * static_cast<uint64_t>(height) > most) {
    return Expected(Cat(stride * height, " bytes of pixels (", width, "x", height, ")"),
                    Cat("at most ", most, " in ", bytes.size(), " bytes of file"), "PNG");
  }
  const int depth = png_get_bit_depth(reader.png, reader.info);
  const bool palette = png_get_color_type(reader.png, reader.info) == PNG_COLOR_TYPE_PALETTE;
  if (depth < 8 && palette) png_set_packing(reader.png);
  if (depth < 8 && !palette) png_set_expand_gray_1_2_4_to_8(reader.png);
  const bool white = limits.transparency == Transparency::kWhite;
  // A transparent colour or palette entry becomes opacity, and the palette colours.
  if (white && png_get_valid(reader.png, reader.info, PNG_INFO_tRNS) != 0)
    png_set_tRNS_to_alpha(reader.png);
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);

  RowFormat format = FormatOf(reader);
  format.on_white = white && format.channels % 2 == 0;
  const size_t row_bytes = png_get_rowbytes(reader.png, reader.info);
  std::vector<uint8_t> raw(row_bytes * height);
  std::vector<png_bytep> rows(height);
  for (int64_t y = 0; y < height; ++y) rows[y] = raw.data() + y * row_bytes;
  if (!ReadRows(reader, rows.data())) return Error{Cat("damaged PNG: ", reader.message)};

  Picture picture{size.width, size.height, std::vector<uint8_t>(size_t(width) * height * 3)};
  for (int64_t y = 0; y < height; ++y) {
    ToRgb(rows[y], picture.rgb.data() + y * width * 3, picture.width, format);
  }
  return picture;
}

}  // namespace facet::media
