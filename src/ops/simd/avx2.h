// Sixteen lanes in two AVX registers. For translation units named *_avx2.cc only.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace facet::simd {

struct Avx2 {
  struct F {
    __m256 a, b;
  };
  static constexpr int kBlockRows = 2, kBlockTokens = 3;

  static F Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static void Store(float* p, F x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
  }
  static F Set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static F Add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
  static F Sub(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
  static F Mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
  static F Div(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
  static F Max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
  static F Min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
  static F Fma(F x, F y, F z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
  }
  static F SelectLess(F x, F y, F yes, F no) {
    return {_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
            _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
  }
  static F Abs(F x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
  }
  static F ScaleByPowerOfTwo(F x, F n) { return {Scale(x.a, n.a), Scale(x.b, n.b)}; }
  static float Sum(F x) {
    const __m256 half = _mm256_add_ps(x.a, x.b);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static F SumEach(const F (&a)[16]) {
    float sums[16];
    for (int i = 0; i < 16; ++i) sums[i] = Sum(a[i]);
    return Load(sums);
  }
  static float MaxLane(F x) {
    const __m256 half = _mm256_max_ps(x.a, x.b);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }

  // Integers: sixteen of 32 bits, or 64 bytes.
  struct I {
    __m256i a, b;
  };
  using B = I;
  static constexpr int kTileTokens = 4;
  static constexpr int kDotTokens = 1;
  static constexpr bool kPairs = false;
  static constexpr bool kSignedBytes = true;  // Dot<8> takes 128 off its codes

  static F LoadHalfs(const void* p) {
    return {_mm256_cvtph_ps(Load16(p, 0)), _mm256_cvtph_ps(Load16(p, 16))};
  }
  static F LoadBf16s(const void* p) { return {FromBf16(Load16(p, 0)), FromBf16(Load16(p, 16))}; }
  static F FromUint8(const void* p) {
    return ToFloat({_mm256_cvtepu8_epi32(Load8(p, 0)), _mm256_cvtepu8_epi32(Load8(p, 8))});
  }
  static F FromInt8(const void* p) {
    return ToFloat({_mm256_cvtepi8_epi32(Load8(p, 0)), _mm256_cvtepi8_epi32(Load8(p, 8))});
  }
  static void StoreLowBytes(void* p, F x) {
    const __m256i byte = _mm256_set1_epi32(255);
    const __m256i words = _mm256_packus_epi32(_mm256_and_si256(_mm256_castps_si256(x.a), byte),
                                              _mm256_and_si256(_mm256_castps_si256(x.b), byte));
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
    _mm_storeu_si128(
        static_cast<__m128i*>(p),
        _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
  }
  static F NegFma(F x, F y, F z) {
    return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
  }

  static I SetInt(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  static I SubInt(I x, I y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
  template <int n>
  static I ShiftLeft(I x) {
    return {_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)};
  }
  static F ToFloat(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
  static B LoadBytes(const void* p) {
    const auto* halves = static_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
  }
  static B LowNibbles(B x) {
    const __m256i mask = _mm256_set1_epi8(15);
    return {_mm256_and_si256(x.a, mask), _mm256_and_si256(x.b, mask)};
  }
  static B HighNibbles(B x) {
    return LowNibbles({_mm256_srli_epi16(x.a, 4), _mm256_srli_epi16(x.b, 4)});
  }
  template <int shift, int mask>
  static B InsertBits(B x, B bits) {
    return {Insert<shift, mask>(x.a, bits.a), Insert<shift, mask>(x.b, bits.b)};
  }
  template <int bits>
  static I Dot(I sum, B codes, const int8_t* x) {
    int32_t four;
    __builtin_memcpy(&four, x, sizeof(four));
    const __m256i v = _mm256_set1_epi32(four);
    return {DotHalf<bits>(sum.a, codes.a, v), DotHalf<bits>(sum.b, codes.b, v)};
  }

 private:
  static __m256 Scale(__m256 x, __m256 n) {
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(_mm256_castps_si256(n), 23)));
  }
  static __m128i Load16(const void* p, int offset) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(static_cast<const char*>(p) + offset));
  }
  static __m128i Load8(const void* p, int offset) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(static_cast<const char*>(p) + offset));
  }
  static __m256 FromBf16(__m128i x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }
  template <int shift, int mask>
  static __m256i Insert(__m256i x, __m256i bits) {
    const __m256i moved = shift <= 4 ? _mm256_slli_epi16(bits, shift <= 4 ? 4 - shift : 0)
                                     : _mm256_srli_epi16(bits, shift <= 4 ? 0 : shift - 4);
    return _mm256_or_si256(x, _mm256_and_si256(moved, _mm256_set1_epi8(mask << 4)));
  }
  // Pairs of products must fit 16 bits. Codes up to 6 bits do; 8-bit ones do as |code - 128| times
  // a signed x.
  template <int bits>
  static __m256i DotHalf(__m256i sum, __m256i codes, __m256i x) {
    __m256i pairs;
    if constexpr (bits == 8) {
      const __m256i weights = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
      pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
    } else {
      pairs = _mm256_maddubs_epi16(codes, x);
    }
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

}  // namespace facet::simd
