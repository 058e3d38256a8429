#include "tune/parameters.h"

#include <gtest/gtest.h>

#include <cmath>

namespace facet::tune {
namespace {

// torch.optim.AdamW's formula in double, over several steps, for large and tiny gradients.
TEST(AdamW, IsTheFormula) {
  ThreadPool pool(2);
  Parameters parameters;
  std::vector<float> start(40000);
  for (size_t i = 0; i < start.size(); ++i) start[i] = std::sin(static_cast<float>(i));
  Parameter& p = parameters.Add("w", {200, 200}, Part::kText, start);
  const AdamW options{.learning_rate = 1e-2, .weight_decay = 0.1};
  std::vector<double> w(start.begin(), start.end()), m(w.size()), v(w.size());
  for (int step = 1; step <= 4; ++step) {
    parameters.Touch(Part::kText);
    for (size_t i = 0; i < w.size(); ++i) {
      const double g =
          std::cos(static_cast<double>(i * step)) * std::pow(10.0, -static_cast<double>(i % 10));
      p.gradient[i] = static_cast<float>(g);
      const double exact = p.gradient[i];
      m[i] = 0.9 * m[i] + 0.1 * exact;
      v[i] = 0.999 * v[i] + 0.001 * exact * exact;
      const double size = std::sqrt(v[i]) / std::sqrt(1 - std::pow(0.999, step)) + 1e-8;
      w[i] = w[i] * (1 - 1e-2 * 0.1) - 1e-2 / (1 - std::pow(0.9, step)) * m[i] / size;
    }
    parameters.Step(options, pool);
    for (size_t i = 0; i < w.size(); ++i) ASSERT_NEAR(p.value[i], w[i], 2e-6) << i;
  }
  EXPECT_EQ(p.steps, 4);
}

TEST(AdamW, LeavesWhatHasNoGradient) {
  ThreadPool pool(1);
  Parameters parameters;
  Parameter& seen = parameters.Add("text", {2}, Part::kText, {1, 2});
  Parameter& unseen = parameters.Add("sound", {2}, Part::kAudio, {1, 2});
  parameters.Touch(Part::kText);
  seen.gradient = {3, 4};
  EXPECT_DOUBLE_EQ(parameters.GradientNorm(pool), 5);
  parameters.Step({.learning_rate = 0.1, .weight_decay = 0.5}, pool);
  EXPECT_NEAR(seen.value[0], 1 - 0.05 - 0.1, 1e-6);
  EXPECT_EQ(unseen.value, (std::vector<float>{1, 2}));
  EXPECT_EQ(unseen.steps, 0);
  EXPECT_EQ(seen.gradient, (std::vector<float>{0, 0}));
}

}  // namespace
}  // namespace facet::tune
