#include "sandbox/results.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>

#include "base/text.h"
#include "base/utf8.h"
#include "media/media.h"
#include "media/png_writer.h"

namespace facet::sandbox {
namespace {

using media::Kind;

constexpr int64_t kPicturePixels = 40'000'000;
constexpr double kPictureSeconds = 5;

// How many bytes an escape sequence takes that begins at text[at]: ESC [ ... letter, ESC ] ... BEL
// or ESC \, ESC and one more.
size_t EscapeLength(std::string_view text, size_t at) {
  size_t i = at + 1;
  if (i >= text.size()) return 1;
  if (text[i] == '[') {
    for (++i; i < text.size() && !(text[i] >= 0x40 && text[i] <= 0x7E); ++i) {
      if (static_cast<unsigned char>(text[i]) < 0x20) return i - at;
    }
    return std::min(i + 1, text.size()) - at;
  }
  if (text[i] == ']' || text[i] == 'P' || text[i] == '_' || text[i] == '^') {
    for (++i; i < text.size() && text[i] != '\n'; ++i) {
      if (text[i] == '\a') return i + 1 - at;
      if (text[i] == '\033' && i + 1 < text.size() && text[i + 1] == '\\') return i + 2 - at;
    }
    return i - at;
  }
  return 2;
}

bool TurnsText(char32_t code) {
  return (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) ||
         code == 0x200E || code == 0x200F;
}

std::string WithoutControls(std::string_view text) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '\033') {
      at += EscapeLength(text, at);
      continue;
    }
    const Utf8Char next = DecodeUtf8(text, at);
    if (c == '\r') {
      out += at + 1 < text.size() && text[at + 1] == '\n' ? "" : "\n";
    } else if (next.bytes == 0 || TurnsText(next.code)) {
      out += kReplacement;
    } else if (c == '\n' || c == '\t' ||
               (next.code >= 0x20 && (next.code < 0x7F || next.code > 0x9F))) {
      out += text.substr(at, static_cast<size_t>(next.bytes));
    }
    at += static_cast<size_t>(std::max(next.bytes, 1));
  }
  return out;
}

// The last place at or before `at` where a character begins.
size_t CharacterBefore(std::string_view text, size_t at) {
  while (at > 0 && at < text.size() && (text[at] & 0xC0) == 0x80) --at;
  return at;
}

// Names that come out are shown in terminals and written to disks.
std::string ShownName(const std::string& name) {
  return CleanText(name.substr(0, 200), 200);
}

std::string PictureName(const std::string& name) {
  std::string base = name.substr(name.rfind('/') + 1);
  const size_t dot = base.rfind('.');
  return base.substr(0, dot) + ".png";
}

Result<MadePicture> ReadPicture(const RawOutcome::File& file) {
  media::Limits limits;
  limits.max_pixels = kPicturePixels;
  limits.max_decode_seconds = kPictureSeconds;
  FACET_ASSIGN(const media::Picture picture,
               media::DecodePicture(std::as_bytes(std::span(file.bytes)), limits));
  FACET_ASSIGN(std::string png, media::EncodePng(picture));
  return MadePicture{PictureName(file.name), std::move(png), picture.width, picture.height};
}

