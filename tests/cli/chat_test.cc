// A chat at a terminal: `facet run` behind a pseudoterminal.
#include <poll.h>
#include <pty.h>
#include <signal.h>

#include <chrono>

#include "support/command.h"
#include "support/paths.h"

namespace facet {
namespace {

class ChatTest : public CommandTest {
 protected:
  ~ChatTest() override {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
      close(terminal_);
    }
  }

  void Start(const std::string& model) {
    child_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    ASSERT_GE(child_, 0);
    if (child_ > 0) return;
    setenv("TERM", "dumb", 1);
    setenv("LC_ALL", "C", 1);
    execl(FacetBinary().c_str(), FacetBinary().c_str(), "run", model.c_str(), nullptr);
    _exit(127);
  }

  void Type(const std::string& text) {
    ASSERT_EQ(write(terminal_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  // Reads until one of the texts has come; which, or -1 after a minute or at the end.
  int Await(const std::vector<std::string>& texts) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    std::string seen;
    while (std::chrono::steady_clock::now() < end) {
      pollfd ready{terminal_, POLLIN, 0};
      if (poll(&ready, 1, 1000) == 0) continue;
      char buffer[1024];
      const ssize_t n = read(terminal_, buffer, sizeof(buffer));
      if (n <= 0) break;
      seen.append(buffer, static_cast<size_t>(n));
      for (size_t i = 0; i < texts.size(); ++i) {
        if (seen.find(texts[i]) != std::string::npos) return static_cast<int>(i);
      }
    }
    ADD_FAILURE() << seen;
    return -1;
  }

 private:
  pid_t child_ = -1;
  int terminal_ = -1;
};

TEST_F(ChatTest, ReadsUtf8WhateverTheLocaleIsCalled) {
  const auto script = folder_.path() / "script.jsonl";
  ASSERT_TRUE(WriteFile(script,
                        "{\"match\": \"Ich bin Zoë, 你好\", \"emit\": \"arrived<turn|>\"}\n"
                        "{\"emit\": \"was lost<turn|>\"}\n")
                  .ok());
  Start("script:" + script.string());
  ASSERT_EQ(Await({">>> "}), 0);
  Type("Ich bin Zoë, 你好\n");
  EXPECT_EQ(Await({"arrived", "was lost"}), 0);
  Type("/exit\n");
}

}  // namespace
}  // namespace facet
