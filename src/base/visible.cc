#include "base/visible.h"

#include <algorithm>

#include "base/utf8.h"

namespace facet {
namespace {

constexpr char kHex[] = "0123456789ABCDEF";

bool IsControl(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0);
}

// Marks that turn or isolate what follows them; those that only say which way a single place reads
// are left alone.
bool TurnsText(char32_t code) {
  return (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) ||
         code == 0x2028 || code == 0x2029;
}

void AppendByte(std::string& out, unsigned char byte) {
  out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
}

void AppendCode(std::string& out, char32_t code) {
  if (code < 0x80) return AppendByte(out, static_cast<unsigned char>(code));
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[code >> shift & 15];
}

std::string Shown(std::string_view text, bool one_line) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char next = DecodeUtf8(text, at);
    if (next.bytes == 0) {
      AppendByte(out, static_cast<unsigned char>(text[at++]));
      continue;
    }
    if (next.code == '\n' && one_line) {
      out += "\\n";
    } else if (next.code == '\n' || next.code == '\t' ||
               (!IsControl(next.code) && !TurnsText(next.code))) {
      out += text.substr(at, next.bytes);
    } else {
      AppendCode(out, next.code);
    }
    at += next.bytes;
  }
  return out;
}

}  // namespace

std::string Visible(std::string_view text) {
  return Shown(text, false);
}

std::string VisibleLine(std::string_view text) {
  return Shown(text, true);
}

size_t IncompleteBytes(std::string_view text) {
  const size_t most = std::min<size_t>(3, text.size());
  for (size_t tail = 1; tail <= most; ++tail) {
    const auto byte = static_cast<unsigned char>(text[text.size() - tail]);
    if ((byte & 0xC0) == 0x80) continue;
    const size_t whole = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return whole > tail ? tail : 0;
  }
  return 0;
}

}  // namespace facet
