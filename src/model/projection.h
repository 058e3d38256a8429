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

// Neighbouring rows of a step that have an adapter.
struct AdaptedRows {
  int64_t begin = 0, count = 0;
  const Adapter* adapter = nullptr;
};

class Projector {
 public:
  Projector(Precision precision, ThreadPool& pool) : precision_(precision), pool_(&pool) {}

  // All products of one input x (tokens, cols).
  void Run(ConstMat x, std::span<const Product> products);
  void Run(ConstMat x, const Linear& weight, Mat out) {
    const Product one{&weight, out};
    Run(x, {&one, 1});
  }
  // Adapters of the rows of every input that follows, until it is called again. Their terms are
  // added in float32 row by row: a row's result does not depend on its neighbours' adapters.
  void set_adapted_rows(std::vector<AdaptedRows> rows) { adapted_ = std::move(rows); }
  // One row of a matrix, decoded; for embedding look-ups.
  void Row(const Linear& weight, int64_t row, std::span<float> out) const;

  Precision precision() const { return precision_; }

 private:
  void AddAdapters(ConstMat x, const Product& product);

  Precision precision_;
  ThreadPool* pool_;
  MatMulInput input_;  // kept from call to call
  std::vector<PackedProduct> packed_;
  std::vector<AdaptedRows> adapted_;
  Buffer inner_, term_;
};

}  // namespace facet
