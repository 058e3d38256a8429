// The row functions behind elementwise.h, written once over the lanes of ops/simd.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "ops/simd/math.h"

namespace facet {

struct ElementwiseKernels {
  void (*rms_norm)(const float* x, const float* weight, int64_t n, float eps, float* y);
  void (*layer_norm)(const float* x, const float* weight, const float* bias, int64_t n, float eps,
                     float* y);
  void (*rotate)(const float* cos, const float* sin, int64_t pairs, int64_t half, float* x);
  void (*gelu_gate)(float* gate, const float* up, int64_t n);
  void (*softcap)(float cap, float* x, int64_t n);
  void (*add_scaled)(float* x, const float* y, float scale, int64_t n);
};

extern const ElementwiseKernels kElementwiseGeneric, kElementwiseAvx2, kElementwiseAvx512,
    kElementwiseNeon;

namespace elementwise {

// Loads and stores that stop at the end of a row; lanes beyond it are zero.
template <typename V>
typename V::F LoadTail(const float* p, int64_t n) {
  if (n >= 16) return V::Load(p);
  float lanes[16] = {};
  std::memcpy(lanes, p, n * sizeof(float));
  return V::Load(lanes);
}

template <typename V>
void StoreTail(float* p, int64_t n, typename V::F a) {
  if (n >= 16) return V::Store(p, a);
  float lanes[16];
  V::Store(lanes, a);
  std::memcpy(p, lanes, n * sizeof(float));
}

template <typename V>
void RmsNormRow(const float* x, const float* weight, int64_t n, float eps, float* y) {
  auto sum = V::Set(0.0f);
  for (int64_t i = 0; i < n; i += 16) {
    const auto v = LoadTail<V>(x + i, n - i);
    sum = V::Fma(v, v, sum);
  }
  const auto scale = V::Set(1.0f / sqrtf(V::Sum(sum) / static_cast<float>(n) + eps));
  for (int64_t i = 0; i < n; i += 16) {
    auto v = V::Mul(LoadTail<V>(x + i, n - i), scale);
    if (weight != nullptr) v = V::Mul(v, LoadTail<V>(weight + i, n - i));
    StoreTail<V>(y + i, n - i, v);
  }
}

// Sixteen running sums in double, one after another at the end.
template <typename F>
double SumInDouble(int64_t n, F value) {
  double lanes[16] = {};
  for (int64_t i = 0; i < n; i += 16) {
    for (int64_t lane = 0; lane < std::min<int64_t>(16, n - i); ++lane)
      lanes[lane] += value(i + lane);
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

// Mean and variance in double: a patch of one colour has no variance, and whatever rounding leaves
// of its mean would be blown up to a full-size pattern.
template <typename V>
void LayerNormRow(const float* x, const float* weight, const float* bias, int64_t n, float eps,
                  float* y) {
  const double mean =
      SumInDouble(n, [&](int64_t i) { return double{x[i]}; }) / static_cast<double>(n);
  const double variance = SumInDouble(n, [&](int64_t i) { return (x[i] - mean) * (x[i] - mean); }) /
                          static_cast<double>(n);
  const double scale = 1.0 / sqrt(variance + double{eps});
  for (int64_t i = 0; i < n; ++i) {
    const float normed = static_cast<float>((x[i] - mean) * scale);
    y[i] = normed * weight[i] + bias[i];
  }
}

template <typename V>
void RotateHead(const float* cos, const float* sin, int64_t pairs, int64_t half, float* x) {
  for (int64_t i = 0; i < pairs; i += 16) {
    const int64_t n = pairs - i;
    const auto c = LoadTail<V>(cos + i, n), s = LoadTail<V>(sin + i, n);
    const auto a = LoadTail<V>(x + i, n), b = LoadTail<V>(x + half + i, n);
    StoreTail<V>(x + i, n, V::Sub(V::Mul(a, c), V::Mul(b, s)));
    StoreTail<V>(x + half + i, n, V::Fma(a, s, V::Mul(b, c)));
  }
}

// gelu_tanh(x) = x / (1 + exp(-2u)) with u = sqrt(2 / pi) (x + 0.044715 x^3): no cancellation
// anywhere.
template <typename V>
void GeluGateRow(float* gate, const float* up, int64_t n) {
  constexpr float kMinusTwoRoot = -1.5957691216f;
  for (int64_t i = 0; i < n; i += 16) {
    const auto x = LoadTail<V>(gate + i, n - i);
    const auto cubic = V::Fma(V::Mul(x, x), V::Set(0.044715f), V::Set(1.0f));
    const auto e = simd::Exp<V>(V::Mul(V::Mul(x, cubic), V::Set(kMinusTwoRoot)));
    const auto gelu = V::Div(x, V::Add(V::Set(1.0f), e));
    StoreTail<V>(gate + i, n - i, V::Mul(gelu, LoadTail<V>(up + i, n - i)));
  }
}

template <typename V>
void SoftcapRow(float cap, float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    const auto t = simd::Tanh<V>(V::Div(LoadTail<V>(x + i, n - i), V::Set(cap)));
    StoreTail<V>(x + i, n - i, V::Mul(t, V::Set(cap)));
  }
}

template <typename V>
void AddScaledRow(float* x, const float* y, float scale, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    const auto sum = V::Add(LoadTail<V>(x + i, n - i), LoadTail<V>(y + i, n - i));
    StoreTail<V>(x + i, n - i, V::Mul(sum, V::Set(scale)));
  }
}

template <typename V>
constexpr ElementwiseKernels kKernels = {RmsNormRow<V>,  LayerNormRow<V>, RotateHead<V>,
                                         GeluGateRow<V>, SoftcapRow<V>,   AddScaledRow<V>};

}  // namespace elementwise
}  // namespace facet
