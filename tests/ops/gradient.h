// Finite differences: what a gradient is compared with.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/matrix.h"

namespace facet {

// sum over elements of weight * y: a loss whose gradient by y is `weight`.
inline double Weighted(ConstMat weight, ConstMat y) {
  double sum = 0;
  for (int64_t r = 0; r < y.rows(); ++r) {
    for (int64_t c = 0; c < y.cols(); ++c) sum += double{weight(r, c)} * y(r, c);
  }
  return sum;
}

// Compares `gradient` with central differences of `loss` by each element of x, which loss reads.
inline void ExpectGradient(const std::function<double()>& loss, Mat x, ConstMat gradient,
                           double tolerance = 2e-3, float step = 2e-3f) {
  double largest = 0, norm = 0, error = 0;
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t c = 0; c < x.cols(); ++c) {
      const float at = x(r, c);
      const float above = at + step, below = at - step;
      x(r, c) = above;
      const double up = loss();
      x(r, c) = below;
      const double down = loss();
      x(r, c) = at;
      const double numeric = (up - down) / (double{above} - below);
      largest = std::max(largest, std::fabs(numeric));
      norm += numeric * numeric;
      error += (numeric - gradient(r, c)) * (numeric - gradient(r, c));
    }
  }
  EXPECT_GT(largest, 0.0);
  EXPECT_LT(std::sqrt(error), tolerance * std::sqrt(norm));
}

}  // namespace facet
