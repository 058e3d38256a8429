// Marks untrusted characters (from users, tools and files) before a template renders them, and
// finds them again after: special tokens must not be parsed where they touch one.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace facet {

// Which characters of an untrusted string could become part of a special token in a prompt.
class SpecialTokenGuard {
 public:
  // `source` is the template: a token that its literals could begin and an untrusted string
  // complete needs guarding too.
  SpecialTokenGuard(const std::vector<std::string>& special_tokens, std::string_view source);

  // True where a special token could begin with this byte.
  bool Begins(char byte) const { return first_bytes_[static_cast<unsigned char>(byte)]; }
  // True where the string could complete a token that the template begins.
  bool Completes(std::string_view text) const;

 private:
  bool first_bytes_[256] = {};
  std::vector<std::string> tails_;
};

// Characters that occur nowhere in the inputs of a rendering.
struct Marks {
  std::string after;   // the character before it is untrusted
  std::string before;  // the character after it is untrusted
  std::string medium;  // a picture, a sound or a film belongs behind this result

  // Chosen from noncharacters and private-use characters. An error where `context` and `source` use
  // all of them.
  static Result<Marks> Choose(std::string_view context, std::string_view source);
};

// Marks every string and every key below `value`. Errors: nested too deeply.
Result<void> MarkStrings(const SpecialTokenGuard& guard, const Marks& marks,
                         nlohmann::ordered_json& value);

// Marks what an assistant said. `<|channel>` and `<channel|>` stay in one piece, because templates
// cut at them.
std::string MarkAssistantText(const SpecialTokenGuard& guard, const Marks& marks,
                              std::string_view text);

// Takes the marks out of rendered text; `plain` gets the untrusted characters that they marked.
std::string TakeMarks(const Marks& marks, std::string_view text, std::vector<TextSpan>& plain);

}  // namespace facet
