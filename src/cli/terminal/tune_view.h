// The progress of a training run: a bar on a terminal, a line every few seconds elsewhere.
#pragma once

#include <string>

#include "base/clock.h"
#include "cli/terminal/progress.h"
#include "tune/run/run.h"

namespace facet::cli {

// On stderr; stdout belongs to results.
class TuneView : public tune::RunView {
 public:
  explicit TuneView(bool quiet);

  void OnStart(int64_t step, int64_t steps) override;
  void OnStep(const tune::StepReport& report) override;
  void OnEval(int64_t step, double loss, bool best) override;
  void OnWarning(const std::string& text) override;
  // Takes the bar away.
  void Clear() { line_.Clear(); }

 private:
  void Note(const std::string& text);
  std::string Line(const tune::StepReport& report) const;

  bool quiet_;
  StatusLine line_;
  double loss_ = 0, weight_ = 0;                // smoothed
  double tokens_per_second_ = 0, seconds_ = 0;  // smoothed; seconds of a step
  Clock::time_point printed_{};
};

}  // namespace facet::cli
