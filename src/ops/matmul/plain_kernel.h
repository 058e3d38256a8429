// The float32 product behind MatMulPlain, written once over the lanes of ops/simd.
#pragma once

#include <cstdint>

namespace facet {

// y[t * y_stride + r] = w[r] . x[t] for rows of `cols` floats, a multiple of 16.
struct PlainProduct {
  const float* w;
  int64_t rows, cols;
  const float* x;
  int64_t tokens, x_stride;
  float* y;
  int64_t y_stride;
};

void PlainProductGeneric(const PlainProduct& p);
void PlainProductAvx2(const PlainProduct& p);
void PlainProductAvx512(const PlainProduct& p);
void PlainProductNeon(const PlainProduct& p);

namespace plain {

// R rows by T tokens; every sum is one chain of 16 lanes, whatever R and T are.
template <typename V, int R, int T>
void Block(const PlainProduct& p, int64_t row, int64_t token) {
  typename V::F sum[R][T];
  for (auto& of_row : sum) {
    for (auto& s : of_row) s = V::Set(0.0f);
  }
  const float* w = p.w + row * p.cols;
  const float* x = p.x + token * p.x_stride;
  for (int64_t k = 0; k < p.cols; k += 16) {
    typename V::F a[R];
    for (int r = 0; r < R; ++r) a[r] = V::Load(w + r * p.cols + k);
    for (int t = 0; t < T; ++t) {
      const auto b = V::Load(x + t * p.x_stride + k);
      for (int r = 0; r < R; ++r) sum[r][t] = V::Fma(a[r], b, sum[r][t]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) p.y[(token + t) * p.y_stride + row + r] = V::Sum(sum[r][t]);
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
