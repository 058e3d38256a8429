#include "tune/parameters.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace facet::tune {
namespace {

// Elements that one thread takes at a time; sums run over these stretches in order.
constexpr int64_t kStretch = 1 << 14;

template <typename F>
void ForStretches(const Parameter& p, ThreadPool& pool, const F& part) {
  const int64_t n = static_cast<int64_t>(p.value.size());
  pool.ParallelFor((n + kStretch - 1) / kStretch,
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

void Parameters::Step(const AdamW& o, ThreadPool& pool) {
  for (Parameter& p : all_) {
    if (!p.touched) continue;
    p.touched = false;
    const auto t = static_cast<double>(++p.steps);
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
}

}  // namespace facet::tune
