#include "cli/terminal/tune_view.h"

#include <cstdio>

namespace facet::cli {
namespace {

constexpr double kPast = 0.9;           // of the smoothed numbers
constexpr double kSecondsBetween = 10;  // lines, where there is no terminal

std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

}  // namespace

TuneView::TuneView(bool quiet) : quiet_(quiet) {}

void TuneView::Note(const std::string& text) {
  if (!quiet_) line_.Note(text);
}

void TuneView::OnStart(int64_t step, int64_t steps) {
  if (step > 0) Note(Cat("going on after step ", step, " of ", steps));
}

std::string TuneView::Line(const tune::StepReport& report) const {
  const double left = seconds_ * static_cast<double>(report.steps - report.step);
  return Cat("loss ", Format("%.4f", loss_ / weight_), "  lr ",
             Format("%.2e", report.learning_rate), "  ", Format("%.0f", tokens_per_second_),
             " tok/s  ", HumanSeconds(static_cast<int64_t>(left + 0.5)), " left");
}

void TuneView::OnStep(const tune::StepReport& report) {
  const double speed = static_cast<double>(report.tokens) / report.seconds;
  const bool first = weight_ == 0;
  loss_ = kPast * loss_ + (1 - kPast) * report.loss;
  weight_ = kPast * weight_ + (1 - kPast);
  tokens_per_second_ = first ? speed : kPast * tokens_per_second_ + (1 - kPast) * speed;
  seconds_ = first ? report.seconds : kPast * seconds_ + (1 - kPast) * report.seconds;
  if (quiet_) return;
  const std::string step = Cat("step ", report.step, "/", report.steps, " ");
  if (line_.terminal()) {
    const double share = static_cast<double>(report.step) / static_cast<double>(report.steps);
    const size_t room = TerminalWidth() - 1;
    std::string line = step + Bar(share) + Line(report);
    if (line.size() > room) line = step + " " + Line(report);
    return line_.Draw(line.substr(0, room));
  }
  const bool due = SecondsSince(printed_) >= kSecondsBetween;
  if (!first && !due && report.step != report.steps) return;
  printed_ = Clock::now();
  line_.Note(step + " " + Line(report));
}

void TuneView::OnEval(int64_t step, double loss, bool best) {
  Note(Cat("step ", step, ": validation loss ", Format("%.4f", loss),
           best ? ", the best so far" : ""));
}

void TuneView::OnWarning(const std::string& text) {
  Note("warning: " + text);
}

}  // namespace facet::cli
