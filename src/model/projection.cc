#include "model/projection.h"

#include "ops/quant/quant.h"

namespace facet {

void Projector::Run(ConstMat x, std::span<const Product> products, float second_above) {
  if (precision_ == Precision::kPlain) {
    for (const Product& product : products)
      MatMulPlain(product.weight->weight, x, product.out, *pool_);
    return;
  }
  input_.Assign(x, second_above);
  packed_.clear();
  for (const Product& product : products) packed_.push_back({product.weight->packed, product.out});
  MatMulPacked(packed_, input_, *pool_);
}

void Projector::Row(const Linear& weight, int64_t row, std::span<float> out) const {
  if (precision_ == Precision::kPlain) {
    DequantizeRow(weight.weight.type, weight.weight.row(row), out);
  } else {
    DequantizePackedRow(weight.packed, row, out);
  }
}

}  // namespace facet
