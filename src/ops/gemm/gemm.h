// Dense products of training: c = op(a) op(b), float32 or bfloat16 operands, float32 sums. oneDNN
// computes tiles of c, one thread each; tiles follow from the shape alone, so a result does not
// depend on the number of threads.
#pragma once

#include <cstdint>

#include "base/matrix.h"
#include "base/thread_pool.h"

namespace facet {

// What the operands of training's products are rounded to.
enum class Compute { kF32, kBf16 };

// A matrix as it stands, or read with rows and columns exchanged.
template <typename T>
struct Operand {
  MatrixView<const T> matrix;
  bool transposed = false;

  int64_t rows() const { return transposed ? matrix.cols() : matrix.rows(); }
  int64_t cols() const { return transposed ? matrix.rows() : matrix.cols(); }
  // op(matrix) rows, and columns, [begin, begin + count).
  Operand rows_at(int64_t begin, int64_t count) const {
    return transposed ? Operand{matrix.cols_at(begin, count), true}
                      : Operand{matrix.rows_at(begin, count), false};
  }
  Operand cols_at(int64_t begin, int64_t count) const {
    return transposed ? Operand{matrix.rows_at(begin, count), true}
                      : Operand{matrix.cols_at(begin, count), false};
  }
};

using FloatOperand = Operand<float>;
using Bf16Operand = Operand<uint16_t>;

inline FloatOperand Plain(ConstMat matrix) {
  return {matrix, false};
}
inline FloatOperand Transposed(ConstMat matrix) {
  return {matrix, true};
}

enum class Sum { kStore, kAdd };  // c = product, or c += product

// c (m, n) = a (m, k) b (k, n).
void Gemm(FloatOperand a, FloatOperand b, Mat c, Sum sum, ThreadPool& pool);
// Operands in bfloat16. Where the processor has no bfloat16 products, in float32 on the same
// values.
void Gemm(Bf16Operand a, Bf16Operand b, Mat c, Sum sum, ThreadPool& pool);

// The same on the calling thread alone, for a block of a larger loop.
void GemmHere(FloatOperand a, FloatOperand b, Mat c, Sum sum);

// True where this processor multiplies bfloat16 natively.
bool HasBf16Products();

}  // namespace facet
