#include "tune/train/parameters.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/math.h"
#include "ops/gemm/gemm.h"

namespace facet::tune {
namespace {

// Elements that one thread takes at a time; sums run over these stretches in order.
constexpr int64_t kStretch = 1 << 14;

template <typename F>
void ForStretches(const Parameter& p, ThreadPool& pool, const F& part) {
  const int64_t n = static_cast<int64_t>(p.value.size());
  pool.ParallelFor(DivideUp(n, kStretch),
                   [&](int64_t i) { part(i * kStretch, std::min(n, (i + 1) * kStretch)); });
}

}  // namespace

Parameter& Parameters::Add(std::string name, std::vector<int64_t> shape, Part part,
                           std::vector<float> value) {
  Parameter& p = all_.emplace_back();
  p.name = std::move(name);
  p.shape = std::move(shape);
  p.part = part;
  p.value = std::move(value);
  p.gradient.resize(p.value.size());
  p.mean.resize(p.value.size());
  p.square.resize(p.value.size());
  return p;
}

void Parameters::Touch(Part part) {
  for (Parameter& p : all_) p.touched |= p.part == part;
}

double Parameters::GradientNorm(ThreadPool& pool) const {
  double sum = 0;
  for (const Parameter& p : all_) {
    std::vector<double> parts(p.value.size() / kStretch + 1);
    ForStretches(p, pool, [&](int64_t begin, int64_t end) {
      double part = 0;
      for (int64_t i = begin; i < end; ++i) part += double{p.gradient[i]} * p.gradient[i];
      parts[begin / kStretch] = part;
    });
    for (const double part : parts) sum += part;
  }
  return std::sqrt(sum);
}

void Parameters::ScaleGradients(float factor, ThreadPool& pool) {
  for (Parameter& p : all_) {
    ForStretches(p, pool, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) p.gradient[i] *= factor;
    });
  }
}

void Orthogonalize(Mat x, ThreadPool& pool) {
  // The smaller side of the two products with itself.
  const bool tall = x.rows() > x.cols();
  const int64_t side = std::min(x.rows(), x.cols());
  double sum = 0;
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (const float value : x.row_span(r)) sum += double{value} * value;
  }
  const auto scale = static_cast<float>(1 / (std::sqrt(sum) + 1e-7));
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (float& value : x.row_span(r)) value *= scale;
  }
  Buffer gram_buffer, square_buffer, next_buffer;
  const Mat gram = gram_buffer.Resize(side, side), square = square_buffer.Resize(side, side);
  const Mat next = next_buffer.Resize(x.rows(), x.cols());
  constexpr float kLinear = 3.4445f, kCubic = -4.7750f, kQuintic = 2.0315f;
  for (int step = 0; step < 5; ++step) {
    if (tall) {
      Gemm(Transposed(x), Plain(x), gram, Sum::kStore, pool);
    } else {
      Gemm(Plain(x), Transposed(x), gram, Sum::kStore, pool);
    }
    Gemm(Plain(gram), Plain(gram), square, Sum::kStore, pool);
    for (int64_t r = 0; r < side; ++r) {
      for (int64_t c = 0; c < side; ++c) gram(r, c) = kCubic * gram(r, c) + kQuintic * square(r, c);
      gram(r, r) += kLinear;
    }
    if (tall) {
      Gemm(Plain(x), Plain(gram), next, Sum::kStore, pool);
    } else {
      Gemm(Plain(gram), Plain(x), next, Sum::kStore, pool);
    }
    for (int64_t r = 0; r < x.rows(); ++r) std::ranges::copy(next.row_span(r), x.row(r));
  }
}

namespace {

void AdamWStep(Parameter& p, const OptimizerStep& o, ThreadPool& pool) {
  const auto t = static_cast<double>(p.steps);
  const double correction1 = 1 - std::pow(o.beta1, t), correction2 = 1 - std::pow(o.beta2, t);
  const auto keep = static_cast<float>(1 - o.learning_rate * o.weight_decay);
  const auto rate = static_cast<float>(o.learning_rate / correction1);
  const auto root = static_cast<float>(1 / std::sqrt(correction2));
  const auto b1 = static_cast<float>(o.beta1), b2 = static_cast<float>(o.beta2);
  const auto new1 = static_cast<float>(1 - o.beta1), new2 = static_cast<float>(1 - o.beta2);
  const auto epsilon = static_cast<float>(o.epsilon);
  ForStretches(p, pool, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float g = p.gradient[i];
      p.mean[i] = b1 * p.mean[i] + new1 * g;
      p.square[i] = b2 * p.square[i] + new2 * g * g;
      const float size = std::sqrt(p.square[i]) * root + epsilon;
      p.value[i] = p.value[i] * keep - rate * p.mean[i] / size;
      p.gradient[i] = 0;
    }
  });
}

// Nesterov momentum, orthogonalised, at the size that AdamW's steps have: Liu et al., "Muon is
// scalable for LLM training" (2025), section 2.2. One learning rate serves both.
void MuonStep(Parameter& p, const OptimizerStep& o, ThreadPool& pool) {
  constexpr float kMomentum = 0.95f;
  for (size_t i = 0; i < p.gradient.size(); ++i) {
    p.mean[i] = kMomentum * p.mean[i] + p.gradient[i];
    p.gradient[i] += kMomentum * p.mean[i];
  }
  const int64_t rows = p.shape[0], cols = p.shape[1];
  Orthogonalize({p.gradient.data(), rows, cols}, pool);
  const auto keep = static_cast<float>(1 - o.learning_rate * o.weight_decay);
  const auto rate = static_cast<float>(o.learning_rate * 0.2 *
                                       std::sqrt(static_cast<double>(std::max(rows, cols))));
  for (size_t i = 0; i < p.gradient.size(); ++i) {
    p.value[i] = p.value[i] * keep - rate * p.gradient[i];
    p.gradient[i] = 0;
  }
}

}  // namespace

void Parameters::Step(const OptimizerStep& o, ThreadPool& pool) {
  for (Parameter& p : all_) {
    if (!p.touched) continue;
    p.touched = false;
    ++p.steps;
    if (o.muon && p.hidden) {
      MuonStep(p, o, pool);
    } else {
      AdamWStep(p, o, pool);
    }
  }
}

}  // namespace facet::tune
