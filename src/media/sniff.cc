// What a file is by its first bytes.
#include <algorithm>
#include <array>
#include <string_view>

#include "base/file_kind.h"
#include "media/av.h"

namespace facet::media {
namespace {

using std::string_view_literals::operator""sv;

// How far what is no part of a sound may reach before it: tags and cover pictures are longer than
// zeros, which some recorders leave.
constexpr size_t kMostJunk = 1 << 16;

std::string_view Text(Bytes bytes, size_t at, size_t count) {
  if (at > bytes.size() || count > bytes.size() - at) return {};
  return {reinterpret_cast<const char*>(bytes.data()) + at, count};
}
uint32_t ByteAt(Bytes bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}
// Big-endian.
uint64_t NumberAt(Bytes bytes, size_t at, int count) {
  uint64_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | ByteAt(bytes, at + i);
  return value;
}

// --- MPEG audio, which has no signature

// 11 sync bits, a version and a layer that exist, a bit rate and a sample rate that exist.
bool IsMpegAudio(Bytes bytes, size_t at = 0) {
  if (bytes.size() < 4 || at > bytes.size() - 4) return false;
  const uint32_t b1 = ByteAt(bytes, at + 1), b2 = ByteAt(bytes, at + 2);
  return ByteAt(bytes, at) == 0xFF && (b1 & 0xE0) == 0xE0 && (b1 & 0x18) != 0x08 &&
         (b1 & 0x06) != 0 && (b2 & 0xF0) != 0xF0 && (b2 & 0x0C) != 0x0C;
}

// Bytes of the MPEG audio frame at `at`; 0 where none is or its bit rate is free.
size_t MpegFrameBytes(Bytes bytes, size_t at) {
  if (!IsMpegAudio(bytes, at)) return 0;
  const uint32_t b1 = ByteAt(bytes, at + 1), b2 = ByteAt(bytes, at + 2);
  const bool one = (b1 >> 3 & 3) == 3;       // MPEG 1; else 2 or 2.5
  const uint32_t layer = 4 - (b1 >> 1 & 3);  // 1 to 3
  constexpr int kRates[5][15] = {
      {0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
      {0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
      {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
      {0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
      {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}};
  constexpr int kHertz[3] = {44100, 48000, 32000};
  const int divisor = one ? 1 : (b1 >> 3 & 3) == 2 ? 2 : 4;
  const size_t hertz = kHertz[b2 >> 2 & 3] / divisor;
  const size_t rate = size_t{1000} * kRates[one ? layer - 1 : layer == 1 ? 3 : 4][b2 >> 4];
  const size_t padding = b2 >> 1 & 1;
  if (layer == 1) return (12 * rate / hertz + padding) * 4;
  return (layer == 3 && !one ? 72 : 144) * rate / hertz + padding;
}

// Bytes of the AAC frame at `at`, with its ADTS header; 0 where none is.
size_t AdtsFrameBytes(Bytes bytes, size_t at) {
  if (bytes.size() < 7 || at > bytes.size() - 7) return 0;
  if (ByteAt(bytes, at) != 0xFF || (ByteAt(bytes, at + 1) & 0xF6) != 0xF0) return 0;
  if ((ByteAt(bytes, at + 2) >> 2 & 15) > 12) return 0;  // a sample rate that exists
  const size_t length = (NumberAt(bytes, at + 3, 3) >> 5) & 0x1FFF;
  return length > 7 ? length : 0;
}

// Frames follow each other from `at` on, three or as many as there are.
template <typename FrameBytes>
bool Follow(Bytes bytes, size_t at, FrameBytes frame_bytes) {
  for (int i = 0; i < 3; ++i) {
    const size_t length = frame_bytes(bytes, at);
    if (length == 0) return false;
    at += length;
    if (at + 7 > bytes.size()) return i > 0 || at <= bytes.size();
  }
  return true;
}

// Where MPEG audio or AAC begins behind what is no part of it.
Format FindFrames(Bytes bytes) {
  const size_t end = std::min(bytes.size(), kMostJunk);
  for (size_t at = 0; at < end; ++at) {
    if (ByteAt(bytes, at) != 0xFF) continue;
    if (Follow(bytes, at, MpegFrameBytes)) return {Kind::kSound, "MP3", "mp3", at};
    if (Follow(bytes, at, AdtsFrameBytes)) return {Kind::kSound, "AAC", "aac", at};
  }
  return {};
}

// --- MP4 and its kin

// "HEIC" or "AVIF" for a picture whose brands say so, null for others: the main brand may be of
// HEIF's structure alone, the compatible ones behind it then say what codes the picture.
const char* HeifName(Bytes bytes, std::string_view box) {
  if (box != "ftyp") return nullptr;
  constexpr std::string_view kHeic[] = {"heic", "heix", "heim", "heis"}, kAvif[] = {"avif", "avis"},
                             kEither[] = {"mif1", "msf1", "mif2"};
  const auto is = [](std::string_view brand, std::span<const std::string_view> names) {
    return std::find(names.begin(), names.end(), brand) != names.end();
  };
  const std::string_view major = Text(bytes, 8, 4);
  if (is(major, kHeic)) return "HEIC";
  if (is(major, kAvif)) return "AVIF";
  if (!is(major, kEither)) return nullptr;
  const size_t length = std::min<uint64_t>(NumberAt(bytes, 0, 4), 256);
  for (size_t at = 16; at + 4 <= length; at += 4) {
    if (is(Text(bytes, at, 4), kAvif)) return "AVIF";
  }
  return "HEIC";
}

bool IsIsoMedia(Bytes bytes) {
  constexpr std::array<std::string_view, 7> kBoxes = {"ftyp", "moov", "mdat", "wide",
                                                      "free", "skip", "pnot"};
  return std::find(kBoxes.begin(), kBoxes.end(), Text(bytes, 4, 4)) != kBoxes.end();
}

// The content of the first box of that name among those of the top level; empty where none is.
Bytes FindTopBox(Bytes bytes, std::string_view name) {
  for (int boxes = 0; bytes.size() >= 8 && boxes < 1000; ++boxes) {
    uint64_t length = NumberAt(bytes, 0, 4), head = 8;
    if (length == 1 && bytes.size() >= 16) length = NumberAt(bytes, 8, 8), head = 16;
    if (length == 0 || length > bytes.size()) length = bytes.size();
    if (length < head) return {};
    if (Text(bytes, 4, 4) == name) return bytes.first(length).subspan(head);
    bytes = bytes.subspan(length);
  }
  return {};
}

// The kinds of tracks that an index names: of each, a handler ("hdlr", 8 bytes, its kind).
bool HasHandler(Bytes moov, std::string_view kind) {
  const std::string_view text = Text(moov, 0, moov.size());
  for (size_t at = text.find("hdlr"); at != text.npos; at = text.find("hdlr", at + 4)) {
    if (Text(moov, at + 12, 4) == kind) return true;
  }
  return false;
}

Format SniffIsoMedia(Bytes bytes) {
  const std::string_view box = Text(bytes, 4, 4);
  if (!IsIsoMedia(bytes)) return {};
  if (const char* name = HeifName(bytes, box); name != nullptr)
    return {Kind::kPicture, name, nullptr};
  const std::string_view brand = box == "ftyp" ? Text(bytes, 8, 4) : std::string_view();
  const Bytes moov = FindTopBox(bytes, "moov");
  const bool sound_alone = HasHandler(moov, "soun") && !HasHandler(moov, "vide");
  if (brand == "M4A " || brand == "M4B " || sound_alone) return {Kind::kSound, "M4A", "mov"};
  return {Kind::kFilm, "MP4", "mov"};
}

// --- Matroska

// Browsers record sound into WebM. The list of tracks (16 54 AE 6B and its length) has for each its
// type, 83 81 01 for a moving picture and 83 81 02 for sound.
Format SniffMatroska(Bytes bytes) {
  const std::string_view head = Text(bytes, 0, std::min<size_t>(bytes.size(), kMostJunk));
  const size_t tracks = head.find("\x16\x54\xAE\x6B"sv);
  const bool known = tracks != head.npos && tracks + 12 < head.size();
  const auto lead = known ? static_cast<uint8_t>(head[tracks + 4]) : 0;
  int length = 1;
  while (length < 8 && (lead >> (8 - length) & 1) == 0) ++length;
  uint64_t size = lead & (0xFF >> length);
  for (int i = 1; known && i < length; ++i)
    size = size << 8 | static_cast<uint8_t>(head[tracks + 4 + i]);
  const std::string_view list = known ? head.substr(tracks, size) : std::string_view();
  const auto has = [&](std::string_view type) { return list.find(type) != list.npos; };
  if (has("\x83\x81\x02"sv) && !has("\x83\x81\x01"sv))
    return {Kind::kSound, "Matroska/WebM", "matroska"};
  return {Kind::kFilm, "Matroska/WebM", "matroska"};
}

// --- everything

// Bytes of an ID3v2 tag in front; 0 where there is none. Its length has 7 bits a byte.
size_t Id3Bytes(Bytes bytes) {
  if (bytes.size() < 10 || Text(bytes, 0, 3) != "ID3") return 0;
  size_t length = 10;
  for (int i = 6, shift = 21; i < 10; ++i, shift -= 7)
    length += size_t{ByteAt(bytes, i) & 0x7F} << shift;
  return (ByteAt(bytes, 5) & 0x10) != 0 ? length + 10 : length;  // a footer
}

Format SniffSigned(Bytes bytes) {
  const std::string_view head = Text(bytes, 0, std::min<size_t>(bytes.size(), 12));
  if (head.starts_with("\x89PNG\r\n\x1a\n")) return {Kind::kPicture, "PNG", nullptr};
  if (head.starts_with("\xFF\xD8\xFF")) return {Kind::kPicture, "JPEG", nullptr};
  if (head.starts_with("RIFF") && Text(bytes, 8, 4) == "WEBP")
    return {Kind::kPicture, "WebP", nullptr};
  if (head.starts_with("GIF87a") || head.starts_with("GIF89a"))
    return {Kind::kPicture, "GIF", "gif"};
  if (head.starts_with("II*\0"sv) || head.starts_with("MM\0*"sv))
    return {Kind::kPicture, "TIFF", nullptr};
  if (head.starts_with("BM") && bytes.size() >= 26 && Text(bytes, 6, 4) == "\0\0\0\0"sv)
    return {Kind::kPicture, "BMP", nullptr};
  if ((head.starts_with("RIFF") || head.starts_with("RF64")) && Text(bytes, 8, 4) == "WAVE")
    return {Kind::kSound, "WAV", "wav"};
  if (head.starts_with("FORM") && (Text(bytes, 8, 4) == "AIFF" || Text(bytes, 8, 4) == "AIFC"))
    return {Kind::kSound, "AIFF", "aiff"};
  if (head.starts_with("caff")) return {Kind::kSound, "CAF", "caf"};
  if (head.starts_with("#!AMR")) return {Kind::kSound, "AMR", "amr"};
  if (head.starts_with("fLaC")) return {Kind::kSound, "FLAC", "flac"};
  if (head.starts_with("OggS")) return {Kind::kSound, "Ogg", "ogg"};
  if (head.starts_with("\x1A\x45\xDF\xA3")) return SniffMatroska(bytes);
  return SniffIsoMedia(bytes);
}

// Behind a tag that some programs write before any sound: MPEG audio brings its own reader of tags.
Format SniffTagged(Bytes bytes) {
  const size_t tag = Id3Bytes(bytes);
  Format format = tag < bytes.size() ? SniffSigned(bytes.subspan(tag)) : Format();
  if (format.kind == Kind::kSound) {
    format.skip = tag;
    return format;
  }
  if (tag < bytes.size() && Follow(bytes, tag, AdtsFrameBytes))
    return {Kind::kSound, "AAC", "aac", tag};
  return {Kind::kSound, "MP3", "mp3"};
}

Format SniffBehindZeros(Bytes bytes) {
  const size_t end = std::min(bytes.size(), kMostJunk);
  size_t zeros = 0;
  while (zeros < end && bytes[zeros] == std::byte{0}) ++zeros;
  if (zeros == 0 || zeros == end) return {};
  Format format = SniffSigned(bytes.subspan(zeros));
  format.skip = zeros;
  return format.kind == Kind::kSound ? format : Format();
}

}  // namespace

Format SniffFormat(Bytes bytes) {
  if (const Format format = SniffSigned(bytes); format.name != nullptr) return format;
  if (Id3Bytes(bytes) > 0) return SniffTagged(bytes);
  if (Follow(bytes, 0, AdtsFrameBytes)) return {Kind::kSound, "AAC", "aac"};
  // What has a name of its own is no sound, though its bytes may look like a frame: UTF-16 begins
  // so.
  const std::string_view head = Text(bytes, 0, std::min(bytes.size(), kFileKindBytes));
  const std::string_view first = head.substr(0, head.find_last_not_of('\0') + 1);
  const bool named = !first.empty() && IsKnownFileKind(first);
  if (Follow(bytes, 0, MpegFrameBytes) || (IsMpegAudio(bytes) && !named))
    return {Kind::kSound, "MP3", "mp3"};
  if (const Format format = SniffBehindZeros(bytes); format.name != nullptr) return format;
  if (named) return {};
  return FindFrames(bytes);
}

bool LacksIndex(Bytes bytes) {
  return IsIsoMedia(bytes) && FindTopBox(bytes, "moov").empty();
}

bool LacksClusters(Bytes bytes) {
  return Text(bytes, 0, bytes.size()).find("\x1F\x43\xB6\x75"sv) == std::string_view::npos;
}

std::string DescribeFormat(Bytes bytes) {
  if (const Format format = SniffFormat(bytes); format.name != nullptr) return format.name;
  return GuessFileKind(Text(bytes, 0, std::min(bytes.size(), kFileKindBytes))).Text();
}

}  // namespace facet::media
