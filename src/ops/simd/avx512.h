// Sixteen lanes in one AVX-512 register. For translation units named *_avx512.cc only.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace facet::simd {

struct Avx512 {
  using F = __m512;
  static constexpr int kBlockRows = 4, kBlockTokens = 6;

  static F Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, F a) { _mm512_storeu_ps(p, a); }
  static F Set(float x) { return _mm512_set1_ps(x); }
  static F Add(F a, F b) { return _mm512_add_ps(a, b); }
  static F Sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F Div(F a, F b) { return _mm512_div_ps(a, b); }
  static F Max(F a, F b) { return _mm512_max_ps(a, b); }
  static F Min(F a, F b) { return _mm512_min_ps(a, b); }
  static F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F SelectLess(F a, F b, F yes, F no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
  }
  static F Abs(F a) { return _mm512_abs_ps(a); }
  static F ScaleByPowerOfTwo(F a, F n) {
    return _mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_castps_si512(a), _mm512_slli_epi32(_mm512_castps_si512(n), 23)));
  }
  static float Sum(F a) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static F SumEach(const F (&a)[16]) {
    F quarters[4];  // lanes 4j..4j+3 of quarters[i] belong to a[4j + i]
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const F low = AddHalves(a[i], a[i + 4]), high = AddHalves(a[i + 8], a[i + 12]);
      quarters[i] = _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88),
                                  _mm512_shuffle_f32x4(low, high, 0xdd));
    }
    const F even = AddPairs(quarters[0], quarters[1]), odd = AddPairs(quarters[2], quarters[3]);
    return _mm512_add_ps(_mm512_shuffle_ps(even, odd, 0x88), _mm512_shuffle_ps(even, odd, 0xdd));
  }
  static float MaxLane(F a) {
    return _mm512_reduce_max_ps(a);
  }
  // Integers: sixteen of 32 bits, or 64 bytes.
  using I = __m512i;
  using B = __m512i;
  static constexpr int kTileTokens = 16;       // tokens of a packed product that stay in registers
  static constexpr int kDotTokens = 2;         // tokens whose products take turns
  static constexpr bool kPairs = false;        // two tokens at once, by JoinInputs and DotPair
  static constexpr bool kSignedBytes = false;  // Dot<8> takes codes plus 128 as they are

  static F LoadHalfs(const void* p) {
    return _mm512_cvtph_ps(Load32(p));
  }
  static F LoadBf16s(const void* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(Load32(p)), 16));
  }
  static F FromUint8(const void* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(Load16(p)));
  }
  static F FromInt8(const void* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(Load16(p)));
  }
  // The low byte of each lane's bits.
  static void StoreLowBytes(void* p, F a) {
    _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_castps_si512(a)));
  }
  // c - a * b, rounded once.
  static F NegFma(F a, F b, F c) {
    return _mm512_fnmadd_ps(a, b, c);
  }

  static I SetInt(int32_t x) {
    return _mm512_set1_epi32(x);
  }
  static I SubInt(I a, I b) {
    return _mm512_sub_epi32(a, b);
  }
  template <int n>
  static I ShiftLeft(I a) {
    return _mm512_slli_epi32(a, n);
  }
  static F ToFloat(I a) {
    return _mm512_cvtepi32_ps(a);
  }
  static B LoadBytes(const void* p) {
    return _mm512_loadu_si512(p);
  }
  static B LowNibbles(B a) {
    return _mm512_and_si512(a, _mm512_set1_epi8(15));
  }
  static B HighNibbles(B a) {
    return _mm512_and_si512(_mm512_srli_epi16(a, 4), _mm512_set1_epi8(15));
  }
  // a | (bits >> shift & mask) << 4, byte by byte
  template <int shift, int mask>
  static B InsertBits(B a, B bits) {
    const B moved = shift <= 4 ? _mm512_slli_epi16(bits, shift <= 4 ? 4 - shift : 0)
                               : _mm512_srli_epi16(bits, shift <= 4 ? 0 : shift - 4);
    return _mm512_ternarylogic_epi32(a, moved, _mm512_set1_epi8(mask << 4), 0xf8);
  }
  // sum + the products of each lane's four codes of `bits` bits with the four bytes at x
  template <int bits>
  static I Dot(I sum, B codes, const int8_t* x) {
    // The four bytes are broadcast by the load itself, which GCC 12 does not do on its own.
    asm("vpdpbusd %2%{1to16%}, %1, %0"
        : "+v"(sum)
        : "v"(codes), "m"(*reinterpret_cast<const int32_t*>(x)));
    return sum;
  }

 private:
  static __m256i Load32(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  static __m128i Load16(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
  }
  // Lanes i + (i + 8) of a in the lower half, of b in the upper one.
  static F AddHalves(F a, F b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  }
  // In each 128 bits: lanes i + (i + 2) of a, then of b.
  static F AddPairs(F a, F b) {
    const __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
  }
};

}  // namespace facet::simd
