#include "tune/train/parameters.h"

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
  const OptimizerStep options{.learning_rate = 1e-2, .weight_decay = 0.1};
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

// Muon's directions: rotations of any shape, so that x^T x or x x^T is near the identity.
TEST(Muon, OrthogonalizesEveryShape) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{48, 48}, {96, 40}, {40, 96}}) {
    Buffer one, three;
    const Mat x = one.Resize(rows, cols), y = three.Resize(rows, cols);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c)
        x(r, c) = y(r, c) = 1e-3f * std::sin(static_cast<float>(r * r + 31 * c * c + 7 * r * c));
    }
    ThreadPool pool(1), threads(3);
    Orthogonalize(x, pool);
    Orthogonalize(y, threads);
    const bool tall = rows > cols;
    const int64_t side = std::min(rows, cols), inner = std::max(rows, cols);
    double off = 0;
    for (int64_t a = 0; a < side; ++a) {
      for (int64_t b = 0; b < side; ++b) {
        double dot = 0;
        for (int64_t k = 0; k < inner; ++k)
          dot += tall ? double{x(k, a)} * x(k, b) : double{x(a, k)} * x(b, k);
        if (a == b) {
          EXPECT_GT(dot, 0.4) << rows << " " << a;
          EXPECT_LT(dot, 1.6) << rows << " " << a;
        } else {
          off += dot * dot;
        }
      }
    }
    EXPECT_LT(std::sqrt(off / static_cast<double>(side * side)), 0.1) << rows;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c) ASSERT_EQ(x(r, c), y(r, c));
  }
}

// Hidden matrices move by the learning rate's share of a rotation, everything else as with AdamW.
TEST(Muon, StepsHiddenMatricesAlone) {
  ThreadPool pool(2);
  Parameters muon, adamw;
  const std::vector<float> start(64, 0.5f);
  for (Parameters* parameters : {&muon, &adamw}) {
    parameters->Add("hidden", {8, 8}, Part::kText, start).hidden = true;
    parameters->Add("other", {8, 8}, Part::kText, start);
    parameters->Touch(Part::kText);
    for (Parameter& p : parameters->all()) {
      for (size_t i = 0; i < 64; ++i) p.gradient[i] = i % 9 == 0 ? 2.0f : 0.0f;
    }
    parameters->Step({.learning_rate = 0.1, .muon = parameters == &muon}, pool);
  }
  EXPECT_EQ(muon.all()[1].value, adamw.all()[1].value);
  const Parameter& p = muon.all()[0];
  for (size_t i = 0; i < 64; ++i) {
    const double moved =
        0.1 * 0.2 * std::sqrt(8.0);  // of the identity, within Newton-Schulz's 0.7 to 1.3
    EXPECT_NEAR(p.value[i], i % 9 == 0 ? 0.5 - moved : 0.5, 0.35 * moved) << i;
    EXPECT_EQ(p.gradient[i], 0);
  }
}

}  // namespace
}  // namespace facet::tune
