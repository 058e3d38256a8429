#include "base/visible.h"

#include <gtest/gtest.h>

namespace facet {
namespace {

TEST(Visible, ShowsWhatATerminalWouldObey) {
  EXPECT_EQ(Visible("a\x1b[31mb"), "a\\x1B[31mb");
  EXPECT_EQ(Visible("\x1b]52;c;aGk=\x07"), "\\x1B]52;c;aGk=\\x07");
  EXPECT_EQ(Visible("over\rwritten\b\x7f"), "over\\x0Dwritten\\x08\\x7F");
  EXPECT_EQ(Visible(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(Visible("\xc2\x9b"
                    "31m"),
            "\\u009B31m");  // CSI of one character
  EXPECT_EQ(Visible("\x9b"
                    "31m"),
            "\\x9B31m");  // and of one byte
  EXPECT_EQ(Visible("\u202Eevil\u2066"), "\\u202Eevil\\u2066");
  EXPECT_EQ(Visible("\xff\xc3"), "\\xFF\\xC3");
}

TEST(Visible, LeavesTextAsItIs) {
  const std::string text = "Grüße,\tשלום\n\U0001F600 \u200F e\u0301 \u200D";
  EXPECT_EQ(Visible(text), text);
  EXPECT_EQ(VisibleLine("one\ntwo"), "one\\ntwo");
}

TEST(Visible, KnowsCharactersThatAreNotComplete) {
  for (const std::string character : {"é", "€", "\U0001F600"}) {
    for (size_t cut = 1; cut < character.size(); ++cut)
      EXPECT_EQ(IncompleteBytes("x" + character.substr(0, cut)), cut);
    EXPECT_EQ(IncompleteBytes(character), 0u);
  }
  EXPECT_EQ(IncompleteBytes(""), 0u);
  EXPECT_EQ(IncompleteBytes("\x80\x80\x80\x80"), 0u);
}

}  // namespace
}  // namespace facet
