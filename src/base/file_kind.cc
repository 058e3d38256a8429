#include "base/file_kind.h"

#include <algorithm>

#include "base/text.h"
#include "base/utf8.h"

namespace facet {
namespace {

using std::string_view_literals::operator""sv;

struct Magic {
  std::string_view bytes;
  FileKind kind;
  size_t at = 0;
};

constexpr FileKind kZip = {"a zip archive (a PyTorch checkpoint and an Office document are, too)",
                           "unpack it, or export what is in it"};
constexpr FileKind kPickle = {"a Python pickle, which runs code when it is read",
                              "save it as safetensors"};
constexpr FileKind kOldLlama = {"a llama.cpp file older than GGUF", "convert it to GGUF"};
constexpr FileKind kUtf16 = {"text in UTF-16", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"};
constexpr FileKind kUtf32 = {"text in UTF-32", "convert it to UTF-8: iconv -f UTF-32 -t UTF-8"};
constexpr FileKind kWebPage = {"a web page",
                               "the download gave an error or a login page in place "
                               "of the file; fetch the file itself"};
constexpr FileKind kSvg = {"an SVG drawing", "convert it to PNG"};
constexpr FileKind kJpegXl = {"a JPEG XL picture", "convert it to PNG or JPEG"};
constexpr FileKind kMpegStream = {"an MPEG stream",
                                  "copy it into an MP4: ffmpeg -i IN -c copy OUT.mp4"};

// Longer ones before those that they begin with.
constexpr Magic kMagics[] = {
    {"version https://git-lfs"sv,
     {"a Git LFS pointer, not the file that it stands for",
      "fetch the file itself (git lfs pull, or facet import)"}},
    {"GGUF"sv, {"a GGUF file", ""}},
    {"LITERTLM"sv, {"a LiteRT-LM model", "import the same model as safetensors or GGUF"}},
    {"TFL3"sv, {"a TensorFlow Lite model", "take the model as safetensors or GGUF"}, 4},
    {"\x89HDF"sv, {"an HDF5 file", "convert it to safetensors"}},
    {"ggjt"sv, kOldLlama},
    {"tjgg"sv, kOldLlama},
    {"lmgg"sv, kOldLlama},
    {"\x80\x02"sv, kPickle},
    {"\x80\x03"sv, kPickle},
    {"\x80\x04"sv, kPickle},
    {"\x80\x05"sv, kPickle},
    {"\x93NUMPY"sv, {"a NumPy array", "save it as safetensors"}},
    {"\0\0\xFE\xFF"sv, kUtf32},
    {"\xFF\xFE\0\0"sv, kUtf32},
    {"\xFF\xFE"sv, kUtf16},
    {"\xFE\xFF"sv, kUtf16},
    {"%PDF-"sv,
     {"a PDF document",
      "make pictures of its pages (pdftoppm -png), or take its text "
      "(pdftotext)"}},
    {"{\\rtf"sv, {"an RTF document", "save it as plain text"}},
    {"%!PS"sv, {"a PostScript document", "convert it to PNG"}},
    {"PK\x03\x04"sv, kZip},
    {"PK\x05\x06"sv, kZip},
    {"\x1F\x8B"sv, {"compressed by gzip", "unpack it first: gunzip"}},
    {"BZh"sv, {"compressed by bzip2", "unpack it first: bunzip2"}},
    {"\xFD"
     "7zXZ"sv,
     {"compressed by xz", "unpack it first: unxz"}},
    {"\x28\xB5\x2F\xFD"sv, {"compressed by zstd", "unpack it first: unzstd"}},
    {"7z\xBC\xAF\x27\x1C"sv, {"a 7-Zip archive", "unpack it first"}},
    {"Rar!\x1A\x07"sv, {"a RAR archive", "unpack it first"}},
    {"ustar"sv, {"a tar archive", "unpack it first: tar -xf"}, 257},
    {"\xD0\xCF\x11\xE0"sv, {"an Office document of the old kind", "export what is in it"}},
    {"PAR1"sv, {"a Parquet table", "write it as JSON lines"}},
    {"ARROW1"sv, {"an Arrow table", "write it as JSON lines"}},
    {"SQLite format 3"sv, {"an SQLite database", "write it as JSON lines"}},
    {"\x7F"
     "ELF"sv,
     {"a program", ""}},
    {"MZ"sv, {"a program for Windows", ""}},
    {"\x89PNG\r\n\x1A\n"sv, {"a PNG picture", ""}},
    {"\xFF\xD8\xFF"sv, {"a JPEG picture", ""}},
    {"GIF8"sv, {"a GIF picture", ""}},
    {"\xFF\x0A"sv, kJpegXl},
    {"\0\0\0\x0CJXL "sv, kJpegXl},
    {"\0\0\0\x0CjP  "sv, {"a JPEG 2000 picture", "convert it to PNG or JPEG"}},
    {"8BPS"sv, {"a Photoshop document", "export it as PNG"}},
    {"gimp xcf"sv, {"a GIMP document", "export it as PNG"}},
    {"\0\0\1\0"sv, {"a Windows icon", "convert it to PNG"}},
    {"\xD7\xCD\xC6\x9A"sv, {"a Windows metafile", "convert it to PNG"}},
    {"AVI "sv, {"an AVI film", "convert it to MP4: ffmpeg -i IN OUT.mp4"}, 8},
    {"\x30\x26\xB2\x75\x8E\x66\xCF\x11"sv,
     {"a Windows Media file", "convert it with ffmpeg, sound to WAV or MP3, a film to MP4"}},
    {"FLV\x01"sv, {"a Flash film", "convert it to MP4: ffmpeg -i IN OUT.mp4"}},
    {".RMF"sv, {"a RealMedia file", "convert it to MP4: ffmpeg -i IN OUT.mp4"}},
    {"\0\0\1\xBA"sv, kMpegStream},
    {"\0\0\1\xB3"sv, kMpegStream},
    {"MThd"sv, {"a MIDI file, which has notes and no sound", "play it into a WAV"}},
    {"#!AMR"sv, {"an AMR recording", "convert it to WAV or MP3: ffmpeg -i IN OUT.wav"}},
    {"caff"sv, {"a Core Audio file", "convert it to WAV or M4A: ffmpeg -i IN OUT.wav"}},
    {"MAC "sv, {"Monkey's Audio", "convert it to FLAC or WAV"}},
    {"wvpk"sv, {"a WavPack file", "convert it to FLAC or WAV"}},
    {"DSD "sv, {"a DSD recording", "convert it to FLAC or WAV"}},
    {"#EXTM3U"sv, {"a playlist, which names sounds and holds none", "give the sounds themselves"}},
};

std::string_view TrimHead(std::string_view head) {
  if (head.starts_with("\xEF\xBB\xBF")) head.remove_prefix(3);
  const size_t begin = head.find_first_not_of(" \t\r\n");
  return begin == head.npos ? std::string_view() : head.substr(begin);
}

// Markup, however it is spelled; a name empty for what is none.
FileKind MarkupKind(std::string_view text) {
  if (!text.starts_with('<')) return {};
  const std::string lower = ToLower(text);
  const auto has = [&](std::string_view part) { return lower.find(part) != lower.npos; };
  if (has("<svg")) return kSvg;
  if (lower.starts_with("<!doctype html") || has("<html") || has("<head") || has("<body"))
    return kWebPage;
  if (lower.starts_with("<?xml") || lower.starts_with("<!doctype")) return {"an XML document", ""};
  return {};
}

// Every other byte zero: UTF-16 without its mark.
bool LooksLikeUtf16(std::string_view head) {
  if (head.size() < 8) return false;
  for (const size_t zero : {size_t{0}, size_t{1}}) {
    bool all = true;
    for (size_t i = 0; i + 1 < std::min<size_t>(head.size(), 64); i += 2)
      all = all && head[i + zero] == '\0' && head[i + 1 - zero] != '\0';
    if (all) return true;
  }
  return false;
}

// The head may end inside a character.
bool LooksLikeText(std::string_view head) {
  for (size_t at = 0; at < head.size();) {
    const int bytes = DecodeUtf8(head, at).bytes;
    const auto c = static_cast<unsigned char>(head[at]);
    if (bytes == 0) return head.size() - at < 4 && at > 0;
    if (bytes == 1 && c < 32 && c != '\t' && c != '\n' && c != '\r' && c != '\f') return false;
    at += bytes;
  }
  return true;
}

FileKind TextKind(std::string_view text) {
  if (text.starts_with('{') || text.starts_with('[')) return {"JSON", ""};
  return {"text", ""};
}

FileKind KnownKind(std::string_view head) {
  for (const Magic& magic : kMagics) {
    if (head.substr(std::min(magic.at, head.size())).starts_with(magic.bytes)) return magic.kind;
  }
  if (const FileKind markup = MarkupKind(TrimHead(head)); !markup.name.empty()) return markup;
  if (LooksLikeUtf16(head)) return kUtf16;
  if (head.size() >= 16 && std::ranges::all_of(head, [](char c) { return c == '\0'; }))
    return {"filled with zeros, as a download that did not finish leaves it", "download it again"};
  return {};
}

}  // namespace

std::string FileKind::Text() const {
  std::string text(name);
  if (!advice.empty()) text.append("; ").append(advice);
  return text;
}

bool IsKnownFileKind(std::string_view head) {
  return !KnownKind(head.substr(0, kFileKindBytes)).name.empty();
}

FileKind GuessFileKind(std::string_view head) {
  head = head.substr(0, kFileKindBytes);
  if (head.empty()) return {"an empty file", ""};
  if (const FileKind known = KnownKind(head); !known.name.empty()) return known;
  if (LooksLikeText(head)) return TextKind(TrimHead(head));
  return {"a file of a kind that is not known here", ""};
}

}  // namespace facet
