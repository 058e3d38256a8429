// Activations of 8 bits, written once over the lanes of ops/simd.
#pragma once

#include <cstdint>
#include <cstring>

#include "ops/matmul/packed_layout.h"
#include "ops/simd/math.h"

namespace facet::packed {

// One block of 32: the largest magnitude becomes 127, the others round to the nearest, ties to
// even.
template <typename V>
void QuantizeBlock(const float* x, int tokens, int t, std::byte* block) {
  constexpr float kSmallest =
      1e-30f;  // below it the inverse would overflow; such a block counts as zero
  const auto a = V::Load(x), b = V::Load(x + 16);
  const float largest = V::MaxLane(V::Max(V::Abs(a), V::Abs(b)));
  const float scale = largest < kSmallest ? 0.0f : largest / 127.0f;
  const auto inverse = V::Set(largest < kSmallest ? 0.0f : 127.0f / largest);
  const auto magic = V::Set(simd::kRoundMagic);
  const auto m = V::Fma(a, inverse, magic), n = V::Fma(b, inverse, magic);
  std::byte* codes = block + 32 * t;
  V::StoreLowBytes(codes, m);
  V::StoreLowBytes(codes + 16, n);
  const float first = V::Sum(V::Sub(m, magic)), second = V::Sum(V::Sub(n, magic));
  const float scaled_sum = scale * (first + second);
  const auto minus_sum = -static_cast<int32_t>(first + second);
  const auto minus_first = -static_cast<int32_t>(first);
  std::memcpy(block + 32 * tokens + 4 * t, &scale, 4);
  std::memcpy(block + 36 * tokens + 4 * t, &scaled_sum, 4);
  std::memcpy(block + 40 * tokens + 4 * t, &minus_sum, 4);
  std::memcpy(block + 44 * tokens + 4 * t, &minus_first, 4);
}

template <typename V>
void Quantize(const float* x, int64_t cols, int tokens, int t, std::byte* tile) {
  const int64_t bytes = tokens * kTokenBlockBytes;
  constexpr float kZeros[32] = {};
  for (int64_t k = 0; k < PaddedCols(cols); k += 32) {
    QuantizeBlock<V>(k < cols ? x + k : kZeros, tokens, t, tile + k / 32 * bytes);
  }
}

}  // namespace facet::packed
