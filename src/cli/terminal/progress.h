// What a terminal shows of work that goes on. On stderr; stdout belongs to results.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace facet::cli {

// A line of a terminal that is drawn over and over. Where stderr is no terminal, only Note writes.
class StatusLine {
 public:
  StatusLine();
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  bool terminal() const { return terminal_; }
  void Draw(std::string_view text);
  // A line that stays, above the one that is drawn.
  void Note(std::string_view text);
  // Takes the line away.
  void Clear();

 private:
  bool terminal_, drawn_ = false;
};

// A progress bar on a terminal, a line now and then elsewhere.
class ProgressBar {
 public:
  // `quiet` prints nothing at all.
  explicit ProgressBar(bool quiet);

  // `fetched` counts what took time: the speed and the time left come from it.
  void Update(int64_t done, int64_t total, int64_t fetched, std::string_view what);
  // A line of its own, above the bar.
  void Note(const std::string& text);
  // Takes the bar away.
  void Clear() { line_.Clear(); }

 private:
  using Clock = std::chrono::steady_clock;
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
