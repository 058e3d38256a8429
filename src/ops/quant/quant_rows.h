// The row codecs behind quant.h. Included once for each instruction set, in a namespace of its own,
// so that the compiler vectorises the same source for each: every build gives the same bits (no
// contraction, same order). Block layouts: ggml-common.h of llama.cpp. Scale search: weighted least
// squares over a grid of trial scales, the method of its k-quants.

#ifndef FACET_QUANT_NAMESPACE
#error "define FACET_QUANT_NAMESPACE before including ops/quant/quant_rows.h"
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

#include "ops/quant/quant.h"
#include "ops/quant/row_codec.h"

namespace facet::FACET_QUANT_NAMESPACE {
namespace {

constexpr int kSmall = 32;       // elements of a block of the simple types
constexpr int kSuper = 256;      // elements of a block of the K types
constexpr float kTiny = 1e-37f;  // smaller scales have no finite inverse, and are 0 as halves

inline uint16_t Load16(const std::byte* at) {
  uint16_t value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}
inline void Store16(std::byte* at, uint16_t value) {
  std::memcpy(at, &value, sizeof(value));
}
inline const uint8_t* Bytes(const std::byte* at) {
  return reinterpret_cast<const uint8_t*>(at);
}
inline uint8_t* Bytes(std::byte* at) {
  return reinterpret_cast<uint8_t*>(at);
}

// A half, without branches. Multiplying by 2^112 moves the exponent and makes subnormals right at
// once.
inline float FromHalf(uint16_t half) {
  const uint32_t magnitude = half & 0x7fffu;
  const uint32_t scaled =
      __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, magnitude << 13) * 0x1p112f);
  const uint32_t special = 0x7f800000u | (magnitude << 13);
  const uint32_t bits = magnitude >= 0x7c00u ? special : scaled;
  return __builtin_bit_cast(float, bits | uint32_t(half & 0x8000u) << 16);
}

inline uint16_t ToHalf(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  // Below the least normal half, adding 0.5 leaves the rounded subnormal in the lowest bits.
  const uint32_t small =
      __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t normal = ((magnitude + 0xfffu + (magnitude >> 13 & 1u)) >> 13) - (112u << 10);
  uint32_t half = magnitude < 0x38800000u ? small : normal;
  if (magnitude >= 0x47800000u) half = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  return static_cast<uint16_t>(sign | half);
}

inline uint16_t ToBf16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const uint32_t nan = bits >> 16 | 0x40u;
  return static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

