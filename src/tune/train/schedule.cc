#include "tune/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace facet::tune {

Result<Curve> ParseCurve(std::string_view name) {
  if (name == "constant") return Curve::kConstant;
  if (name == "linear") return Curve::kLinear;
  if (name == "cosine") return Curve::kCosine;
  return Expected("constant, linear or cosine", name, "schedule");
}

double Schedule::At(int64_t step) const {
  const auto ratio = [](int64_t part, int64_t whole) {
    return static_cast<double>(part) / static_cast<double>(std::max<int64_t>(1, whole));
  };
  if (step < warmup) return learning_rate * ratio(step, warmup);
  switch (curve) {
    case Curve::kConstant:
      return learning_rate;
    case Curve::kLinear:
      return learning_rate * std::max(0.0, ratio(steps - step, steps - warmup));
    case Curve::kCosine: {
      const double done = ratio(step - warmup, steps - warmup);
      return learning_rate * std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * done)));
    }
  }
  return learning_rate;
}

int64_t WarmupSteps(double warmup, int64_t steps) {
  if (warmup < 1) return static_cast<int64_t>(std::ceil(warmup * static_cast<double>(steps)));
  return static_cast<int64_t>(warmup);
}

}  // namespace facet::tune
