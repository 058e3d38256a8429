#include "cli/terminal/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "base/result.h"
#include "base/space.h"
#include "base/visible.h"

namespace facet::cli {
namespace {

constexpr size_t kBarWidth = 24;

}  // namespace

size_t TerminalWidth() {
  struct winsize size {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

std::string Bar(double share) {
  const auto filled = static_cast<size_t>(kBarWidth * std::clamp(share, 0.0, 1.0));
  return "[" + std::string(filled, '#') + std::string(kBarWidth - filled, ' ') + "] ";
}

StatusLine::StatusLine() : terminal_(isatty(STDERR_FILENO) == 1) {}

StatusLine::~StatusLine() {
  Clear();
}

void StatusLine::Draw(std::string_view text) {
  if (!terminal_) return;
  std::fprintf(stderr, "\r%s\033[K", VisibleLine(text).c_str());
  drawn_ = true;
}

void StatusLine::Note(std::string_view text) {
  Clear();
  std::cerr << text << std::endl;
}

void StatusLine::Clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

ProgressBar::ProgressBar(bool quiet) : quiet_(quiet) {}

void ProgressBar::Note(const std::string& text) {
  if (!quiet_) line_.Note(text);
}

std::string ProgressBar::Line(int64_t done, int64_t total, std::string_view what) const {
  std::string right = Cat(total > 0 ? done * 100 / total : 100, " %  ", HumanBytes(done), " of ",
                          HumanBytes(total));
  if (speed_ > 0) {
    right += Cat("  ", HumanBytes(static_cast<int64_t>(speed_)), "/s  ",
                 HumanSeconds(static_cast<int64_t>((total - done) / speed_ + 0.5)), " left");
  }
  if (!line_.terminal()) return Cat(what, "  ", right);
  const std::string bar = Bar(total > 0 ? static_cast<double>(done) / total : 1);
  const size_t width = TerminalWidth() - 1, fixed = bar.size() + right.size() + 1;
  std::string name(what);
  if (fixed + 8 > width) return right.substr(0, width);
  if (name.size() > width - fixed) name = "..." + name.substr(name.size() - (width - fixed) + 3);
  return name + " " + bar + right;
}

void ProgressBar::Update(int64_t done, int64_t total, int64_t fetched, std::string_view what) {
  if (quiet_) return;
  const auto now = Clock::now();
  if (mark_fetched_ < 0) {
    mark_ = now;
    mark_fetched_ = fetched;
  } else if (const double seconds = std::chrono::duration<double>(now - mark_).count();
             seconds >= 0.5) {
    const double speed = (fetched - mark_fetched_) / seconds;
    speed_ = speed_ == 0 ? speed : 0.8 * speed_ + 0.2 * speed;
    mark_ = now;
    mark_fetched_ = fetched;
  }
  if (line_.terminal()) return line_.Draw(Line(done, total, what));
  const int64_t percent = total > 0 ? done * 100 / total : 100;
  if (fetched == 0 || (percent / 10 == printed_percent_ / 10 && printed_percent_ >= 0)) return;
  printed_percent_ = percent;
  line_.Note(Line(done, total, what));
}

bool CanAsk() {
  return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

bool AskYesNo(const std::string& question) {
  std::cerr << question << " [y/N] " << std::flush;
  std::string answer;
  return std::getline(std::cin, answer) && !answer.empty() &&
         (answer[0] == 'y' || answer[0] == 'Y');
}

std::string HumanSeconds(int64_t seconds) {
  char text[32];
  seconds = std::clamp<int64_t>(seconds, 0, 359'999);
  if (seconds >= 3600) {
    std::snprintf(text, sizeof(text), "%d:%02d:%02d", static_cast<int>(seconds / 3600),
                  static_cast<int>(seconds / 60 % 60), static_cast<int>(seconds % 60));
  } else {
    std::snprintf(text, sizeof(text), "%d:%02d", static_cast<int>(seconds / 60),
                  static_cast<int>(seconds % 60));
  }
  return text;
}

}  // namespace facet::cli
