// Progress of long work at a terminal. On stderr; stdout belongs to results.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace facet::cli {

// A line of a terminal that is redrawn in place. Where stderr is no terminal, only Note writes.
class StatusLine {
 public:
  StatusLine();
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  bool terminal() const { return terminal_; }
  void Draw(std::string_view text);
  // A permanent line above the one that is redrawn.
  void Note(std::string_view text);
  // Removes the line.
  void Clear();

 private:
  bool terminal_, drawn_ = false;
};

// A progress bar on a terminal, a line now and then elsewhere.
class ProgressBar {
 public:
  // `quiet` prints nothing at all.
  explicit ProgressBar(bool quiet);

  // `fetched` counts the bytes that took time, not those found in a cache: speed and remaining time
  // follow from it.
  void Update(int64_t done, int64_t total, int64_t fetched, std::string_view what);
  // A line of its own, above the bar.
  void Note(const std::string& text);
  // Removes the bar.
  void Clear() { line_.Clear(); }

 private:
  std::string Line(int64_t done, int64_t total, std::string_view what) const;

  bool quiet_;
  StatusLine line_;
  int64_t printed_percent_ = -1;
  Clock::time_point mark_;  // when the speed was last measured
  int64_t mark_fetched_ = -1;
  double speed_ = 0;  // bytes a second, smoothed
};

// Columns of the terminal at stderr; 80 where it does not say.
size_t TerminalWidth();
// "[######            ] ", filled to `share` of 1.
std::string Bar(double share);

// True where a question can be asked and answered: stdin and stderr are a terminal.
bool CanAsk();
// Asks and waits; yes only for an answer that begins with y.
bool AskYesNo(const std::string& question);

// "1:05" or "2:03:10".
std::string HumanSeconds(int64_t seconds);

}  // namespace facet::cli
