// A chat at a terminal: what is shown of an answer, and the loop of questions and answers.
#pragma once

#include <string>

#include "base/clock.h"
#include "cli/terminal/progress.h"
#include "runtime/conversation.h"

namespace facet::cli {

// Shows an answer while it is made: progress of a long prompt, thoughts dimmed, text as it comes.
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

struct ChatOptions {
  std::string system;
  nlohmann::json media;  // parts before the first question
  ReplyOptions reply;
  bool stats = false;
};

// Reads questions until /exit or the end of input. Ctrl-C stops an answer, not the program.
Result<void> ChatAtTerminal(const LoadedModel& model, const ChatOptions& options);

}  // namespace facet::cli
