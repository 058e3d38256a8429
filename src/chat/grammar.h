// Grammars, in llguidance's Lark syntax, of answers that must have a form: a JSON schema, a text of
// a grammar of the client's own, or tool calls in Gemma 4's notation with arguments that fit the
// tools' schemas.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace facet {

struct AnswerForm {
  // How the answer may begin: without thoughts, with a thinking channel of its own, or inside one
  // that the prompt opened.
  enum class Thinking { kNone, kMay, kOpen } thinking = Thinking::kNone;

  // JSON that fits this schema, members in its order; null: not asked for.
  nlohmann::ordered_json schema;

  // Or a text of this form: what a regular expression matches whole, or a grammar with a rule
  // `start` (Lark) or `root` (GBNF).
  struct Pattern {
    enum class Kind { kRegex, kGrammar } kind = Kind::kRegex;
    std::string text;
  };
  std::optional<Pattern> pattern = std::nullopt;
  // Or one of these texts; empty: not asked for.
  std::vector<std::string> choices = {};

  // Tools in the chat API's shape; null: not asked for.
  nlohmann::ordered_json tools;
  enum class Calls { kMay, kMust } calls = Calls::kMay;  // kMay: text and calls in any order
  std::optional<std::string> only;                       // this tool
  bool parallel = true;                                  // false: one call at most
  std::map<std::string, Pattern> inputs = {};  // of the string `input` of the tools of these names

  bool text_has_form() const { return !schema.is_null() || pattern || !choices.empty(); }
};

// Errors name the keyword that cannot be enforced and its place. Arguments of tools that are
// not strict are held to the schema where it can be expressed, else to the notation.
Result<std::string> AnswerGrammar(const AnswerForm& form, const Tokenizer& tokenizer);

}  // namespace facet
