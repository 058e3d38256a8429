// Where the formats keep EXIF orientation (tag 0x0112 of the first directory; CIPA DC-008), and
// what it asks.
#include <cstring>
#include <string_view>

#include "media/still.h"

namespace facet::media {
namespace {

uint32_t Read(Bytes bytes, size_t at, int size, bool little) {
  uint32_t value = 0;
  for (int i = 0; i < size; ++i) {
    const int place = little ? size - 1 - i : i;
    value = value << 8 | static_cast<uint8_t>(bytes[at + place]);
  }
  return value;
}

bool StartsWith(Bytes bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

Bytes WithoutExifMark(Bytes bytes) {
  constexpr std::string_view kMark("Exif\0\0", 6);
  return StartsWith(bytes, kMark) ? bytes.subspan(kMark.size()) : bytes;
}

}  // namespace

std::optional<uint32_t> TiffTag(Bytes bytes, uint32_t tag) {
  if (bytes.size() < 8) return std::nullopt;
  const bool little = StartsWith(bytes, "II");
  if (!little && !StartsWith(bytes, "MM")) return std::nullopt;
  if (Read(bytes, 2, 2, little) != 42) return std::nullopt;
  const size_t directory = Read(bytes, 4, 4, little);
  if (directory + 2 > bytes.size()) return std::nullopt;
  const size_t entries = Read(bytes, directory, 2, little);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + i * 12;
    if (entry + 12 > bytes.size()) return std::nullopt;
    if (Read(bytes, entry, 2, little) != tag) continue;
    const uint32_t type = Read(bytes, entry + 2, 2, little);
    if (type != 3 && type != 4) return std::nullopt;
    return Read(bytes, entry + 8, type == 4 ? 4 : 2, little);
  }
  return std::nullopt;
}

int TiffOrientation(Bytes bytes) {
  const uint32_t value = TiffTag(bytes, 0x0112).value_or(1);
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

int PngOrientation(Bytes bytes) {
  size_t at = 8;  // the signature
  while (at + 12 <= bytes.size()) {
    const size_t length = Read(bytes, at, 4, false);
    if (length > bytes.size() - at - 12) return 1;
    const Bytes chunk = bytes.subspan(at + 4);
    if (StartsWith(chunk, "eXIf"))
      return TiffOrientation(WithoutExifMark(chunk.subspan(4, length)));
    if (StartsWith(chunk, "IEND")) return 1;
    at += 12 + length;
  }
  return 1;
}

int JpegOrientation(Bytes bytes) {
  size_t at = 2;  // SOI
  while (at + 4 <= bytes.size() && bytes[at] == std::byte{0xFF}) {
    const uint8_t marker = static_cast<uint8_t>(bytes[at + 1]);
    if (marker == 0xFF) {  // fill byte
      ++at;
      continue;
    }
    if (marker == 0xDA || marker == 0xD9) return 1;
    const size_t length = Read(bytes, at + 2, 2, false);
    if (length < 2 || length > bytes.size() - at - 2) return 1;
    const Bytes segment = bytes.subspan(at + 4, length - 2);
    if (marker == 0xE1 && StartsWith(segment, std::string_view("Exif\0\0", 6))) {
      return TiffOrientation(segment.subspan(6));
    }
    at += 2 + length;
  }
  return 1;
}

int WebpOrientation(Bytes bytes) {
  size_t at = 12;  // RIFF, length, WEBP
  while (at + 8 <= bytes.size()) {
    const size_t length = Read(bytes, at + 4, 4, true);
    if (length > bytes.size() - at - 8) return 1;
    if (StartsWith(bytes.subspan(at), "EXIF")) {
      return TiffOrientation(WithoutExifMark(bytes.subspan(at + 8, length)));
    }
    at += 8 + length + length % 2;
  }
  return 1;
}

Picture Orient(Picture picture, int orientation) {
  if (orientation <= 1 || orientation > 8) return picture;
  const bool swap = orientation >= 5;
  // In terms of the upright picture's (x, y): where its pixel lies in the stored one.
  const bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Picture out{swap ? picture.height : picture.width, swap ? picture.width : picture.height,
              std::vector<uint8_t>(picture.rgb.size())};
  uint8_t* to = out.rgb.data();
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x, to += 3) {
      const int stored_x = swap ? y : x, stored_y = swap ? x : y;
      const size_t from_x = flip_x ? picture.width - 1 - stored_x : stored_x;
      const size_t from_y = flip_y ? picture.height - 1 - stored_y : stored_y;
      std::memcpy(to, picture.rgb.data() + (from_y * picture.width + from_x) * 3, 3);
    }
  }
  return out;
}

}  // namespace facet::media
