#include "runtime/repetition.h"

#include <gtest/gtest.h>

#include "base/result.h"

namespace facet {
namespace {

// Whether a text, in pieces as tokens bring them, is taken for a circle; after how many bytes.
size_t StoppedAfter(const std::string& text, size_t piece) {
  RepetitionWatch watch;
  for (size_t at = 0; at < text.size(); at += piece) {
    if (watch.Add(text.substr(at, piece))) return at;
  }
  return std::string::npos;
}

std::string Times(const std::string& text, size_t bytes) {
  std::string out;
  while (out.size() < bytes) out += text;
  return out;
}

TEST(Repetition, IsSeenWhateverItsLength) {
  const std::string before = "Here is what I know about it. ";
  std::string paragraph;
  for (int i = 0; i < 40; ++i) paragraph += Cat("Sentence ", i * i, " says more. ");
  for (const std::string& circle :
       {std::string("says "), std::string("\n"), std::string("哈哈"),
        std::string("I do not know what you mean by that word. "), paragraph.substr(0, 500)}) {
    for (const size_t piece : {1, 3, 17}) {
      EXPECT_LT(StoppedAfter(before + Times(circle, 9000), piece), 8000u) << circle;
    }
  }
}

TEST(Repetition, IsNotWhatPeopleAskFor) {
  std::string table = "| n | square |\n|---|---|\n", code, count;
  for (int i = 0; i < 400; ++i) {
    table += Cat("| ", i, " | ", i * i, " |\n");
    code += Cat("    case ", i, ": return \"", i % 7, "\";\n");
    count += Cat(i, ", ");
  }
  for (const std::string& text :
       {table, code, count, Times("ha", 200), Times("-", 1000), Times("0, ", 900)})
    EXPECT_EQ(StoppedAfter(text, 3), std::string::npos) << text.substr(0, 40);
}

}  // namespace
}  // namespace facet
