// y = x W^T for weight matrices of a checkpoint. Two paths: the plain one computes in float32 on
// dequantised weights and is the oracle; the fast one multiplies int8 activations with packed
// integer weights (declared in packed.h).
#pragma once

#include "base/dtype.h"
#include "base/matrix.h"
#include "base/thread_pool.h"

namespace facet {

// A weight matrix as it lies in a file: `rows` outputs, each a row of `cols` inputs.
struct WeightView {
  DType type = DType::kF32;
  int64_t rows = 0, cols = 0;
  const std::byte* data = nullptr;

  const std::byte* row(int64_t r) const { return data + r * RowBytes(type, cols); }
  WeightView rows_at(int64_t begin, int64_t count) const { return {type, count, cols, row(begin)}; }
};

// y (tokens, rows) = x (tokens, cols) W^T in float32. Every element is the same sum in the same
// order for any number of tokens and threads: 16 lanes along k, stretches of 8 products in float32,
// the stretches in double.
void MatMulPlain(const WeightView& w, ConstMat x, Mat y, ThreadPool& pool);

}  // namespace facet
