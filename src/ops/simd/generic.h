// Sixteen lanes as plain loops. The other files of this folder offer the same operations with the
// same results.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "ops/quant/quant.h"

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
  // Lane i of the result is Sum(a[i]), by the same tree.
  static F SumEach(const F (&a)[16]) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = Sum(a[i]);
    return r;
  }
  static float MaxLane(F a) {
    float m = a.v[0];
    for (float e : a.v) m = e > m ? e : m;
    return m;
  }

  // Integers: sixteen of 32 bits, or 64 bytes.
  struct I {
    int32_t v[16];
  };
  struct B {
    uint8_t v[64];
  };
  static constexpr int kTileTokens = 2;        // tokens of a packed product that stay in registers
  static constexpr int kDotTokens = 1;         // tokens whose products take turns
  static constexpr bool kPairs = false;        // two tokens at once, by JoinInputs and DotPair
  static constexpr bool kSignedBytes = false;  // true where Dot<8> takes 128 off its codes

  static F LoadHalfs(const void* p) {
    return FromElements<uint16_t>(p, [](uint16_t x) { return HalfToFloat(x); });
  }
  static F LoadBf16s(const void* p) {
    return FromElements<uint16_t>(p, [](uint16_t x) { return Bf16ToFloat(x); });
  }
  static F FromUint8(const void* p) {
    return FromElements<uint8_t>(p, [](uint8_t x) { return static_cast<float>(x); });
  }
  static F FromInt8(const void* p) {
    return FromElements<int8_t>(p, [](int8_t x) { return static_cast<float>(x); });
  }
  // The low byte of each lane's bits.
  static void StoreLowBytes(void* p, F a) {
    for (int i = 0; i < 16; ++i) {
      static_cast<uint8_t*>(p)[i] = static_cast<uint8_t>(__builtin_bit_cast(uint32_t, a.v[i]));
    }
  }
  // c - a * b, rounded once.
  static F NegFma(F a, F b, F c) {
    for (int i = 0; i < 16; ++i) c.v[i] = std::fma(-a.v[i], b.v[i], c.v[i]);
    return c;
  }

  static I SetInt(int32_t x) {
    I r;
    for (int32_t& e : r.v) e = x;
    return r;
  }
  static I SubInt(I a, I b) {
    for (int i = 0; i < 16; ++i) a.v[i] -= b.v[i];
    return a;
  }
  template <int n>
  static I ShiftLeft(I a) {
    for (int32_t& e : a.v) e = static_cast<int32_t>(static_cast<uint32_t>(e) << n);
    return a;
  }
  static F ToFloat(I a) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = static_cast<float>(a.v[i]);
    return r;
  }
  static B LoadBytes(const void* p) {
    B r;
    std::memcpy(r.v, p, sizeof(r.v));
    return r;
  }
  static B LowNibbles(B a) {
    for (uint8_t& e : a.v) e &= 15;
    return a;
  }
  static B HighNibbles(B a) {
    for (uint8_t& e : a.v) e >>= 4;
    return a;
  }
  // a | (bits >> shift & mask) << 4, byte by byte
  template <int shift, int mask>
  static B InsertBits(B a, B bits) {
    for (int i = 0; i < 64; ++i) a.v[i] |= (bits.v[i] >> shift & mask) << 4;
    return a;
  }
  // sum + the products of each lane's four codes of `bits` bits with the four bytes at x
  template <int bits>
  static I Dot(I sum, B codes, const int8_t* x) {
    for (int i = 0; i < 16; ++i) {
      for (int b = 0; b < 4; ++b) sum.v[i] += codes.v[4 * i + b] * x[b];
    }
    return sum;
  }

 private:
  template <typename Op>
  static F Map(F a, F b, Op op) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = op(a.v[i], b.v[i]);
    return r;
  }
  template <typename T, typename Op>
  static F FromElements(const void* p, Op op) {
    T elements[16];
    std::memcpy(elements, p, sizeof(elements));
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = op(elements[i]);
    return r;
  }
};

}  // namespace facet::simd
