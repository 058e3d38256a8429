// y = x W^T for the model's projections, in the precision that was asked for. The one place that
// knows which kernel runs.
#pragma once

#include <span>
#include <vector>

#include "base/matrix.h"
#include "base/thread_pool.h"
#include "model/adapter.h"
#include "model/weights.h"

namespace facet {

enum class Precision {
  kPlain,  // float32 on dequantised weights: the oracle
  kFast,   // packed integer weights, int8 activations
};

// One product of a shared input.
struct Product {
  const Linear* weight = nullptr;
  Mat out;  // (tokens, weight->rows())
};

// Neighbouring rows of a product's input, and the adapter whose terms are added to theirs.
struct AdaptedRows {
  int64_t begin = 0, count = 0;
  const Adapter* adapter = nullptr;  // null: none
};

class Projector {
 public:
  Projector(Precision precision, ThreadPool& pool) : precision_(precision), pool_(&pool) {}

  // All products of one input x (tokens, cols). `adapted` rows get their adapters' terms, added in
  // float32 row by row: a row's result does not depend on its neighbours' adapters. second_above:
  // see MatMulInput::Assign.
  void Run(ConstMat x, std::span<const Product> products, std::span<const AdaptedRows> adapted = {},
           float second_above = kSecondAbove);
  void Run(ConstMat x, const Linear& weight, Mat out, std::span<const AdaptedRows> adapted = {},
           float second_above = kSecondAbove) {
    const Product one{&weight, out};
    Run(x, {&one, 1}, adapted, second_above);
  }
  // One row of a matrix in float32, weight.cols() values; for embedding look-ups.
  void Row(const Linear& weight, int64_t row, std::span<float> out) const;

  Precision precision() const { return precision_; }

 private:
  void AddAdapters(ConstMat x, const Product& product, std::span<const AdaptedRows> adapted);

  Precision precision_;
  ThreadPool* pool_;
  // Kept from call to call, so that a decode allocates nothing.
  MatMulInput input_;
  std::vector<PackedProduct> packed_;
  Buffer inner_;  // x A^T: (rows with an adapter, rank)
  Buffer term_;   // (x A^T) B^T: (rows with an adapter, weight.rows())
};

}  // namespace facet