bool IsPictureName(const std::string& name) {
  const std::string lower = ToLower(name);
  for (const char* ending : {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"}) {
    if (lower.ends_with(ending)) return true;
  }
  return false;
}

void TakeFile(RawOutcome::File file, Outcome& out) {
  if (!IsPlainName(file.name)) {
    out.left_out.push_back(ShownName(file.name) + ": a name that is not kept");
    return;
  }
  if (!IsPictureName(file.name)) {
    out.files.push_back({std::move(file.name), std::move(file.bytes)});
    return;
  }
  auto picture = ReadPicture(file);
  if (picture.ok()) {
    const auto same =
        std::find_if(out.pictures.begin(), out.pictures.end(),
                     [&](const MadePicture& other) { return other.name == picture->name; });
    if (same != out.pictures.end()) out.pictures.erase(same);
    out.pictures.push_back(std::move(*picture));
  } else {
    out.left_out.push_back(Cat(file.name, ": no picture (", picture.error().message, ")"));
  }
}

// "exit 1" and so on, from the sandbox or its keeper.
void ReadEnd(const std::string& end, Outcome& out) {
  using End = Outcome::End;
  const std::pair<std::string_view, End> kWords[] = {
      {"time", End::kTime},           {"excess memory", End::kMemory},
      {"printed", End::kPrinted},     {"excess threads", End::kThreads},
      {"cancelled", End::kCancelled}, {"excess inodes", End::kFiles}};
  for (const auto& [word, meaning] : kWords) {
    if (end == word) {
      out.end = meaning;
      return;
    }
  }
  int number = 0;
  const size_t space = std::min(end.find(' '), end.size());
  std::from_chars(end.data() + std::min(space + 1, end.size()), end.data() + end.size(), number);
  out.code = number;
  out.end = end.starts_with("exit") ? (number == 0 ? End::kFinished : End::kFailed) : End::kDied;
}

// The last line of a traceback: what went wrong.
std::string LastLine(const std::string& text) {
  const std::string_view trimmed = Trim(text);
  return std::string(trimmed.substr(trimmed.rfind('\n') + 1)).substr(0, 300);
}

Result<Descriptor> OpenFolder(int parent, const std::string& name) {
  if (mkdirat(parent, name.c_str(), 0777) != 0 && errno != EEXIST) return SystemError(errno, name);
  Descriptor folder(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) return SystemError(errno, name);
  return folder;
}

// Beside its name first, so that a link or another file in its place is replaced, never followed.
Result<void> WriteBelow(int parent, const std::string& name, std::string_view bytes) {
  const size_t slash = name.find('/');
  if (slash != std::string::npos) {
    FACET_ASSIGN(const Descriptor folder, OpenFolder(parent, name.substr(0, slash)));
    return WriteBelow(folder.get(), name.substr(slash + 1), bytes);
  }
  const std::string part = Cat(".facet-", getpid(), ".part");
  unlinkat(parent, part.c_str(), 0);
  Descriptor file(
      openat(parent, part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!file.valid()) return SystemError(errno, name);
  bool written = true;
  while (written && !bytes.empty()) {
    const ssize_t count = write(file.get(), bytes.data(), bytes.size());
    written = count > 0;
    if (written) bytes.remove_prefix(static_cast<size_t>(count));
  }
  if (written && file.Close() && renameat(parent, part.c_str(), parent, name.c_str()) == 0)
    return Ok();
  const Error error = SystemError(errno, name);
  unlinkat(parent, part.c_str(), 0);
  return error;
}

}  // namespace

std::string CleanText(std::string_view text, size_t most) {
  std::string clean = WithoutControls(text);
  if (clean.size() <= most) return clean;
  const size_t head = CharacterBefore(clean, most / 2);
  const size_t tail = CharacterBefore(clean, clean.size() - most / 2);
  return Cat(clean.substr(0, head), "\n... ", tail - head, " bytes left out ...\n",
             clean.substr(tail));
}

bool IsPlainName(std::string_view name) {
  if (!IsUtf8(name) || WithoutControls(name) != name) return false;
  int parts = 0;
  while (true) {
    const std::string_view part = name.substr(0, name.find('/'));
    if (part.empty() || part.front() == '.' || part.size() > 120 || ++parts > 8) return false;
    if (part.find_first_of("\n\t\\") != std::string_view::npos) return false;
    if (part.size() == name.size()) return true;
    name.remove_prefix(part.size() + 1);
  }
}

Outcome MakeOutcome(RawOutcome raw, const Limits& limits) {
  Outcome out;
  out.limits = limits;
  ReadEnd(raw.end, out);
  out.output = CleanText(raw.output, limits.text);
  out.errors = CleanText(raw.errors, limits.text);
  out.seconds = raw.seconds;
  for (RawOutcome::File& file : raw.files) TakeFile(std::move(file), out);
  for (const std::string& name : raw.left_out)
    out.left_out.push_back(ShownName(name) + ": too large, or one too many");
  return out;
}

std::string Outcome::Why() const {
  const auto megabytes = [](size_t bytes) { return Cat(bytes >> 20, " MiB"); };
  switch (end) {
    case End::kFinished:
      return "";
    case End::kFailed:
      return errors.empty() ? Cat("It ended with exit code ", code, ".") : LastLine(errors);
    case End::kTime:
      return Cat("It took longer than ", limits.seconds, " s.");
    case End::kMemory:
      return Cat("It took more than ", megabytes(limits.memory), " of memory.");
    case End::kThreads:
      return Cat("It started more than ", limits.threads, " threads.");
    case End::kFiles:
      return Cat("It made more than ", limits.inodes, " files.");
    case End::kPrinted:
      return Cat("It printed more than ", megabytes(limits.printed), ".");
    case End::kDied:
      return Cat("It was ended by signal ", code, ".");
    case End::kCancelled:
      return "It was stopped.";
  }
  return "";
}

Result<void> KeepFiles(const std::filesystem::path& folder, const Outcome& outcome) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  const Descriptor root(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return SystemError(errno, folder.string());
  for (const MadeFile& file : outcome.files) {
    if (!IsPlainName(file.name)) return Expected("a plain name", file.name, folder.string());
    if (auto kept = WriteBelow(root.get(), file.name, file.bytes); !kept.ok())
      return kept.error().In(folder.string());
  }
  for (const MadePicture& picture : outcome.pictures) {
    if (auto kept = WriteBelow(root.get(), picture.name, picture.png); !kept.ok())
      return kept.error().In(folder.string());
  }
  return Ok();
}

}  // namespace facet::sandbox
