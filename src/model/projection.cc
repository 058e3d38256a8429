#include "model/projection.h"

#include "ops/quant/quant.h"

namespace facet {

void Projector::Run(ConstMat x, std::span<const Product> products) {
  for (const Product& product : products) MatMulPlain(product.weight->weight, x, product.out, *pool_);
}

void Projector::Row(const Linear& weight, int64_t row, std::span<float> out) const {
  DequantizeRow(weight.weight.type, weight.weight.row(row), out);
}

}  // namespace facet
