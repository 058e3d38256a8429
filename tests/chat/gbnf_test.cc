#include "chat/gbnf.h"

#include <gtest/gtest.h>

namespace facet {
namespace {

std::string Lark(std::string_view gbnf) {
  const auto lark = LarkFromGbnf(gbnf);
  EXPECT_TRUE(lark.ok()) << lark.error().message;
  return lark.ok() ? *lark : "";
}

std::string Refusal(std::string_view gbnf) {
  const auto lark = LarkFromGbnf(gbnf);
  EXPECT_FALSE(lark.ok()) << gbnf;
  return lark.ok() ? "" : lark.error().message;
}

TEST(Gbnf, RulesBecomeLark) {
  EXPECT_EQ(Lark("root ::= \"yes\" | \"no\" # or not\n"), "start: \"yes\" | \"no\"\n");
  EXPECT_EQ(
      Lark("root ::= item-a+ end{1,3}\n\nitem-a ::= [a-z\\]] ( \".\" |\n  \"-\" )?\nend ::= .\n"),
      "start: g1+ g2{1,3}\n"
      "g1: /[\\x{61}-\\x{7A}\\x{5D}]/ (\".\" | \"-\")?\n"
      "g2: /(?s:.)/\n");
  EXPECT_EQ(Lark("root ::=\n  \"\\x41\\u00e9\\n\\\"\" [^\\x00-\\x1F\"]*"),
            "start: \"A\xc3\xa9\\n\\\"\" /[^\\x{0}-\\x{1F}\\x{22}]/*\n");
  EXPECT_EQ(Lark("root ::= \"a\" |"), "start: \"a\" | \"\"\n");
}

TEST(Gbnf, ErrorsNameTheLine) {
  EXPECT_EQ(Refusal("a ::= \"x\""), "grammar: there is no rule 'root'");
  EXPECT_EQ(Refusal("root ::= b"), "grammar: there is no rule 'b'");
  EXPECT_EQ(Refusal("root ::= \"x\"\nroot ::= \"y\""), "grammar, line 2: a second rule 'root'");
  EXPECT_EQ(Refusal("root ::= (\"x\""), "grammar, line 1: expected ')'");
  EXPECT_EQ(Refusal("root ::= \"x"), "grammar, line 1: unexpected end");
  EXPECT_EQ(Refusal("root ::= [z-a]"), "grammar, line 1: expected a range that goes up");
  EXPECT_EQ(Refusal("root ::= \"\\q\""), "grammar, line 1: unknown escape");
  EXPECT_FALSE(LarkFromGbnf("root ::= " + std::string(5000, '(')).ok());
}

}  // namespace
}  // namespace facet
