// Rows of block-quantised weights to float32 and back. Layouts: ggml-quants of llama.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace facet {

// Decodes `out.size()` elements (a multiple of the block) of a row, of any floating type of
// base/dtype.h.
void DequantizeRow(DType type, const std::byte* row, std::span<float> out);

// Encodes a row; `in.size()` must be a multiple of the block, and CanQuantize(type).
void QuantizeRow(DType type, std::span<const float> in, std::byte* row);
// True for F32, F16, BF16, Q8_0, Q4_0, Q5_0, Q4_K, Q5_K and Q6_K.
bool CanQuantize(DType type);

// The first of a row's `n` elements that is NaN or infinite, -1 where none is. Of blocks it is the
// scales and minima that are looked at: the first element of the first block that has such a one.
int64_t FindNonFinite(DType type, const std::byte* row, int64_t n);

// IEEE half and bfloat16, round to nearest even.
float HalfToFloat(uint16_t half);
uint16_t FloatToHalf(float value);
inline float Bf16ToFloat(uint16_t bits) {
  return __builtin_bit_cast(float, uint32_t{bits} << 16);
}
uint16_t FloatToBf16(float value);

}  // namespace facet
