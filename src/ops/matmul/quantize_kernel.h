// Activations of 8 bits, written once over the lanes of ops/simd.
#pragma once

#include <cstdint>
#include <cstring>

#include "ops/matmul/packed_layout.h"
#include "ops/simd/math.h"

namespace facet::packed {

// Where token `t` of a tile of `tokens` has its numbers in a block.
struct BlockPlace {
  std::byte* block;
  int tokens, t;

  std::byte* codes() const { return block + 32 * t; }
  template <typename T>
  void Set(int number, T value) const {
    static_assert(sizeof(T) == 4);
    std::memcpy(block + (32 + 4 * number) * tokens + 4 * t, &value, 4);
  }
  float scale() const {
    float value;
    std::memcpy(&value, block + 32 * tokens + 4 * t, 4);
    return value;
  }
};

// The codes of one block of 32, rounded to the nearest, ties to even; returns their sum times the
// scale. What they leave over goes to `rest` where it is asked for.
template <typename V>
float WriteCodes(const float* x, float scale, float inverse, const BlockPlace& at, float* rest) {
  const auto magic = V::Set(simd::kRoundMagic), factor = V::Set(inverse);
  const auto a = V::Load(x), b = V::Load(x + 16);
  const auto m = V::Fma(a, factor, magic), n = V::Fma(b, factor, magic);
  V::StoreLowBytes(at.codes(), m);
  V::StoreLowBytes(at.codes() + 16, n);
  const auto low = V::Sub(m, magic), high = V::Sub(n, magic);
  if (rest != nullptr) {
    V::Store(rest, V::NegFma(V::Set(scale), low, a));
    V::Store(rest + 16, V::NegFma(V::Set(scale), high, b));
  }
  const float first = V::Sum(low), second = V::Sum(high);
  at.Set(0, scale);
  at.Set(2, -static_cast<int32_t>(first + second));
  at.Set(3, -static_cast<int32_t>(first));
  return scale * (first + second);
}

// Below it the inverse would overflow; a block with no larger magnitude counts as zero.
constexpr float kSmallest = 1e-30f;

// First codes: the largest magnitude becomes 127. Returns the scale.
template <typename V>
float WriteFirst(const float* x, const BlockPlace& at) {
  const float largest = V::MaxLane(V::Max(V::Abs(V::Load(x)), V::Abs(V::Load(x + 16))));
  const bool zero = largest < kSmallest;
  const float scale = zero ? 0.0f : largest / 127.0f;
  at.Set(1, WriteCodes<V>(x, scale, zero ? 0.0f : 127.0f / largest, at, nullptr));
  return scale;
}

// Both codes: half a step of the first ones becomes 127.
template <typename V>
void WriteBoth(const float* x, const BlockPlace& first, const BlockPlace& second) {
  const float scale = first.scale(), fine = scale / 254.0f;
  float rest[32];
  const float sum = WriteCodes<V>(x, scale, 1.0f / scale, first, rest);
  first.Set(1, sum + WriteCodes<V>(rest, fine, 1.0f / fine, second, nullptr));
}

template <typename V>
void Quantize(const float* x, int64_t cols, int tokens, int t, std::byte* tile) {
  const int64_t blocks = PaddedCols(cols) / 32, bytes = tokens * kTokenBlockBytes;
  std::byte* second = tile + blocks * bytes;
  auto* flags = reinterpret_cast<uint16_t*>(second + blocks * bytes);
  constexpr float kZeros[32] = {};
  float sum = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    sum += WriteFirst<V>(b * 32 < cols ? x + b * 32 : kZeros, {tile + b * bytes, tokens, t});
  }
  const float limit = kSecondCodesAbove * sum / static_cast<float>(blocks);
  for (int64_t b = 0; b < blocks; ++b) {
    const BlockPlace first{tile + b * bytes, tokens, t};
    const bool both = first.scale() > limit;
    if (both) WriteBoth<V>(x + b * 32, first, {second + b * bytes, tokens, t});
    flags[b] = static_cast<uint16_t>((t == 0 ? 0 : flags[b]) | (both ? 1 << t : 0));
  }
}

}  // namespace facet::packed
