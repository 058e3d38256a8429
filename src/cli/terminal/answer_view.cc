#include "cli/terminal/answer_view.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>

namespace facet::cli {

TerminalView::TerminalView(bool quiet)
    : quiet_(quiet), color_(isatty(STDOUT_FILENO) != 0), start_(Clock::now()) {}

void TerminalView::OnPrompt(int read, int total) {
  const double elapsed = SecondsSince(start_);
  if (read <= 0 || elapsed < 1.0) return;
  const auto left = static_cast<int64_t>(elapsed * (total - read) / read + 0.5);
  progress_.Draw(Cat("reading ", read, " of ", total, " tokens, ", HumanSeconds(left), " left"));
}

void TerminalView::OnReasoning(const std::string& text) {
  progress_.Clear();
  if (quiet_) return;
  if (color_ && !thinking_) std::fputs("\033[2m", stdout);
  thinking_ = true;
  std::cout << text << std::flush;
  if (!text.empty()) last_ = text.back();
}

void TerminalView::OnContent(const std::string& text) {
  progress_.Clear();
  if (quiet_) return;
  if (thinking_) {
    if (color_) std::fputs("\033[0m", stdout);
    if (last_ != '\n') std::fputs("\n", stdout);
    std::fputs("\n", stdout);
  }
  thinking_ = false;
  std::cout << text << std::flush;
  if (!text.empty()) last_ = text.back();
}

void TerminalView::End() {
  progress_.Clear();
  if (quiet_) return;
  if (thinking_ && color_) std::fputs("\033[0m", stdout);
  if (last_ != '\n') std::fputs("\n", stdout);
  std::fflush(stdout);
}

}  // namespace facet::cli
