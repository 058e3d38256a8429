// Sixteen lanes in four NEON registers. For translation units named *_neon.cc only.
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
  static float MaxLane(F a) {
    const F halves = Max(a, {{a.v[2], a.v[3], a.v[0], a.v[1]}});
    const F quarters = Max(halves, {{halves.v[1], halves.v[0], halves.v[1], halves.v[0]}});
    return vmaxvq_f32(quarters.v[0]);
  }
};

}  // namespace facet::simd
