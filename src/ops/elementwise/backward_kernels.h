// The row functions behind backward.h, written once over the lanes of ops/simd.
#pragma once

#include "ops/elementwise/kernels.h"

namespace facet {

struct BackwardKernels {
  // dx = or += rms_norm's gradient; returns 1 / rms of x.
  float (*rms_norm)(const float* x, const float* weight, const float* dy, int64_t n, float eps,
                    bool add, float* dx);
  void (*gelu_gate)(const float* dact, float* gate, float* up, int64_t n);
  // Sum of e^(x - max) over the row, the largest in *max.
  double (*exp_sum)(const float* x, int64_t n, float* max);
  // x = e^(x - shift) * scale
  void (*exp_scaled)(float* x, int64_t n, float shift, float scale);
  // x, capped logits, becomes e^(x - shift) * scale * (1 - (x / cap)^2); no last factor at cap 0.
  void (*softmax_gradient)(float* x, int64_t n, float shift, float scale, float cap);
  // acc += x * factor
  void (*add_scaled)(const float* x, float factor, float* acc, int64_t n);
  // acc += x * y * factor
  void (*add_product)(const float* x, const float* y, float factor, float* acc, int64_t n);
};

extern const BackwardKernels kBackwardGeneric, kBackwardAvx2, kBackwardAvx512, kBackwardNeon;

namespace elementwise {

// y = x s w, s = (mean(x^2) + eps)^-1/2: dx = s (w dy) - x s^3 mean(x w dy).
template <typename V>
float RmsNormBackwardRow(const float* x, const float* weight, const float* dy, int64_t n, float eps,
                         bool add, float* dx) {
  const auto weighted = [&](int64_t i) {
    const auto d = LoadTail<V>(dy + i, n - i);
    return weight == nullptr ? d : V::Mul(d, LoadTail<V>(weight + i, n - i));
  };
  auto squares = V::Set(0.0f), products = squares;
  for (int64_t i = 0; i < n; i += 16) {
    const auto v = LoadTail<V>(x + i, n - i);
    squares = V::Fma(v, v, squares);
    products = V::Fma(v, weighted(i), products);
  }
  const float size = static_cast<float>(n);
  const float s = 1.0f / sqrtf(V::Sum(squares) / size + eps);
  const auto scale = V::Set(s), pull = V::Set(-s * s * s * (V::Sum(products) / size));
  for (int64_t i = 0; i < n; i += 16) {
    auto d = V::Mul(LoadTail<V>(x + i, n - i), pull);
    d = V::Fma(weighted(i), scale, d);
    if (add) d = V::Add(d, LoadTail<V>(dx + i, n - i));
    StoreTail<V>(dx + i, n - i, d);
  }
  return s;
}

// gelu(x) = x p with p = 1 / (1 + exp(-2u)), so gelu' = p + x p (1 - p) 2u'.
template <typename V>
void GeluGateBackwardRow(const float* dact, float* gate, float* up, int64_t n) {
  constexpr float kTwoRoot = 1.5957691216f;
  const auto one = V::Set(1.0f);
  for (int64_t i = 0; i < n; i += 16) {
    const auto x = LoadTail<V>(gate + i, n - i), u = LoadTail<V>(up + i, n - i);
    const auto d = LoadTail<V>(dact + i, n - i), square = V::Mul(x, x);
    const auto cubic = V::Fma(square, V::Set(0.044715f), one);
    const auto e = simd::Exp<V>(V::Mul(V::Mul(x, cubic), V::Set(-kTwoRoot)));
    const auto p = V::Div(one, V::Add(one, e));
    const auto slope = V::Mul(V::Fma(square, V::Set(3.0f * 0.044715f), one), V::Set(kTwoRoot));
    const auto dgelu = V::Fma(V::Mul(V::Mul(x, p), V::Sub(one, p)), slope, p);
    StoreTail<V>(gate + i, n - i, V::Mul(V::Mul(d, u), dgelu));
    StoreTail<V>(up + i, n - i, V::Mul(d, V::Mul(x, p)));
  }
}

template <typename V>
double ExpSumRow(const float* x, int64_t n, float* max) {
  float largest = x[0];
  int64_t i = 0;
  auto lanes = V::Set(largest);
  for (; i + 16 <= n; i += 16) lanes = V::Max(V::Load(x + i), lanes);
  largest = V::MaxLane(lanes);
  for (; i < n; ++i) largest = std::max(largest, x[i]);
  *max = largest;
  constexpr int64_t kStretch = 4096;  // summed in float32; stretches in double
  double sum = 0;
  const auto shift = V::Set(largest);
  for (int64_t begin = 0; begin < n; begin += kStretch) {
    const int64_t end = std::min(n, begin + kStretch);
    auto part = V::Set(0.0f);
    int64_t j = begin;
    for (; j + 16 <= end; j += 16) part = V::Add(part, simd::Exp<V>(V::Sub(V::Load(x + j), shift)));
    sum += V::Sum(part);
    for (; j < end; ++j) {
      float lane[16];
      V::Store(lane, simd::Exp<V>(V::Set(x[j] - largest)));
      sum += lane[0];
    }
  }
  return sum;
}

template <typename V>
void ExpScaledRow(float* x, int64_t n, float shift, float scale) {
  const auto s = V::Set(shift), factor = V::Set(scale);
  for (int64_t i = 0; i < n; i += 16) {
    const auto e = simd::Exp<V>(V::Sub(LoadTail<V>(x + i, n - i), s));
    StoreTail<V>(x + i, n - i, V::Mul(e, factor));
  }
}

template <typename V>
void SoftmaxGradientRow(float* x, int64_t n, float shift, float scale, float cap) {
  const auto s = V::Set(shift), factor = V::Set(scale), one = V::Set(1.0f);
  const auto inverse = V::Set(cap > 0 ? 1.0f / cap : 0.0f);
  for (int64_t i = 0; i < n; i += 16) {
    const auto z = LoadTail<V>(x + i, n - i), t = V::Mul(z, inverse);
    const auto p = V::Mul(simd::Exp<V>(V::Sub(z, s)), factor);
    StoreTail<V>(x + i, n - i, V::Mul(p, V::Sub(one, V::Mul(t, t))));
  }
}

template <typename V>
void AddScaledToRow(const float* x, float factor, float* acc, int64_t n) {
  const auto f = V::Set(factor);
  for (int64_t i = 0; i < n; i += 16) {
    StoreTail<V>(acc + i, n - i, V::Fma(LoadTail<V>(x + i, n - i), f, LoadTail<V>(acc + i, n - i)));
  }
}

template <typename V>
void AddProductRow(const float* x, const float* y, float factor, float* acc, int64_t n) {
  const auto f = V::Set(factor);
  for (int64_t i = 0; i < n; i += 16) {
    const auto product = V::Mul(LoadTail<V>(x + i, n - i), LoadTail<V>(y + i, n - i));
    StoreTail<V>(acc + i, n - i, V::Fma(product, f, LoadTail<V>(acc + i, n - i)));
  }
}

template <typename V>
constexpr BackwardKernels kBackwardKernels = {
    RmsNormBackwardRow<V>, GeluGateBackwardRow<V>, ExpSumRow<V>,    ExpScaledRow<V>,
    SoftmaxGradientRow<V>, AddScaledToRow<V>,      AddProductRow<V>};

}  // namespace elementwise
}  // namespace facet
