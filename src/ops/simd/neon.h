// Sixteen lanes in four NEON registers. For translation units named *_neon.cc and *_i8mm.cc only.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace facet::simd {

struct Neon {
  struct F {
    float32x4_t v[4];
  };
  static constexpr int kBlockRows = 2, kBlockTokens = 2;

  static F Load(const float* p) {
    return {{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}};
  }
  static void Store(float* p, F a) {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.v[i]);
  }
  static F Set(float x) {
    const float32x4_t s = vdupq_n_f32(x);
    return {{s, s, s, s}};
  }
  static F Add(F a, F b) {
    for (int i = 0; i < 4; ++i) a.v[i] = vaddq_f32(a.v[i], b.v[i]);
    return a;
  }
  static F Sub(F a, F b) {
    for (int i = 0; i < 4; ++i) a.v[i] = vsubq_f32(a.v[i], b.v[i]);
    return a;
  }
  static F Mul(F a, F b) {
    for (int i = 0; i < 4; ++i) a.v[i] = vmulq_f32(a.v[i], b.v[i]);
    return a;
  }
  static F Div(F a, F b) {
    for (int i = 0; i < 4; ++i) a.v[i] = vdivq_f32(a.v[i], b.v[i]);
    return a;
  }
  static F Max(F a, F b) {
    for (int i = 0; i < 4; ++i) a.v[i] = vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]);
    return a;
  }
  static F Min(F a, F b) {
    for (int i = 0; i < 4; ++i) a.v[i] = vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]);
    return a;
  }
  static F Fma(F a, F b, F c) {
    for (int i = 0; i < 4; ++i) c.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]);
    return c;
  }
  static F SelectLess(F a, F b, F yes, F no) {
    for (int i = 0; i < 4; ++i) yes.v[i] = vbslq_f32(vcltq_f32(a.v[i], b.v[i]), yes.v[i], no.v[i]);
    return yes;
  }
  static F Abs(F a) {
    for (int i = 0; i < 4; ++i) a.v[i] = vabsq_f32(a.v[i]);
    return a;
  }
  static F ScaleByPowerOfTwo(F a, F n) {
    for (int i = 0; i < 4; ++i) {
      a.v[i] = vreinterpretq_f32_u32(
          vaddq_u32(vreinterpretq_u32_f32(a.v[i]), vshlq_n_u32(vreinterpretq_u32_f32(n.v[i]), 23)));
    }
    return a;
  }
  static float Sum(F a) {
    const float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  static F SumEach(const F (&a)[16]) {
    float sums[16];
    for (int i = 0; i < 16; ++i) sums[i] = Sum(a[i]);
    return Load(sums);
  }
  static float MaxLane(F a) {
    const F halves = Max(a, {{a.v[2], a.v[3], a.v[0], a.v[1]}});
    const F quarters = Max(halves, {{halves.v[1], halves.v[0], halves.v[1], halves.v[0]}});
    return vmaxvq_f32(quarters.v[0]);
  }
  // Integers: sixteen of 32 bits, or 64 bytes.
  struct I {
    int32x4_t v[4];
  };
  struct B {
    uint8x16_t v[4];
  };
  static constexpr int kTileTokens = 4;
  static constexpr int kDotTokens = 1;
  static constexpr bool kPairs = false;
  static constexpr bool kSignedBytes = true;  // Dot<8> takes 128 off its codes

  static F LoadHalfs(const void* p) {
    F r;
    for (int i = 0; i < 4; ++i) {
      r.v[i] =
          vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(static_cast<const uint16_t*>(p) + 4 * i)));
    }
    return r;
  }
  static F LoadBf16s(const void* p) {
    F r;
    for (int i = 0; i < 4; ++i) {
      r.v[i] =
          vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(static_cast<const uint16_t*>(p) + 4 * i), 16));
    }
    return r;
  }
  static F FromUint8(const void* p) {
    const uint8x16_t x = vld1q_u8(static_cast<const uint8_t*>(p));
    const uint16x8_t low = vmovl_u8(vget_low_u8(x)), high = vmovl_u8(vget_high_u8(x));
    return {{vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
             vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
             vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
             vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)))}};
  }
  static F FromInt8(const void* p) {
    const int8x16_t x = vld1q_s8(static_cast<const int8_t*>(p));
    const int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_s8(vget_high_s8(x));
    return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
             vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
             vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
             vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
  }
  static void StoreLowBytes(void* p, F a) {
    uint16x4_t words[4];
    for (int i = 0; i < 4; ++i) words[i] = vmovn_u32(vreinterpretq_u32_f32(a.v[i]));
    vst1q_u8(static_cast<uint8_t*>(p), vcombine_u8(vmovn_u16(vcombine_u16(words[0], words[1])),
                                                   vmovn_u16(vcombine_u16(words[2], words[3]))));
  }
  static F NegFma(F a, F b, F c) {
    for (int i = 0; i < 4; ++i) c.v[i] = vfmsq_f32(c.v[i], a.v[i], b.v[i]);
    return c;
  }

  static I SetInt(int32_t x) {
    const int32x4_t s = vdupq_n_s32(x);
    return {{s, s, s, s}};
  }
  static I SubInt(I a, I b) {
    for (int i = 0; i < 4; ++i) a.v[i] = vsubq_s32(a.v[i], b.v[i]);
    return a;
  }
  template <int n>
  static I ShiftLeft(I a) {
    for (int i = 0; i < 4; ++i) a.v[i] = vshlq_n_s32(a.v[i], n);
    return a;
  }
  static F ToFloat(I a) {
    F r;
    for (int i = 0; i < 4; ++i) r.v[i] = vcvtq_f32_s32(a.v[i]);
    return r;
  }
  static B LoadBytes(const void* p) {
    const auto* bytes = static_cast<const uint8_t*>(p);
    return {{vld1q_u8(bytes), vld1q_u8(bytes + 16), vld1q_u8(bytes + 32), vld1q_u8(bytes + 48)}};
  }
  static B LowNibbles(B a) {
    for (int i = 0; i < 4; ++i) a.v[i] = vandq_u8(a.v[i], vdupq_n_u8(15));
    return a;
  }
  static B HighNibbles(B a) {
    for (int i = 0; i < 4; ++i) a.v[i] = vshrq_n_u8(a.v[i], 4);
    return a;
  }
  template <int shift, int mask>
  static B InsertBits(B a, B bits) {
    for (int i = 0; i < 4; ++i) {
      const uint8x16_t moved = vshlq_u8(bits.v[i], vdupq_n_s8(4 - shift));
      a.v[i] = vorrq_u8(a.v[i], vandq_u8(moved, vdupq_n_u8(mask << 4)));
    }
    return a;
  }
  template <int bits>
  static I Dot(I sum, B codes, const int8_t* x) {
    const int8x16_t four = vreinterpretq_s8_s32(vld1q_dup_s32(reinterpret_cast<const int32_t*>(x)));
    for (int i = 0; i < 4; ++i) {
      const uint8x16_t c = bits == 8 ? veorq_u8(codes.v[i], vdupq_n_u8(128)) : codes.v[i];
      sum.v[i] = vdotq_s32(sum.v[i], vreinterpretq_s8_u8(c), four);
    }
    return sum;
  }
};

}  // namespace facet::simd
