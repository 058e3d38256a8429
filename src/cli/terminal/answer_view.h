// What a terminal shows of an answer while it is made.
#pragma once

#include <string>

#include "base/clock.h"
#include "cli/terminal/progress.h"
#include "runtime/conversation.h"

namespace facet::cli {

// Progress of a long prompt, thoughts dimmed, text as it comes.
class TerminalView : public ReplyView {
 public:
  // `quiet`: only the progress.
  explicit TerminalView(bool quiet = false);
  void OnPrompt(int read, int total) override;
  void OnReasoning(const std::string& text) override;
  void OnContent(const std::string& text) override;
  // The answer is over: ends its line.
  void End();

 private:
  bool quiet_, color_, thinking_ = false;
  StatusLine progress_;
  Clock::time_point start_;
  char last_ = '\n';
};

}  // namespace facet::cli
