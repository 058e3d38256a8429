// JPEG by libjpeg-turbo as Pillow sets it: accurate integer DCT, smooth chroma upsampling, CMYK
// inverted as Photoshop does.
#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include <jpeglib.h>

#include <jerror.h>

#include "media/still.h"

namespace facet::media {
namespace {

// A progressive file of thousands of scans is an attack on time, as are hundreds over a large
// picture. Cameras and editors write about ten.
constexpr int64_t kMostScans = 500, kFewestScans = 50;
constexpr int64_t kMostScannedPixels = 2'000'000'000;

struct JpegReader {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg_source_mgr source{};
  jpeg_progress_mgr progress{};
  std::jmp_buf jump;
  bool created = false;
  bool at_end = false;   // the decoder asked for more than the file has
  bool starved = false;  // and went on with made-up data
  int64_t most_scans = kMostScans;
  const DecodeBudget* budget = nullptr;
  bool exhausted = false;  // the budget says to stop
  char message[JMSG_LENGTH_MAX] = "";
  ~JpegReader() {
    if (created) jpeg_destroy_decompress(&jpeg);
  }
};

JpegReader& Self(j_common_ptr jpeg) {
  return *static_cast<JpegReader*>(jpeg->client_data);
}

[[noreturn]] void OnError(j_common_ptr jpeg) {
  JpegReader& reader = Self(jpeg);
  jpeg->err->format_message(jpeg, reader.message);
  std::longjmp(reader.jump, 1);
}

void OnMessage(j_common_ptr jpeg, int level) {
  if (level < 0 && jpeg->err->msg_code == JWRN_HIT_MARKER && Self(jpeg).at_end) {
    Self(jpeg).starved = true;
  }
}

void OnSource(j_decompress_ptr) {}

boolean OnMoreData(j_decompress_ptr jpeg) {
  static constexpr JOCTET kEnd[] = {0xFF, JPEG_EOI};
  Self(reinterpret_cast<j_common_ptr>(jpeg)).at_end = true;
  jpeg->src->next_input_byte = kEnd;
  jpeg->src->bytes_in_buffer = sizeof kEnd;
  return TRUE;
}

void OnSkip(j_decompress_ptr jpeg, long count) {
  if (count <= 0) return;
  if (static_cast<size_t>(count) > jpeg->src->bytes_in_buffer) {
    OnMoreData(jpeg);
    return;
  }
  jpeg->src->next_input_byte += count;
  jpeg->src->bytes_in_buffer -= count;
}

void OnProgress(j_common_ptr jpeg) {
  JpegReader& reader = Self(jpeg);
  if (reader.budget && reader.budget->Exhausted()) {
    reader.exhausted = true;
  } else if (reader.jpeg.input_scan_number <= reader.most_scans) {
    return;
  }
  std::snprintf(reader.message, sizeof reader.message, "expected at most %lld scans but got more",
                static_cast<long long>(reader.most_scans));
  std::longjmp(reader.jump, 1);
}

// libjpeg leaves by longjmp: the three functions around setjmp hold nothing that needs a
// destructor.
bool ReadHeader(JpegReader& reader, Bytes bytes) {
  jpeg_decompress_struct& jpeg = reader.jpeg;
  jpeg.err = jpeg_std_error(&reader.errors);
  reader.errors.error_exit = OnError;
  reader.errors.emit_message = OnMessage;
  jpeg.client_data = &reader;
  if (setjmp(reader.jump)) return false;
  jpeg_create_decompress(&jpeg);
  reader.created = true;
  reader.progress.progress_monitor = OnProgress;
  jpeg.progress = &reader.progress;
  jpeg.src = &reader.source;
  reader.source.init_source = OnSource;
  reader.source.fill_input_buffer = OnMoreData;
  reader.source.skip_input_data = OnSkip;
  reader.source.resync_to_restart = jpeg_resync_to_restart;
  reader.source.term_source = OnSource;
  reader.source.next_input_byte = reinterpret_cast<const JOCTET*>(bytes.data());
  reader.source.bytes_in_buffer = bytes.size();
  jpeg_read_header(&jpeg, TRUE);
  return true;
}

bool Start(JpegReader& reader) {
  if (setjmp(reader.jump)) return false;
  jpeg_start_decompress(&reader.jpeg);
  return true;
}

bool ReadRows(JpegReader& reader, uint8_t* to, size_t stride) {
  if (setjmp(reader.jump)) return false;
  while (reader.jpeg.output_scanline < reader.jpeg.output_height) {
    JSAMPROW row = to + reader.jpeg.output_scanline * stride;
    jpeg_read_scanlines(&reader.jpeg, &row, 1);
  }
  return true;
}

// a * b / 255, rounded.
int Scale(int a, int b) {
  const int t = a * b + 128;
  return ((t >> 8) + t) >> 8;
}

void CmykToRgb(const uint8_t* from, uint8_t* to, size_t pixels) {
  for (size_t i = 0; i < pixels; ++i, from += 4, to += 3) {
    const int light = from[3];  // stored inverted: 255 is no black ink
    for (int c = 0; c < 3; ++c) to[c] = static_cast<uint8_t>(light - Scale(255 - from[c], light));
  }
}

void GreyToRgb(const uint8_t* from, uint8_t* to, size_t pixels) {
  for (size_t i = 0; i < pixels; ++i, to += 3) to[0] = to[1] = to[2] = from[i];
}

// A coded block takes at least a bit, so a Huffman-coded file has at most some 1024 pixels a byte:
// less cannot be whole.
Result<void> CheckBody(const jpeg_decompress_struct& jpeg, Bytes bytes) {
  const uint64_t pixels = uint64_t{jpeg.image_width} * jpeg.image_height;
  const uint64_t most = (uint64_t{bytes.size()} + 64) * 2048;
  if (jpeg.arith_code || pixels <= most) return Ok();
  return Expected(Cat(jpeg.image_width, "x", jpeg.image_height, " pixels"),
                  Cat("at most ", most, " in ", bytes.size(), " bytes of file"), "JPEG");
}

// Reads up to the pixels and checks the size.
Result<PictureSize> OpenJpeg(JpegReader& reader, Bytes bytes, const Limits& limits) {
  if (!ReadHeader(reader, bytes)) return Error{Cat("damaged JPEG: ", reader.message)};
  const jpeg_decompress_struct& jpeg = reader.jpeg;
  FACET_TRY(CheckSize(jpeg.image_width, jpeg.image_height, limits, "JPEG"));
  return PictureSize{static_cast<int>(jpeg.image_width), static_cast<int>(jpeg.image_height)};
}

// What libjpeg, or the budget, has left by longjmp for.
Error Damage(const JpegReader& reader) {
  if (reader.exhausted) return reader.budget->Check().error();
  return Error{Cat("damaged JPEG: ", reader.message)};
}

}  // namespace

Result<PictureSize> JpegSize(Bytes bytes, const Limits& limits) {
  JpegReader reader;
  return OpenJpeg(reader, bytes, limits);
}

Result<Picture> DecodeJpeg(Bytes bytes, const Limits& limits, DecodeBudget& budget) {
  JpegReader reader;
  FACET_TRY(OpenJpeg(reader, bytes, limits));
  jpeg_decompress_struct& jpeg = reader.jpeg;
  FACET_TRY(CheckBody(jpeg, bytes));
  if (jpeg.num_components != 1 && jpeg.num_components != 3 && jpeg.num_components != 4) {
    return Expected("1, 3 or 4 components", jpeg.num_components, "JPEG");
  }
  jpeg.out_color_space = jpeg.num_components == 1   ? JCS_GRAYSCALE
                         : jpeg.num_components == 3 ? JCS_RGB
                                                    : JCS_CMYK;
  jpeg.dct_method = JDCT_ISLOW;
  jpeg.do_fancy_upsampling = TRUE;
  const size_t pixels = size_t{jpeg.image_width} * jpeg.image_height;
  Picture picture{static_cast<int>(jpeg.image_width), static_cast<int>(jpeg.image_height), {}};
  reader.budget = &budget;
  reader.most_scans =
      std::clamp(kMostScannedPixels / static_cast<int64_t>(pixels), kFewestScans, kMostScans);
  if (!Start(reader)) return Damage(reader);
  const int channels = jpeg.num_components;
  std::vector<uint8_t> raw(pixels * channels);
  if (!ReadRows(reader, raw.data(), size_t{jpeg.image_width} * channels)) {
    return Damage(reader);
  }
  if (reader.starved || (reader.at_end && jpeg.progressive_mode)) {
    return Error{Cat("the JPEG is truncated after ", bytes.size(), " bytes")};
  }
  if (channels == 3) {
    picture.rgb = std::move(raw);
    return picture;
  }
  picture.rgb.resize(pixels * 3);
  (channels == 4 ? CmykToRgb : GreyToRgb)(raw.data(), picture.rgb.data(), pixels);
  return picture;
}

}  // namespace facet::media
