// Where the formats keep a picture's orientation, and what it asks. It is tag 0x0112 of the first
// directory of EXIF (CIPA DC-008) or, where EXIF has none, tiff:Orientation of XMP.
#include <zlib.h>

#include <cstring>
#include <string>
#include <string_view>

#include "base/text.h"
#include "media/still.h"

namespace facet::media {
namespace {

constexpr uint32_t kOrientationTag = 0x0112, kXmpTag = 700;
constexpr std::string_view kExifMark("Exif\0\0", 6);
constexpr std::string_view kXmpMark("http://ns.adobe.com/xap/1.0/\0", 29);
// Of a PNG's texts, decompressed; EXIF and XMP have some kilobytes, each once.
constexpr size_t kLongestProfile = 1 << 20;
constexpr int kMostProfiles = 8;

uint32_t Read(Bytes bytes, size_t at, int size, bool little) {
  uint32_t value = 0;
  for (int i = 0; i < size; ++i) {
    const int place = little ? size - 1 - i : i;
    value = value << 8 | static_cast<uint8_t>(bytes[at + place]);
  }
  return value;
}

std::string_view AsText(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Bytes AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string_view WithoutPrefix(std::string_view text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

// An entry of a TIFF directory, 12 bytes, of which the last four are the value or say where it
// lies.
struct TiffEntry {
  uint32_t type = 0, count = 0;
  size_t value_at = 0;
  bool little = false;
};

std::optional<TiffEntry> FindTiffEntry(Bytes bytes, uint32_t tag) {
  if (bytes.size() < 8) return std::nullopt;
  const bool little = AsText(bytes).starts_with("II");
  if (!little && !AsText(bytes).starts_with("MM")) return std::nullopt;
  if (Read(bytes, 2, 2, little) != 42) return std::nullopt;
  const size_t directory = Read(bytes, 4, 4, little);
  if (directory + 2 > bytes.size()) return std::nullopt;
  const size_t entries = Read(bytes, directory, 2, little);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + i * 12;
    if (entry + 12 > bytes.size()) return std::nullopt;
    if (Read(bytes, entry, 2, little) != tag) continue;
    return TiffEntry{Read(bytes, entry + 2, 2, little), Read(bytes, entry + 4, 4, little),
                     entry + 8, little};
  }
  return std::nullopt;
}

// What a file keeps of the two, with the marks in front of them or without.
struct Profiles {
  std::string exif, xmp;

  // What a text names "exif", "APP1" or "xmp" may be either.
  void Add(std::string_view profile) {
    const bool xml = profile.starts_with(kXmpMark) || profile.starts_with("<");
    xml ? AddXmp(profile) : AddExif(profile);
  }
  void AddExif(std::string_view text) {
    if (exif.empty()) exif = WithoutPrefix(text, kExifMark);
  }
  void AddXmp(std::string_view text) {
    if (xmp.empty()) xmp = WithoutPrefix(text, kXmpMark);
  }
};

// tiff:Orientation="6" or <tiff:Orientation>6</tiff:Orientation>; 1 where there is none.
int XmpOrientation(std::string_view xmp) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (size_t at = xmp.find(kName); at != std::string_view::npos; at = xmp.find(kName, at + 1)) {
    const std::string_view rest = Trim(xmp.substr(at + kName.size(), 32));
    if (rest.empty() || (rest[0] != '=' && rest[0] != '>')) continue;
    std::string_view value = Trim(rest.substr(1));
    if (rest[0] == '=' && !value.empty()) value.remove_prefix(1);  // a quotation mark
    value = Trim(value);
    if (!value.empty() && value[0] >= '1' && value[0] <= '8') return value[0] - '0';
  }
  return 1;
}

int OrientationOf(const Profiles& profiles) {
  if (const auto value = TiffTag(AsBytes(profiles.exif), kOrientationTag)) {
    return *value >= 1 && *value <= 8 ? static_cast<int>(*value) : 1;
  }
  return XmpOrientation(profiles.xmp);
}

// Empty where the data are damaged or longer than a profile may be.
std::string Inflate(std::string_view deflated) {
  std::string out(kLongestProfile, '\0');
  uLongf length = out.size();
  const int code = uncompress(reinterpret_cast<Bytef*>(out.data()), &length,
                              reinterpret_cast<const Bytef*>(deflated.data()), deflated.size());
  out.resize(code == Z_OK ? length : 0);
  return out;
}

// A profile as ImageMagick and exiftool write it into a text: "\nexif\n    1234\n" and hexadecimal
// digits in lines.
std::string ReadRawProfile(std::string_view text) {
  for (int line = 0; line < 3; ++line) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  std::string out;
  int high = -1;
  for (const char c : text) {
    const int digit = HexDigit(c);
    if (digit < 0) continue;
    if (high >= 0) out += static_cast<char>(high << 4 | digit);
    high = high < 0 ? digit : -1;
  }
  return out;
}

// Splits `text` at the first NUL; false where there is none.
bool TakeString(std::string_view& text, std::string_view& string) {
  const size_t end = text.find('\0');
  if (end == std::string_view::npos) return false;
  string = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

// A chunk tEXt, zTXt or iTXt: keyword, NUL, what the kind adds, text. True where it is a profile.
bool AddPngText(std::string_view kind, std::string_view data, Profiles& profiles) {
  std::string_view keyword, skipped;
  if (!TakeString(data, keyword)) return false;
  const bool raw = keyword == "Raw profile type exif" || keyword == "Raw profile type APP1" ||
                   keyword == "Raw profile type xmp";
  if (!raw && keyword != "XML:com.adobe.xmp") return false;
  bool deflated = kind == "zTXt";
  if (kind == "zTXt" && data.size() >= 1) data.remove_prefix(1);  // the method
  if (kind == "iTXt") {
    if (data.size() < 2) return true;
    deflated = data[0] != '\0';
    data.remove_prefix(2);  // whether it is compressed, and the method
    if (!TakeString(data, skipped) || !TakeString(data, skipped))
      return true;  // language, translation
  }
  const std::string text = deflated ? Inflate(data) : std::string(data.substr(0, kLongestProfile));
  if (raw) {
    profiles.Add(ReadRawProfile(text));
  } else {
    profiles.AddXmp(text);
  }
  return true;
}

}  // namespace

std::optional<uint32_t> TiffTag(Bytes bytes, uint32_t tag) {
  const std::optional<TiffEntry> entry = FindTiffEntry(bytes, tag);
  constexpr uint32_t kShort = 3, kLong = 4;
  if (!entry || (entry->type != kShort && entry->type != kLong)) return std::nullopt;
  return Read(bytes, entry->value_at, entry->type == kLong ? 4 : 2, entry->little);
}

int TiffOrientation(Bytes bytes) {
  Profiles profiles;
  if (const auto entry = FindTiffEntry(bytes, kXmpTag); entry && entry->count > 4) {
    const size_t at = Read(bytes, entry->value_at, 4, entry->little);
    if (at <= bytes.size() && entry->count <= bytes.size() - at) {
      profiles.AddXmp(AsText(bytes.subspan(at, entry->count)));
    }
  }
  if (const auto value = TiffTag(bytes, kOrientationTag)) {
    return *value >= 1 && *value <= 8 ? static_cast<int>(*value) : 1;
  }
  return XmpOrientation(profiles.xmp);
}

int PngOrientation(Bytes bytes) {
  Profiles profiles, texts;
  int read = 0;
  size_t at = 8;  // the signature
  while (at + 12 <= bytes.size()) {
    const size_t length = Read(bytes, at, 4, false);
    if (length > bytes.size() - at - 12) break;
    const std::string_view kind = AsText(bytes.subspan(at + 4, 4));
    const std::string_view data = AsText(bytes.subspan(at + 8, length));
    if (kind == "eXIf") profiles.AddExif(data);
    const bool text = kind == "tEXt" || kind == "zTXt" || kind == "iTXt";
    if (text && read < kMostProfiles && AddPngText(kind, data, texts)) ++read;
    if (kind == "IEND") break;
    at += 12 + length;
  }
  profiles.AddExif(texts.exif);  // where the chunk made for it is not there
  profiles.AddXmp(texts.xmp);
  return OrientationOf(profiles);
}

int JpegOrientation(Bytes bytes) {
  Profiles profiles;
  size_t at = 2;  // SOI
  while (at + 4 <= bytes.size() && bytes[at] == std::byte{0xFF}) {
    const uint8_t marker = static_cast<uint8_t>(bytes[at + 1]);
    if (marker == 0xFF) {  // fill byte
      ++at;
      continue;
    }
    if (marker == 0xDA || marker == 0xD9) break;
    const size_t length = Read(bytes, at + 2, 2, false);
    if (length < 2 || length > bytes.size() - at - 2) break;
    const std::string_view segment = AsText(bytes.subspan(at + 4, length - 2));
    if (marker == 0xE1 && segment.starts_with(kExifMark)) profiles.AddExif(segment);
    if (marker == 0xE1 && segment.starts_with(kXmpMark)) profiles.AddXmp(segment);
    at += 2 + length;
  }
  return OrientationOf(profiles);
}

int WebpOrientation(Bytes bytes) {
  Profiles profiles;
  size_t at = 12;  // RIFF, length, WEBP
  while (at + 8 <= bytes.size()) {
    const size_t length = Read(bytes, at + 4, 4, true);
    if (length > bytes.size() - at - 8) break;
    const std::string_view kind = AsText(bytes.subspan(at, 4));
    const std::string_view data = AsText(bytes.subspan(at + 8, length));
    if (kind == "EXIF") profiles.AddExif(data);
    if (kind == "XMP ") profiles.AddXmp(data);
    at += 8 + length + length % 2;
  }
  return OrientationOf(profiles);
}

PictureSize OrientedSize(PictureSize size, int orientation) {
  return orientation >= 5 && orientation <= 8 ? PictureSize{size.height, size.width} : size;
}

Picture Orient(Picture picture, int orientation) {
  if (orientation <= 1 || orientation > 8) return picture;
  const bool swap = orientation >= 5;
  // In terms of the upright picture's (x, y): where its pixel lies in the stored one.
  const bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const auto [width, height] = OrientedSize({picture.width, picture.height}, orientation);
  Picture out{width, height, std::vector<uint8_t>(picture.rgb.size())};
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
