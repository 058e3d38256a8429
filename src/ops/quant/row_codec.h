// What each build of quant_rows.h offers.
#pragma once

#include <cstddef>

#include "base/dtype.h"

namespace facet {

// Rows of one type. n, a row's elements, is a multiple of the type's block.
struct RowCodec {
  void (*decode)(const std::byte* row, float* out, size_t n);
  void (*encode)(const float* in, size_t n, std::byte* row);  // null: no row can be encoded
};

// Of a floating type. All builds give the same bits; they differ in speed alone.
namespace quant_plain {
const RowCodec& CodecOf(DType type);
}  // namespace quant_plain
namespace quant_avx2 {
const RowCodec& CodecOf(DType type);
}  // namespace quant_avx2

}  // namespace facet
