// Activations of 8 bits, written once over the lanes of ops/simd.
#pragma once

#include <cstdint>
#include <cstring>

#include "ops/matmul/packed_layout.h"
#include "ops/simd/math.h"

namespace facet::packed {

// A token's row to be quantised, and where its codes go.
struct QuantizeArgs {
  const float* x;   // (cols)
  int64_t cols;     // a multiple of 32
  int tokens;       // of the tile: 1, 2, 4, 8 or 16
  int t;            // the token's place in the tile
  std::byte* tile;  // (blocks, tokens * kTokenBlockBytes), shared by the tile's tokens
  // Blocks with a scale above the row's mean scale times this have second codes.
  float second_above;
  SecondCodes* second;  // room for PaddedCols(cols) / 32 of them
};

// What a tile holds of a block and token beside its 32 codes, in this order.
struct BlockNumbers {
  float scale;               // of a code
  float scaled_sum;          // scale times the sum of the codes, second ones included
  int32_t minus_sum;         // minus the sum of the codes
  int32_t minus_first_half;  // minus the sum of the first 16
};

// Rounds one block x (32) to multiples of `scale`, the nearest, ties to even; `inverse` is 1 /
// scale, or 0. Writes 32 int8 to `codes`, and what is left over to `rest` (32) where that is not
// null.
template <typename V>
BlockNumbers WriteCodes(const float* x, float scale, float inverse, void* codes, float* rest) {
  const auto magic = V::Set(simd::kRoundMagic), factor = V::Set(inverse);
  const auto a = V::Load(x), b = V::Load(x + 16);
  const auto m = V::Fma(a, factor, magic), n = V::Fma(b, factor, magic);
  V::StoreLowBytes(codes, m);
  V::StoreLowBytes(static_cast<std::byte*>(codes) + 16, n);
  const auto low = V::Sub(m, magic), high = V::Sub(n, magic);
  if (rest != nullptr) {
    V::Store(rest, V::NegFma(V::Set(scale), low, a));
    V::Store(rest + 16, V::NegFma(V::Set(scale), high, b));
  }
  const float first = V::Sum(low), second = V::Sum(high);
  return {scale, scale * (first + second), -static_cast<int32_t>(first + second),
          -static_cast<int32_t>(first)};
}

// The largest magnitude of a block becomes 127. Below the smallest one the inverse would overflow;
// such a block counts as zero.
template <typename V>
float BlockScale(const float* x) {
  constexpr float kSmallest = 1e-30f;
  const float largest = V::MaxLane(V::Max(V::Abs(V::Load(x)), V::Abs(V::Load(x + 16))));
  return largest < kSmallest ? 0.0f : largest / 127.0f;
}

// Codes of what the first codes of a block left over, rest (32): half a step of theirs becomes 127.
// Returns the codes' scale times their sum.
template <typename V>
float WriteSecond(const float* rest, float first_scale, SecondCodes& out) {
  const float scale = first_scale / 254.0f;
  const BlockNumbers n = WriteCodes<V>(rest, scale, 1.0f / scale, out.codes, nullptr);
  out.scale = n.scale;
  out.minus_sum = n.minus_sum;
  out.minus_first_half = n.minus_first_half;
  return n.scaled_sum;
}

// Writes the codes and numbers of a row, and its second codes by ascending block. Returns how many
// blocks have second codes.
template <typename V>
int Quantize(const QuantizeArgs& args) {
  const int64_t blocks = PaddedCols(args.cols) / 32, bytes = args.tokens * kTokenBlockBytes;
  constexpr float kZeros[32] = {};
  const auto block = [&](int64_t b) { return 32 * b < args.cols ? args.x + 32 * b : kZeros; };
  float sum = 0;
  for (int64_t b = 0; b < blocks; ++b) sum += BlockScale<V>(block(b));
  const float limit = args.second_above * sum / static_cast<float>(blocks);
  int seconds = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    std::byte* place = args.tile + b * bytes;
    const float scale = BlockScale<V>(block(b));
    float rest[32];
    BlockNumbers n =
        WriteCodes<V>(block(b), scale, scale == 0 ? 0.0f : 1.0f / scale, place + 32 * args.t, rest);
    if (scale > limit) {
      SecondCodes& second = args.second[seconds++];
      second.block = static_cast<int32_t>(b);
      second.token = args.t;
      n.scaled_sum += WriteSecond<V>(rest, scale, second);
    }
    const std::byte* numbers = reinterpret_cast<const std::byte*>(&n);
    for (int i = 0; i < 4; ++i) {
      std::memcpy(place + (32 + 4 * i) * args.tokens + 4 * args.t, numbers + 4 * i, 4);
    }
  }
  return seconds;
}

}  // namespace facet::packed
