// NEON with the matrix product of eight-bit integers (SMMLA). For translation units named *_i8mm.cc
// only.
#pragma once

#include "ops/simd/neon.h"

namespace facet::simd {

struct I8mm : Neon {
  static constexpr int kDotTokens = 2;
  static constexpr bool kPairs = true;

  // The instruction takes eight inputs of an output at once, packed weights have four side by side:
  // vectors i and i + 1 (i even) become one of outputs 4j and 4j + 1, and one of 4j + 2 and 4j + 3,
  // where j counts their quarters.
  template <int bits>
  static void JoinInputs(B (&w)[8]) {
    const uint8x16_t zero = vdupq_n_u8(bits == 8 ? 128 : 0);
    for (int i = 0; i < 8; i += 2) {
      for (int j = 0; j < 4; ++j) {
        const uint32x4_t a = vreinterpretq_u32_u8(veorq_u8(w[i].v[j], zero));
        const uint32x4_t b = vreinterpretq_u32_u8(veorq_u8(w[i + 1].v[j], zero));
        w[i].v[j] = vreinterpretq_u8_u32(vzip1q_u32(a, b));
        w[i + 1].v[j] = vreinterpretq_u8_u32(vzip2q_u32(a, b));
      }
    }
  }
  // Adds the products of joined vectors [begin, end) with the codes of two tokens to their sums.
  template <int begin, int end>
  static void DotPair(I (&sum)[2], const B (&w)[8], const int8_t* x, const int8_t* y) {
    int8x16_t both[8];
    for (int i = begin; i < end; i += 2) {
      both[i] = vcombine_s8(vld1_s8(x + 4 * i), vld1_s8(y + 4 * i));
    }
    for (int j = 0; j < 4; ++j) {
      int32x4_t first = vzip1q_s32(sum[0].v[j], sum[1].v[j]);
      int32x4_t second = vzip2q_s32(sum[0].v[j], sum[1].v[j]);
      for (int i = begin; i < end; i += 2) {
        first = vmmlaq_s32(first, vreinterpretq_s8_u8(w[i].v[j]), both[i]);
        second = vmmlaq_s32(second, vreinterpretq_s8_u8(w[i + 1].v[j]), both[i]);
      }
      sum[0].v[j] = vuzp1q_s32(first, second);
      sum[1].v[j] = vuzp2q_s32(first, second);
    }
  }
};

}  // namespace facet::simd
