#include "eval/text.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/text.h"

namespace facet::eval {
namespace {

bool IsSpace(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
// Bytes of a character beyond ASCII count as letters.
bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}

const std::map<std::string, std::string, std::less<>>& NumberWords() {
  static const std::map<std::string, std::string, std::less<>> kWords = {
      {"zero", "0"},     {"one", "1"},        {"two", "2"},       {"three", "3"},
      {"four", "4"},     {"five", "5"},       {"six", "6"},       {"seven", "7"},
      {"eight", "8"},    {"nine", "9"},       {"ten", "10"},      {"eleven", "11"},
      {"twelve", "12"},  {"thirteen", "13"},  {"fourteen", "14"}, {"fifteen", "15"},
      {"sixteen", "16"}, {"seventeen", "17"}, {"eighteen", "18"}, {"nineteen", "19"},
      {"twenty", "20"},  {"thirty", "30"},    {"forty", "40"},    {"fifty", "50"},
      {"sixty", "60"},   {"seventy", "70"},   {"eighty", "80"},   {"ninety", "90"}};
  return kWords;
}

// A sign that belongs to the number around it.
bool JoinsDigits(std::string_view text, size_t at) {
  const bool inside = at > 0 && at + 1 < text.size() && IsDigit(text[at - 1]);
  if (text[at] == '-') return at + 1 < text.size() && IsDigit(text[at + 1]) && !inside;
  return (text[at] == ':' || text[at] == '.') && inside && IsDigit(text[at + 1]);
}

template <typename T>
int Distance(const std::vector<T>& a, const std::vector<T>& b) {
  std::vector<int> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

// A piece for each character: the bytes from one that begins a character to the next.
std::vector<std::string> Characters(std::string_view text) {
  std::vector<std::string> out;
  for (const char c : text) {
    const bool continues = (static_cast<unsigned char>(c) & 0xC0) == 0x80;
    if (continues && !out.empty()) {
      out.back() += c;
    } else {
      out.push_back(std::string(1, c));
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end = [&] {
    if (word.empty()) return;
    const auto number = NumberWords().find(word);
    words.push_back(number == NumberWords().end() ? word : number->second);
    word.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (IsLetter(c) || IsDigit(c) || JoinsDigits(text, i)) {
      word += ToLower(c);
    } else if (c != '\'') {  // "don't" is one word
      end();
    }
  }
  end();
  return words;
}

std::vector<std::string> KeyWords(std::string_view text) {
  std::vector<std::string> words = Words(text);
  std::erase_if(words, [](const std::string& w) { return w == "a" || w == "an" || w == "the"; });
  return words;
}

std::string OneSpace(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (!IsSpace(c)) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

int WordDistance(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return Distance(a, b);
}

int LetterDistance(std::string_view a, std::string_view b) {
  return Distance(Characters(a), Characters(b));
}

int LetterCount(std::string_view text) {
  return static_cast<int>(Characters(text).size());
}

std::string ProgramOf(std::string_view answer) {
  constexpr std::string_view kFence = "```";
  const size_t open = answer.find(kFence);
  if (open == answer.npos) return std::string(answer);
  const size_t line = answer.find('\n', open);
  if (line == answer.npos) return "";
  const size_t close = answer.find(kFence, line);
  return std::string(answer.substr(line + 1, close == answer.npos ? close : close - line - 1));
}

}  // namespace facet::eval
