#include "chat/gbnf.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "base/text.h"
#include "base/utf8.h"

namespace facet {
namespace {

constexpr int kMaxNesting = 100;

bool IsNameByte(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
}

// One character of a class as a regular expression writes it, whatever it means there.
std::string ClassCharacter(char32_t c) {
  char text[16];
  std::snprintf(text, sizeof(text), "\\x{%X}", static_cast<unsigned>(c));
  return text;
}

class GbnfReader {
 public:
  explicit GbnfReader(std::string_view text) : text_(text) {}

  Result<std::string> Read() {
    std::string out;
    for (Skip(true); at_ < text_.size(); Skip(true)) {
      FACET_ASSIGN(const std::string rule, ReadRule());
      out += rule + "\n";
    }
    if (!defined_.contains("root")) return Error{"grammar: there is no rule 'root'"};
    for (const auto& [name, _] : names_) {
      if (!defined_.contains(name)) return Error{Cat("grammar: there is no rule '", name, "'")};
    }
    return out;
  }

 private:
  Error Wrong(std::string_view what) const {
    const auto line =
        1 + std::count(text_.begin(), text_.begin() + std::min(at_, text_.size()), '\n');
    return Error{Cat("grammar, line ", line, ": ", what)};
  }
  char Now() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  // White space and comments; line ends only where a rule goes on behind them.
  void Skip(bool newlines) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || c == '\r' || (newlines && c == '\n')) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string ReadName() {
    const size_t from = at_;
    while (IsNameByte(Now())) ++at_;
    return std::string(text_.substr(from, at_ - from));
  }
  // Names of Lark are stricter: rules are numbered.
  std::string LarkName(const std::string& name) {
    if (name == "root") return names_[name] = "start";
    return names_.try_emplace(name, Cat("g", names_.size())).first->second;
  }

  Result<std::string> ReadRule() {
    const std::string name = ReadName();
    if (name.empty()) return Wrong("expected the name of a rule");
    if (!defined_.insert(name).second) return Wrong(Cat("a second rule '", name, "'"));
    const std::string lark = LarkName(name);
    Skip(false);
    if (text_.substr(at_, 3) != "::=") return Wrong("expected '::='");
    at_ += 3;
    Skip(true);
    FACET_ASSIGN(const std::string body, ReadAlternatives(0));
    if (at_ < text_.size() && Now() != '\n') return Wrong("expected the end of the rule");
    return Cat(lark, ": ", body);
  }

  Result<std::string> ReadAlternatives(int depth) {
    if (depth > kMaxNesting) return Wrong("nested too deeply");
    FACET_ASSIGN(std::string out, ReadSequence(depth));
    while (Now() == '|') {
      ++at_;
      Skip(true);
      FACET_ASSIGN(const std::string next, ReadSequence(depth));
      out += Cat(" | ", next);
    }
    return out;
  }

  Result<std::string> ReadSequence(int depth) {
    std::string out;
    for (;;) {
      FACET_ASSIGN(const std::optional<std::string> item, ReadItem(depth));
      if (!item) break;
      FACET_ASSIGN(const std::string count, ReadRepetition());
      out += Cat(out.empty() ? "" : " ", *item, count);
      Skip(depth > 0);
    }
    return out.empty() ? std::string("\"\"") : out;
  }

  // Nothing where the sequence ends.
  Result<std::optional<std::string>> ReadItem(int depth) {
    const char c = Now();
    if (c == '"') {
      FACET_ASSIGN(const std::string text, ReadLiteral());
      return std::optional(text);
    }
    if (c == '[') {
      FACET_ASSIGN(const std::string characters, ReadClass());
      return std::optional(characters);
    }
    if (c == '.') {
      ++at_;
      return std::optional<std::string>("/(?s:.)/");
    }
    if (c == '(') {
      ++at_;
      Skip(true);
      FACET_ASSIGN(const std::string inner, ReadAlternatives(depth + 1));
      if (Now() != ')') return Wrong("expected ')'");
      ++at_;
      return std::optional(Cat("(", inner, ")"));
    }
    if (IsNameByte(c)) return std::optional(LarkName(ReadName()));
    return std::optional<std::string>();
  }

  Result<std::string> ReadRepetition() {
    const char c = Now();
    if (c == '*' || c == '+' || c == '?') {
      ++at_;
      return std::string(1, c);
    }
    if (c != '{') return std::string();
    const size_t end = text_.find('}', at_);
    if (end == text_.npos) return Wrong("expected '}'");
    std::string count;
    for (const char digit : text_.substr(at_, end + 1 - at_)) {
      if (digit == ' ') continue;
      if (!std::isdigit(static_cast<unsigned char>(digit)) &&
          std::string_view("{,}").find(digit) == std::string_view::npos)
        return Wrong("expected {n}, {n,} or {n,m}");
      count += digit;
    }
    at_ = end + 1;
    return count;
  }

  // A character of a literal or a class.
  Result<char32_t> ReadCharacter() {
    if (at_ >= text_.size()) return Wrong("unexpected end");
    if (text_[at_] == '\\') return ReadEscape();
    const Utf8Char c = DecodeUtf8(text_, at_);
    if (c.bytes == 0) return Wrong("expected UTF-8");
    at_ += static_cast<size_t>(c.bytes);
    return c.code;
  }

  Result<char32_t> ReadEscape() {
    ++at_;
    const char c = Now();
    ++at_;
    constexpr std::pair<char, char32_t> kEscapes[] = {{'n', '\n'}, {'r', '\r'}, {'t', '\t'}};
    for (const auto& [name, value] : kEscapes) {
      if (c == name) return value;
    }
    if (std::string_view("\\\"[]-^").find(c) != std::string_view::npos && c != '\0')
      return static_cast<char32_t>(c);
    const int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0 || at_ + digits > text_.size()) return Wrong("unknown escape");
    char32_t value = 0;
    for (int i = 0; i < digits; i += 2) {
      const int byte = HexByte(text_[at_ + i], text_[at_ + i + 1]);
      if (byte < 0) return Wrong("expected hexadecimal digits");
      value = value << 8 | static_cast<char32_t>(byte);
    }
    at_ += digits;
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return Wrong("no character");
    return value;
  }

  Result<std::string> ReadLiteral() {
    ++at_;
    std::string text;
    while (Now() != '"') {
      FACET_ASSIGN(const char32_t c, ReadCharacter());
      AppendUtf8(text, c);
    }
    ++at_;
    return nlohmann::json(text).dump();
  }

  Result<std::string> ReadClass() {
    ++at_;
    std::string out = "/[";
    if (Now() == '^') {
      out += '^';
      ++at_;
    }
    while (Now() != ']') {
      FACET_ASSIGN(const char32_t low, ReadCharacter());
      out += ClassCharacter(low);
      if (Now() != '-' || at_ + 1 >= text_.size() || text_[at_ + 1] == ']') continue;
      ++at_;
      FACET_ASSIGN(const char32_t high, ReadCharacter());
      if (high < low) return Wrong("expected a range that goes up");
      out += Cat("-", ClassCharacter(high));
    }
    ++at_;
    return out + "]/";
  }

  const std::string_view text_;
  size_t at_ = 0;
  std::map<std::string, std::string> names_;  // that occur, to those in Lark
  std::set<std::string> defined_;
};

}  // namespace

bool IsGbnf(std::string_view grammar) {
  return grammar.find("::=") != grammar.npos;
}

Result<std::string> LarkFromGbnf(std::string_view grammar) {
  return GbnfReader(grammar).Read();
}

}  // namespace facet
