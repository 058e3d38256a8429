#include "hub/names.h"

#include <algorithm>

namespace facet {
namespace {

constexpr size_t kMaxRepoId = 96, kMaxPath = 1024, kMaxComponent = 255, kMaxName = 96;

bool IsLowerHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool IsNameChar(char c) {
  return IsAlphanumeric(c) || c == '.' || c == '_' || c == '-';
}

// What a message may show of text that a server sent.
std::string Shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 120)) {
    out += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  }
  if (text.size() > 120) out += "...";
  return out;
}

Error Refused(std::string_view what, std::string_view text, std::string_view why) {
  return {Cat(what, ": '", Shown(text), "' ", why), ErrorKind::kInvalid};
}

}  // namespace

Result<Digest> Digest::Parse(std::string_view text, std::string_view what) {
  if ((text.size() != 40 && text.size() != 64) || !IsLowerHex(text)) {
    return Refused(what, text,
                   Cat("is no digest: expected 40 or 64 lower-case hexadecimal digits but got ",
                       text.size(), " characters"));
  }
  return Digest(std::string(text));
}

Result<PathUnder> PathUnder::Parse(std::string_view text, std::string_view what) {
  if (text.empty()) return Refused(what, text, "is empty");
  if (text.size() > kMaxPath) return Refused(what, text, "is too long");
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 32 || c == 127 || c == '\\') {
      return Refused(what, text, "contains a backslash or a control character");
    }
  }
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('/', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") {
      return Refused(what, text, "is not a plain relative path: it could lead out of its folder");
    }
    if (part.size() > kMaxComponent) return Refused(what, text, "is too long");
    begin = end + 1;
  }
  return PathUnder(std::string(text));
}

std::string_view PathUnder::name() const {
  const size_t slash = text_.rfind('/');
  return std::string_view(text_).substr(slash == std::string::npos ? 0 : slash + 1);
}

int PathUnder::depth() const {
  return static_cast<int>(std::count(text_.begin(), text_.end(), '/'));
}

Result<RepoId> RepoId::Parse(std::string_view text) {
  const auto refuse = [&](std::string_view why) { return Refused("repository", text, why); };
  if (text.empty() || text.size() > kMaxRepoId) return refuse("must have 1 to 96 characters");
  if (std::count(text.begin(), text.end(), '/') > 1) return refuse("must be NAME or OWNER/NAME");
  if (text.find("--") != text.npos || text.find("..") != text.npos) {
    return refuse("must not contain '--' or '..'");
  }
  if (text.ends_with(".git")) return refuse("must not end in '.git'");
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('/', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    const auto edge = [](char c) { return IsAlphanumeric(c) || c == '_'; };
    if (part.empty() || !std::all_of(part.begin(), part.end(), IsNameChar) || !edge(part.front()) ||
        !edge(part.back())) {
      return refuse("may have letters, digits, '-', '_' and '.', not at the edges");
    }
    begin = end + 1;
  }
  return RepoId(std::string(text));
}

std::string RepoId::folder() const {
  std::string out = "models--" + text_;
  if (const size_t slash = out.find('/'); slash != out.npos) out.replace(slash, 1, "--");
  return out;
}

Result<void> CheckModelName(std::string_view name) {
  if (name.empty() || name.size() > kMaxName || !IsAlphanumeric(name.front()) ||
      !std::all_of(name.begin(), name.end(), IsNameChar)) {
    return Refused(
        "model name", name,
        "must have 1 to 96 letters, digits, '.', '_' or '-', the first a letter or digit");
  }
  return Ok();
}

bool IsCommit(std::string_view text) {
  return text.size() == 40 && IsLowerHex(text);
}

}  // namespace facet
