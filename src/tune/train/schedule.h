// How the learning rate changes over a run: the curves of transformers.optimization.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace facet::tune {

enum class Curve { kConstant, kLinear, kCosine };

// "constant", "linear" or "cosine".
Result<Curve> ParseCurve(std::string_view name);

struct Schedule {
  Curve curve = Curve::kCosine;
  double learning_rate = 0;
  int64_t warmup = 0, steps = 0;  // warm-up steps are the first of `steps`

  // Of the optimiser step that has `step` others before it.
  double At(int64_t step) const;
};

// Warm-up steps: a share of the run below 1 (rounded up, as warmup_ratio), else a number of steps.
int64_t WarmupSteps(double warmup, int64_t steps);

}  // namespace facet::tune
