// Which program an answer holds. The loop itself is run by tests/cli/python_test.cc.
#include "runtime/python_loop.h"

#include <gtest/gtest.h>

namespace facet {
namespace {

TEST(FencedProgramTest, TakesTheLastWholeBlockOfPython) {
  EXPECT_EQ(FencedProgram("```python\nprint(1)\n```"), "print(1)\n");
  EXPECT_EQ(FencedProgram("a\n```py\nx = 1\n\ny = 2\n```\nb\n``` Python3 \nz\n```\nend"), "z\n");
  EXPECT_EQ(FencedProgram("```js\ncode()\n```\n```python\nprint(1)\n```\n```sh\nls\n```"),
            "print(1)\n");
  EXPECT_EQ(FencedProgram("- item\n  ```python\n  print(1)\n  ```"), "  print(1)\n");
  // A fence inside of a block of another language begins none.
  EXPECT_EQ(FencedProgram("```text\n```python\nprint(1)\n```"), std::nullopt);
  for (const char* none :
       {"", "print(1)", "```\nprint(1)\n```", "```python\nprint(1)", "```python"})
    EXPECT_EQ(FencedProgram(none), std::nullopt) << none;
}

TEST(CalledProgramTest, TakesTheCodeOrTheOnlyText) {
  EXPECT_EQ(CalledProgram("{\"code\": \"print(1)\", \"why\": \"x\"}"), "print(1)");
  EXPECT_EQ(CalledProgram("{\"program\": \"print(1)\"\n}"), "print(1)");
  for (const char* none :
       {"", "{}", "[]", "\"x\"", R"({"code": 1})", R"({"a": "1", "b": "2"})", "{\"code"})
    EXPECT_EQ(CalledProgram(none), std::nullopt) << none;
}

}  // namespace
}  // namespace facet
