// ASCII text: what headers, file names and formats need, independent of the locale.
#pragma once

#include <string>
#include <string_view>

namespace facet {

constexpr char ToLower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

inline std::string ToLower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = ToLower(c);
  return out;
}

// Without the characters of `blanks` at both ends.
constexpr std::string_view Trim(std::string_view text, std::string_view blanks = " \t\r\n\f\v") {
  const size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

// The value of a hexadecimal digit, or -1.
constexpr int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The byte of two hexadecimal digits, or -1.
constexpr int HexByte(char high, char low) {
  const int h = HexDigit(high), l = HexDigit(low);
  return h < 0 || l < 0 ? -1 : h << 4 | l;
}

}  // namespace facet
