// Learning rates against the formulas of transformers.optimization (get_scheduler).
#include "tune/train/schedule.h"

#include <gtest/gtest.h>

namespace facet::tune {
namespace {

struct Case {
  Curve curve;
  int64_t warmup, steps;
  std::vector<double> rates;  // of steps 0, 1, 2, ... at learning rate 1
};

TEST(Schedule, FollowsTransformers) {
  const Case cases[] = {
      {Curve::kLinear, 2, 6, {0, 0.5, 1, 0.75, 0.5, 0.25, 0}},
      {Curve::kLinear, 0, 4, {1, 0.75, 0.5, 0.25, 0}},
      {Curve::kCosine, 2, 6, {0, 0.5, 1, 0.8535533905932737, 0.5, 0.14644660940672627, 0}},
      {Curve::kConstant, 3, 6, {0, 1.0 / 3, 2.0 / 3, 1, 1, 1, 1}},
      {Curve::kConstant, 0, 2, {1, 1, 1}},
  };
  for (const Case& c : cases) {
    const Schedule schedule{c.curve, 1, c.warmup, c.steps};
    for (size_t step = 0; step < c.rates.size(); ++step)
      EXPECT_NEAR(schedule.At(static_cast<int64_t>(step)), c.rates[step], 1e-15) << step;
  }
  EXPECT_DOUBLE_EQ((Schedule{Curve::kLinear, 2e-4, 2, 6}.At(3)), 1.5e-4);
}

TEST(Schedule, WarmupIsAShareOrANumberOfSteps) {
  EXPECT_EQ(WarmupSteps(0, 100), 0);
  EXPECT_EQ(WarmupSteps(0.03, 101), 4);  // rounded up, as warmup_ratio
  EXPECT_EQ(WarmupSteps(10, 100), 10);
}

TEST(Schedule, KnowsItsCurves) {
  EXPECT_EQ(*ParseCurve("cosine"), Curve::kCosine);
  EXPECT_EQ(ParseCurve("cubic").error().message,
            "expected constant, linear or cosine but got cubic (schedule)");
}

}  // namespace
}  // namespace facet::tune
