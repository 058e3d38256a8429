// The float32 product behind MatMulPlain, written once over the lanes of ops/simd.
#pragma once

#include <cstdint>

namespace facet {

// y[t * y_stride + r] = w[r] . x[t] for every token t and row r. Strides are floats from one row to
// the next.
struct PlainProduct {
  const float* w;      // (rows, cols), dense
  int64_t rows, cols;  // cols: a multiple of 16
  const float* x;      // (tokens, cols)
  int64_t tokens, x_stride;
  float* y;  // (tokens, rows)
  int64_t y_stride;
};

void PlainProductGeneric(const PlainProduct& p);
void PlainProductAvx2(const PlainProduct& p);
void PlainProductAvx512(const PlainProduct& p);
void PlainProductNeon(const PlainProduct& p);

namespace plain {

// Products that are summed in float32 before they go into a sum in double.
constexpr int64_t kStretch = 128;

// Adds sixteen lanes to their running sums.
template <typename V>
void AddLanes(typename V::F lanes, double* total) {
  alignas(64) float values[16];
  V::Store(values, lanes);
  for (int i = 0; i < 16; ++i) total[i] += values[i];
}

// R rows by T tokens. A sum is sixteen lanes along k; each lane adds stretches of eight products in
// float32 and the stretches in double, so that the oracle's error does not grow with k. The order
// is the same whatever R and T are.
template <typename V, int R, int T>
void Block(const PlainProduct& p, int64_t row, int64_t token) {
  alignas(64) double total[R][T][16] = {};
  const float* w = p.w + row * p.cols;
  const float* x = p.x + token * p.x_stride;
  for (int64_t begin = 0; begin < p.cols; begin += kStretch) {
    typename V::F sum[R][T];
    for (auto& of_row : sum) {
      for (auto& s : of_row) s = V::Set(0.0f);
    }
    const int64_t end = begin + kStretch < p.cols ? begin + kStretch : p.cols;
    for (int64_t k = begin; k < end; k += 16) {
      typename V::F a[R];
      for (int r = 0; r < R; ++r) a[r] = V::Load(w + r * p.cols + k);
      for (int t = 0; t < T; ++t) {
        const auto b = V::Load(x + t * p.x_stride + k);
        for (int r = 0; r < R; ++r) sum[r][t] = V::Fma(a[r], b, sum[r][t]);
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int t = 0; t < T; ++t) AddLanes<V>(sum[r][t], total[r][t]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) {
      double y = 0;
      for (const double lane : total[r][t]) y += lane;
      p.y[(token + t) * p.y_stride + row + r] = static_cast<float>(y);
    }
  }
}

template <typename V, int T>
void Column(const PlainProduct& p, int64_t token) {
  int64_t row = 0;
  for (; row + V::kBlockRows <= p.rows; row += V::kBlockRows) {
    Block<V, V::kBlockRows, T>(p, row, token);
  }
  for (; row < p.rows; ++row) Block<V, 1, T>(p, row, token);
}

template <typename V>
void Product(const PlainProduct& p) {
  int64_t token = 0;
  for (; token + V::kBlockTokens <= p.tokens; token += V::kBlockTokens) {
    Column<V, V::kBlockTokens>(p, token);
  }
  for (; token < p.tokens; ++token) Column<V, 1>(p, token);
}

}  // namespace plain
}  // namespace facet