// The nearest integer, halves away from zero; `value` is far inside the range of int.
inline int Round(float value) {
  const int whole = static_cast<int>(value);
  const float rest = value - static_cast<float>(whole);
  return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

// ---- decoding ----

void DecodeFloat(const std::byte* row, float* out, size_t n) {
  std::memcpy(out, row, n * sizeof(float));
}

void DecodeHalf(const std::byte* row, float* out, size_t n) {
  for (size_t i = 0; i < n; ++i) out[i] = FromHalf(Load16(row + 2 * i));
}

void DecodeBf16(const std::byte* row, float* out, size_t n) {
  for (size_t i = 0; i < n; ++i) out[i] = Bf16ToFloat(Load16(row + 2 * i));
}

// Q8_0: half scale, 32 signed bytes.
void DecodeQ8_0(const std::byte* row, float* out, size_t n) {
  for (size_t i = 0; i < n; i += kSmall, row += 34, out += kSmall) {
    const float scale = FromHalf(Load16(row));
    const int8_t* q = reinterpret_cast<const int8_t*>(row + 2);
    for (int j = 0; j < kSmall; ++j) out[j] = scale * static_cast<float>(q[j]);
  }
}

// Q4_0: half scale, 16 bytes; element j in the low, j + 16 in the high half of byte j, offset by 8.
void DecodeQ4_0(const std::byte* row, float* out, size_t n) {
  for (size_t i = 0; i < n; i += kSmall, row += 18, out += kSmall) {
    const float scale = FromHalf(Load16(row));
    const uint8_t* q = Bytes(row + 2);
    for (int j = 0; j < 16; ++j) {
      out[j] = scale * static_cast<float>((q[j] & 15) - 8);
      out[j + 16] = scale * static_cast<float>((q[j] >> 4) - 8);
    }
  }
}

// Q4_1: as Q4_0 with a half minimum instead of the offset.
void DecodeQ4_1(const std::byte* row, float* out, size_t n) {
  for (size_t i = 0; i < n; i += kSmall, row += 20, out += kSmall) {
    const float scale = FromHalf(Load16(row)), minimum = FromHalf(Load16(row + 2));
    const uint8_t* q = Bytes(row + 4);
    for (int j = 0; j < 16; ++j) {
      out[j] = scale * static_cast<float>(q[j] & 15) + minimum;
      out[j + 16] = scale * static_cast<float>(q[j] >> 4) + minimum;
    }
  }
}

// The fifth bit of each of 32 elements, from a 32-bit mask.
inline void FifthBits(const std::byte* mask, const uint8_t* q, int* value) {
  uint32_t bits;
  std::memcpy(&bits, mask, sizeof(bits));
  for (int j = 0; j < 16; ++j) {
    value[j] = (q[j] & 15) | static_cast<int>((bits >> j & 1u) << 4);
    value[j + 16] = (q[j] >> 4) | static_cast<int>((bits >> (j + 16) & 1u) << 4);
  }
}

void DecodeQ5_0(const std::byte* row, float* out, size_t n) {
  for (size_t i = 0; i < n; i += kSmall, row += 22, out += kSmall) {
    const float scale = FromHalf(Load16(row));
    int value[kSmall];
    FifthBits(row + 2, Bytes(row + 6), value);
    for (int j = 0; j < kSmall; ++j) out[j] = scale * static_cast<float>(value[j] - 16);
  }
}

void DecodeQ5_1(const std::byte* row, float* out, size_t n) {
  for (size_t i = 0; i < n; i += kSmall, row += 24, out += kSmall) {
    const float scale = FromHalf(Load16(row)), minimum = FromHalf(Load16(row + 2));
    int value[kSmall];
    FifthBits(row + 4, Bytes(row + 8), value);
    for (int j = 0; j < kSmall; ++j) out[j] = scale * static_cast<float>(value[j]) + minimum;
  }
}

// Eight 6-bit scales and eight 6-bit minima in 12 bytes: those of sub-blocks 4..7 keep their upper
// two bits in the bytes of 0..3.
inline void UnpackScales(const uint8_t* packed, int* scale, int* minimum) {
  for (int j = 0; j < 4; ++j) {
    scale[j] = packed[j] & 63;
    minimum[j] = packed[j + 4] & 63;
    scale[j + 4] = (packed[j + 8] & 15) | packed[j] >> 6 << 4;
    minimum[j + 4] = packed[j + 8] >> 4 | packed[j + 4] >> 6 << 4;
  }
}

inline void PackScales(const int* scale, const int* minimum, uint8_t* packed) {
  for (int j = 0; j < 4; ++j) {
    packed[j] = static_cast<uint8_t>(scale[j] | scale[j + 4] >> 4 << 6);
    packed[j + 4] = static_cast<uint8_t>(minimum[j] | minimum[j + 4] >> 4 << 6);
    packed[j + 8] = static_cast<uint8_t>((scale[j + 4] & 15) | (minimum[j + 4] & 15) << 4);
  }
}

// Q4_K: half scale and half minimum, 12 bytes of sub-block scales, then for each 64 elements 32
// bytes whose low halves are the first 32.
void DecodeQ4_K(const std::byte* row, float* out, size_t n) {
  for (size_t i = 0; i < n; i += kSuper, row += 144) {
    const float d = FromHalf(Load16(row)), dmin = FromHalf(Load16(row + 2));
    int scale[8], minimum[8];
    UnpackScales(Bytes(row + 4), scale, minimum);
    const uint8_t* q = Bytes(row + 16);
    for (int s = 0; s < 8; s += 2, q += 32, out += 64) {
      const float a = d * static_cast<float>(scale[s]),
                  a_min = dmin * static_cast<float>(minimum[s]);
      const float b = d * static_cast<float>(scale[s + 1]),
                  b_min = dmin * static_cast<float>(minimum[s + 1]);
      for (int j = 0; j < 32; ++j) {
        out[j] = a * static_cast<float>(q[j] & 15) - a_min;
        out[j + 32] = b * static_cast<float>(q[j] >> 4) - b_min;
      }
    }
  }
}

// Q5_K: as Q4_K with a fifth bit: bit s of byte j belongs to element j of sub-block s.
void DecodeQ5_K(const std::byte* row, float* out, size_t n) {
  for (size_t i = 0; i < n; i += kSuper, row += 176) {
    const float d = FromHalf(Load16(row)), dmin = FromHalf(Load16(row + 2));
    int scale[8], minimum[8];
    UnpackScales(Bytes(row + 4), scale, minimum);
    const uint8_t* high = Bytes(row + 16);
    const uint8_t* q = Bytes(row + 48);
    for (int s = 0; s < 8; s += 2, q += 32, out += 64) {
      const float a = d * static_cast<float>(scale[s]),
                  a_min = dmin * static_cast<float>(minimum[s]);
      const float b = d * static_cast<float>(scale[s + 1]),
                  b_min = dmin * static_cast<float>(minimum[s + 1]);
      for (int j = 0; j < 32; ++j) {
        out[j] = a * static_cast<float>((q[j] & 15) | (high[j] >> s & 1) << 4) - a_min;
        out[j + 32] = b * static_cast<float>(q[j] >> 4 | (high[j] >> (s + 1) & 1) << 4) - b_min;
      }
    }
  }
}

// Q6_K: for each 128 elements 64 bytes of low and 32 bytes of high bits; 16 signed scales; half
// scale last.
void DecodeQ6_K(const std::byte* row, float* out, size_t n) {
  for (size_t i = 0; i < n; i += kSuper, row += 210) {
    const uint8_t* low = Bytes(row);
    const uint8_t* high = Bytes(row + 128);
    const int8_t* scale = reinterpret_cast<const int8_t*>(row + 192);
    const float d = FromHalf(Load16(row + 208));
    for (int half = 0; half < 2; ++half, low += 64, high += 32, scale += 8, out += 128) {
      for (int s = 0; s < 2; ++s) {
        float a[4];
        for (int k = 0; k < 4; ++k) a[k] = d * static_cast<float>(scale[s + 2 * k]);
        for (int j = 16 * s; j < 16 * s + 16; ++j) {
          out[j] = a[0] * static_cast<float>(((low[j] & 15) | (high[j] & 3) << 4) - 32);
          out[j + 32] =
              a[1] * static_cast<float>(((low[j + 32] & 15) | (high[j] >> 2 & 3) << 4) - 32);
          out[j + 64] = a[2] * static_cast<float>((low[j] >> 4 | (high[j] >> 4 & 3) << 4) - 32);
          out[j + 96] = a[3] * static_cast<float>((low[j + 32] >> 4 | (high[j] >> 6) << 4) - 32);
        }
      }
    }
  }
}

// ---- encoding ----

void EncodeFloat(const float* in, size_t n, std::byte* row) {
  std::memcpy(row, in, n * sizeof(float));
}

void EncodeHalf(const float* in, size_t n, std::byte* row) {
  for (size_t i = 0; i < n; ++i) Store16(row + 2 * i, ToHalf(in[i]));
}

void EncodeBf16(const float* in, size_t n, std::byte* row) {
  for (size_t i = 0; i < n; ++i) Store16(row + 2 * i, ToBf16(in[i]));
}

void EncodeQ8_0(const float* in, size_t n, std::byte* row) {
  for (size_t i = 0; i < n; i += kSmall, row += 34, in += kSmall) {
    float largest = 0;
    for (int j = 0; j < kSmall; ++j) largest = std::max(largest, std::fabs(in[j]));
    const float scale = largest / 127.0f;
    const float inverse = std::fabs(scale) > kTiny ? 1.0f / scale : 0.0f;
    Store16(row, ToHalf(scale));
    int8_t* q = reinterpret_cast<int8_t*>(row + 2);
    for (int j = 0; j < kSmall; ++j) {
      q[j] = static_cast<int8_t>(std::clamp(Round(in[j] * inverse), -127, 127));
    }
  }
}

// The element of largest magnitude becomes exactly -8 (or the first of several).
void EncodeQ4_0(const float* in, size_t n, std::byte* row) {
  for (size_t i = 0; i < n; i += kSmall, row += 18, in += kSmall) {
    float extreme = 0;
    for (int j = 0; j < kSmall; ++j) {
      if (std::fabs(in[j]) > std::fabs(extreme)) extreme = in[j];
    }
    const float scale = extreme / -8.0f;
    const float inverse = std::fabs(scale) > kTiny ? 1.0f / scale : 0.0f;
    Store16(row, ToHalf(scale));
    uint8_t q[kSmall];
    for (int j = 0; j < kSmall; ++j) {
      q[j] = static_cast<uint8_t>(std::clamp(static_cast<int>(in[j] * inverse + 8.5f), 0, 15));
    }
    for (int j = 0; j < 16; ++j) Bytes(row + 2)[j] = static_cast<uint8_t>(q[j] | q[j + 16] << 4);
  }
}

// As Q4_0 with 5 bits: the element of largest magnitude becomes exactly -16.
void EncodeQ5_0(const float* in, size_t n, std::byte* row) {
  for (size_t i = 0; i < n; i += kSmall, row += 22, in += kSmall) {
    float extreme = 0;
    for (int j = 0; j < kSmall; ++j) {
      if (std::fabs(in[j]) > std::fabs(extreme)) extreme = in[j];
    }
    const float scale = extreme / -16.0f;
    const float inverse = std::fabs(scale) > kTiny ? 1.0f / scale : 0.0f;
    Store16(row, ToHalf(scale));
    uint32_t fifth = 0;
    uint8_t q[kSmall];
    for (int j = 0; j < kSmall; ++j) {
      q[j] = static_cast<uint8_t>(std::clamp(static_cast<int>(in[j] * inverse + 16.5f), 0, 31));
      fifth |= uint32_t{q[j]} >> 4 << j;
    }
    std::memcpy(row + 2, &fifth, sizeof(fifth));
    for (int j = 0; j < 16; ++j) {
      Bytes(row + 6)[j] = static_cast<uint8_t>((q[j] & 15) | (q[j + 16] & 15) << 4);
    }
  }
}

// x ~ scale * q - minimum with q in [0, top] and minimum >= 0.
struct Affine {
  float scale = 0, minimum = 0;
};

// Eight numbers at once; compilers lower it to what the instruction set has, with the same bits.
using Lanes = float __attribute__((vector_size(32)));
using IntLanes = int32_t __attribute__((vector_size(32)));
constexpr int kLanes = 8, kLaneBlocks = kSmall / kLanes;

inline float SumLanes(const Lanes& v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

// 32 elements with the weights of their errors and what every trial needs of them.
struct AffineBlock {
  Lanes x[kLaneBlocks], weight[kLaneBlocks];
  float low, high, sum_w, sum_x;
};

// One trial: elements rounded to a grid of `levels` steps from low to high, and the line that fits
// them best.
struct AffineTrial {
  Affine fit;
  float error = -1;  // negative: no fit
};

AffineTrial TryAffine(const AffineBlock& block, float levels, int top) {
  const float inverse = levels / (block.high - block.low);
  const Lanes last = Lanes{} + static_cast<float>(top);
  Lanes q[kLaneBlocks], sum_q{}, sum_qq{}, sum_xq{};
  for (int i = 0; i < kLaneBlocks; ++i) {
    // Not negative, so adding a half and cutting off rounds.
    const Lanes level = inverse * (block.x[i] - block.low) + 0.5f;
    q[i] = __builtin_convertvector(__builtin_convertvector(level, IntLanes), Lanes);
    q[i] = q[i] < last ? q[i] : last;
    const Lanes weighted = block.weight[i] * q[i];
    sum_q += weighted;
    sum_qq += weighted * q[i];
    sum_xq += weighted * block.x[i];
  }
  const float sq = SumLanes(sum_q), sqq = SumLanes(sum_qq), sxq = SumLanes(sum_xq);
  const float determinant = block.sum_w * sqq - sq * sq;
  if (determinant <= 0) return {};
  float scale = (block.sum_w * sxq - block.sum_x * sq) / determinant;
  float offset = (sqq * block.sum_x - sq * sxq) / determinant;
  if (offset > 0) {
    offset = 0;
    scale = sxq / sqq;
  }
  if (scale <= 0) return {};
  Lanes error{};
  for (int i = 0; i < kLaneBlocks; ++i) {
    const Lanes off = scale * q[i] + offset - block.x[i];
    error += block.weight[i] * off * off;
  }
  return {{scale, -offset}, SumLanes(error)};
}

// The affine fit of 32 elements with the least weighted squared error over trial scales.
Affine FitAffine(const float* x, int top) {
  AffineBlock block{{}, {}, 0, x[0], 0, 0};
  float square = 0;
  for (int j = 0; j < kSmall; ++j) {
    block.low = std::min(block.low, x[j]);
    block.high = std::max(block.high, x[j]);
    square += x[j] * x[j];
  }
  if (block.high - block.low <= kTiny) return {0, -block.low};
  // Large elements count more, none counts nothing.
  const float typical = std::sqrt(square / kSmall);
  Lanes sum_w{}, sum_x{};
  for (int i = 0; i < kLaneBlocks; ++i) {
    std::memcpy(&block.x[i], x + kLanes * i, sizeof(Lanes));
    const Lanes negative = -block.x[i];
    block.weight[i] = typical + (block.x[i] > negative ? block.x[i] : negative);
    sum_w += block.weight[i];
    sum_x += block.weight[i] * block.x[i];
  }
  block.sum_w = SumLanes(sum_w);
  block.sum_x = SumLanes(sum_x);
  const float levels = static_cast<float>(top);
  AffineTrial best = TryAffine(block, levels, top);
  if (best.error < 0) best.fit = {(block.high - block.low) / levels, -block.low};
  // The others stretch or shrink the grid by up to one level.
  for (int step = -10; step <= 10; ++step) {
    if (step == 0) continue;
    const AffineTrial trial = TryAffine(block, levels + 0.1f * static_cast<float>(step), top);
    if (trial.error >= 0 && (best.error < 0 || trial.error < best.error)) best = trial;
  }
  return best.fit;
}

// Scales, minima and elements of a super-block of 4 or 5 bits; writes the 16 bytes of header and
// the 256 elements.
void EncodeAffineSuper(const float* in, int top, std::byte* block, uint8_t* q) {
  Affine fit[8];
  float largest_scale = 0, largest_minimum = 0;
  for (int s = 0; s < 8; ++s) {
    fit[s] = FitAffine(in + 32 * s, top);
    largest_scale = std::max(largest_scale, fit[s].scale);
    largest_minimum = std::max(largest_minimum, fit[s].minimum);
  }
  const uint16_t d_half = ToHalf(largest_scale / 63.0f),
                 dmin_half = ToHalf(largest_minimum / 63.0f);
  const float d = FromHalf(d_half), dmin = FromHalf(dmin_half);
  int scale[8], minimum[8];
  for (int s = 0; s < 8; ++s) {
    scale[s] = d > 0 ? std::clamp(Round(std::min(fit[s].scale / d, 63.0f)), 0, 63) : 0;
    minimum[s] = dmin > 0 ? std::clamp(Round(std::min(fit[s].minimum / dmin, 63.0f)), 0, 63) : 0;
    const float step = d * static_cast<float>(scale[s]),
                shift = dmin * static_cast<float>(minimum[s]);
    const float inverse = step > 0 ? 1.0f / step : 0.0f;
    for (int j = 32 * s; j < 32 * s + 32; ++j) {
      const float level = std::clamp((in[j] + shift) * inverse, 0.0f, static_cast<float>(top));
      q[j] = static_cast<uint8_t>(Round(level));
    }
  }
  Store16(block, d_half);
  Store16(block + 2, dmin_half);
  PackScales(scale, minimum, Bytes(block + 4));
}

void EncodeQ4_K(const float* in, size_t n, std::byte* row) {
  for (size_t i = 0; i < n; i += kSuper, row += 144, in += kSuper) {
    uint8_t q[kSuper];
    EncodeAffineSuper(in, 15, row, q);
    uint8_t* out = Bytes(row + 16);
    for (int g = 0; g < kSuper; g += 64) {
      for (int j = 0; j < 32; ++j) *out++ = static_cast<uint8_t>(q[g + j] | q[g + 32 + j] << 4);
    }
  }
}

void EncodeQ5_K(const float* in, size_t n, std::byte* row) {
  for (size_t i = 0; i < n; i += kSuper, row += 176, in += kSuper) {
    uint8_t q[kSuper];
    EncodeAffineSuper(in, 31, row, q);
    uint8_t* high = Bytes(row + 16);
    uint8_t* out = Bytes(row + 48);
    std::fill(high, high + 32, uint8_t{0});
    for (int g = 0; g < kSuper; g += 64) {
      for (int j = 0; j < 32; ++j) {
        const uint8_t a = q[g + j], b = q[g + 32 + j];
        *out++ = static_cast<uint8_t>((a & 15) | (b & 15) << 4);
        high[j] = static_cast<uint8_t>(high[j] | (a >> 4) << (g / 32) | (b >> 4) << (g / 32 + 1));
      }
    }
  }
}

// The scale of 16 elements with the least squared error weighted by x^2, for q in [-32, 31].
float FitSymmetric(const float* x) {
  float extreme = 0;
  for (int j = 0; j < 16; ++j) {
    if (std::fabs(x[j]) > std::fabs(extreme)) extreme = x[j];
  }
  // Below this a half cannot hold the scale.
  if (std::fabs(extreme) < 1e-15f) return 0;
  Lanes value[2];
  std::memcpy(value, x, sizeof(value));
  const Lanes least = Lanes{} - 32.0f, most = Lanes{} + 31.0f;
  float best_scale = 0, best_gain = 0;
  for (int trial = -9; trial <= 9; ++trial) {
    const float inverse = -(32.0f + 0.1f * static_cast<float>(trial)) / extreme;
    Lanes xq{}, qq{};
    for (const Lanes& v : value) {
      Lanes level = inverse * v;
      level = level > least ? level : least;
      level = level < most ? level : most;
      // Rounded by cutting off a number that is not negative.
      const Lanes q =
          __builtin_convertvector(__builtin_convertvector(level + 32.5f, IntLanes) - 32, Lanes);
      const Lanes weighted = v * v * q;
      xq += weighted * v;
      qq += weighted * q;
    }
    const float sum_xq = SumLanes(xq), sum_qq = SumLanes(qq);
    // The error falls by this much when the scale is the best one for these q.
    if (sum_qq > 0 && sum_xq * sum_xq > best_gain * sum_qq) {
      best_gain = sum_xq * sum_xq / sum_qq;
      best_scale = sum_xq / sum_qq;
    }
  }
  // Weights of tiny elements vanish; the plain scale is then as good.
  return best_scale != 0 ? best_scale : extreme / -32.0f;
}

void EncodeQ6_K(const float* in, size_t n, std::byte* row) {
  for (size_t i = 0; i < n; i += kSuper, row += 210, in += kSuper) {
    float fit[16], extreme = 0;
    for (int s = 0; s < 16; ++s) {
      fit[s] = FitSymmetric(in + 16 * s);
      if (std::fabs(fit[s]) > std::fabs(extreme)) extreme = fit[s];
    }
    const uint16_t d_half = ToHalf(extreme / -128.0f);
    const float d = FromHalf(d_half);
    int8_t* scale = reinterpret_cast<int8_t*>(row + 192);
    uint8_t q[kSuper];
    for (int s = 0; s < 16; ++s) {
      const float ratio = d != 0 ? std::clamp(fit[s] / d, -128.0f, 127.0f) : 0.0f;
      scale[s] = static_cast<int8_t>(Round(ratio));
      const float step = d * static_cast<float>(scale[s]);
      const float inverse = step != 0 ? 1.0f / step : 0.0f;
      for (int j = 16 * s; j < 16 * s + 16; ++j) {
        q[j] = static_cast<uint8_t>(Round(std::clamp(in[j] * inverse, -32.0f, 31.0f)) + 32);
      }
    }
    Store16(row + 208, d_half);
    uint8_t* low = Bytes(row);
    uint8_t* high = Bytes(row + 128);
    for (int half = 0; half < kSuper; half += 128, low += 64, high += 32) {
      const uint8_t* v = q + half;
      for (int j = 0; j < 32; ++j) {
        low[j] = static_cast<uint8_t>((v[j] & 15) | (v[j + 64] & 15) << 4);
        low[j + 32] = static_cast<uint8_t>((v[j + 32] & 15) | (v[j + 96] & 15) << 4);
        high[j] = static_cast<uint8_t>(v[j] >> 4 | v[j + 32] >> 4 << 2 | v[j + 64] >> 4 << 4 |
                                       v[j + 96] >> 4 << 6);
      }
    }
  }
}

}  // namespace

const RowCodec& CodecOf(DType type) {
  static constexpr RowCodec kCodecs[] = {
      {DecodeFloat, EncodeFloat},  // kF32
      {DecodeHalf, EncodeHalf},    // kF16
      {DecodeBf16, EncodeBf16},    // kBF16
      {DecodeQ8_0, EncodeQ8_0},    // kQ8_0
      {DecodeQ4_0, EncodeQ4_0},    // kQ4_0
      {DecodeQ4_1, nullptr},       // kQ4_1
      {DecodeQ5_0, EncodeQ5_0},    // kQ5_0
      {DecodeQ5_1, nullptr},       // kQ5_1
      {DecodeQ4_K, EncodeQ4_K},    // kQ4_K
      {DecodeQ5_K, EncodeQ5_K},    // kQ5_K
      {DecodeQ6_K, EncodeQ6_K},    // kQ6_K
  };
  static_assert(std::size(kCodecs) == static_cast<size_t>(DType::kQ6_K) + 1);
  return kCodecs[static_cast<size_t>(type)];
}

}  // namespace facet::FACET_QUANT_NAMESPACE
