// Sixteen lanes as plain loops. The other files of this folder offer the same operations with the
// same results.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace facet::simd {

struct Generic {
  struct F {
    float v[16];
  };
  // Outputs and tokens that a block of a float product keeps in registers.
  static constexpr int kBlockRows = 2, kBlockTokens = 2;

  static F Load(const float* p) {
    F r;
    std::memcpy(r.v, p, sizeof(r.v));
    return r;
  }
  static void Store(float* p, F a) { std::memcpy(p, a.v, sizeof(a.v)); }
  static F Set(float x) {
    F r;
    for (float& e : r.v) e = x;
    return r;
  }
  static F Add(F a, F b) {
    return Map(a, b, [](float x, float y) { return x + y; });
  }
  static F Sub(F a, F b) {
    return Map(a, b, [](float x, float y) { return x - y; });
  }
  static F Mul(F a, F b) {
    return Map(a, b, [](float x, float y) { return x * y; });
  }
  static F Div(F a, F b) {
    return Map(a, b, [](float x, float y) { return x / y; });
  }
  // The second operand where they are unordered, as the x86 instructions do.
  static F Max(F a, F b) {
    return Map(a, b, [](float x, float y) { return x > y ? x : y; });
  }
  static F Min(F a, F b) {
    return Map(a, b, [](float x, float y) { return x < y ? x : y; });
  }
  // a * b + c, rounded once.
  static F Fma(F a, F b, F c) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
    return r;
  }
  // a < b ? yes : no
  static F SelectLess(F a, F b, F yes, F no) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = a.v[i] < b.v[i] ? yes.v[i] : no.v[i];
    return r;
  }
  static F Abs(F a) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = std::fabs(a.v[i]);
    return r;
  }
  // a * 2^n, where `n` holds an integer plus kRoundMagic (math.h) and the result is a normal
  // number.
  static F ScaleByPowerOfTwo(F a, F n) {
    F r;
    for (int i = 0; i < 16; ++i) {
      const uint32_t bits =
          __builtin_bit_cast(uint32_t, a.v[i]) + (__builtin_bit_cast(uint32_t, n.v[i]) << 23);
      r.v[i] = __builtin_bit_cast(float, bits);
    }
    return r;
  }
  // Sum of the lanes, by halves: lane i with lane i + 8, then + 4, + 2, + 1.
  static float Sum(F a) {
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) a.v[i] += a.v[i + half];
    }
    return a.v[0];
  }
  static float MaxLane(F a) {
    float m = a.v[0];
    for (float e : a.v) m = e > m ? e : m;
    return m;
  }

 private:
  template <typename Op>
  static F Map(F a, F b, Op op) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = op(a.v[i], b.v[i]);
    return r;
  }
};

}  // namespace facet::simd
