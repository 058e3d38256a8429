#include "cli/terminal/typed_path.h"

#include <pwd.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;

// The home folder of a user; of this one for an empty name. Empty where there is none.
std::string HomeOf(const std::string& user) {
  const char* home = std::getenv("HOME");
  if (user.empty() && home != nullptr && *home != 0) return home;
  const passwd* entry = user.empty() ? nullptr : getpwnam(user.c_str());
  return entry == nullptr ? "" : entry->pw_dir;
}

// Only where the tilde was typed bare.
std::string WithHome(std::string path) {
  if (!path.starts_with('~')) return path;
  const size_t slash = std::min(path.find('/'), path.size());
  const std::string home = HomeOf(path.substr(1, slash - 1));
  return home.empty() ? path : home + path.substr(slash);
}

std::string Unquoted(std::string_view text) {
  std::string out;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      out += text[++i];
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      out += c;
    }
  }
  return out;
}

// file:///home/me/a%20b.png, as dropped from a file manager.
std::string OfAddress(std::string_view address) {
  std::string out;
  for (size_t i = 0; i < address.size(); ++i) {
    const int byte =
        address[i] == '%' && i + 2 < address.size() ? HexByte(address[i + 1], address[i + 2]) : -1;
    out += byte > 0 ? static_cast<char>(byte) : address[i];
    if (byte > 0) i += 2;
  }
  return out;
}

bool Exists(const fs::path& path) {
  std::error_code code;
  return fs::exists(path, code);
}

}  // namespace

fs::path TypedPath(std::string_view typed) {
  constexpr std::string_view kScheme = "file://";
  typed = Trim(typed);
  if (typed.empty() || Exists(typed)) return typed;
  if (typed.starts_with(kScheme)) return OfAddress(typed.substr(kScheme.size()));
  const bool quoted = typed.front() == '"' || typed.front() == '\'';
  const std::string plain = quoted ? std::string(typed) : WithHome(std::string(typed));
  if (Exists(plain)) return plain;
  return Unquoted(plain);
}

std::vector<std::string> CompletePath(std::string_view typed) {
  const size_t slash = typed.rfind('/');
  const std::string head(slash == typed.npos ? "" : typed.substr(0, slash + 1));
  const std::string_view begun = typed.substr(head.size());
  const bool quoted = typed.starts_with('"') || typed.starts_with('\'');
  const fs::path folder = head.empty() ? fs::path(".") : TypedPath(head);
  const std::string begin = Unquoted(begun);
  std::vector<std::string> out;
  std::error_code code;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(begin) || (name.starts_with('.') && begin.empty())) continue;
    std::string shown;
    for (const char c : name) {
      if (!quoted && (c == '\\' || c == '"' || c == '\'')) shown += '\\';
      shown += c;
    }
    std::error_code ignored;
    out.push_back(head + shown + (it->is_directory(ignored) ? "/" : ""));
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace facet::cli
