#include "model/projection.h"

#include "ops/quant/quant.h"

namespace facet {

void Projector::Run(ConstMat x, std::span<const Product> products,
                    std::span<const AdaptedRows> adapted, float second_above) {
  if (precision_ == Precision::kPlain) {
    for (const Product& product : products)
      MatMulPlain(product.weight->weight, x, product.out, *pool_);
  } else {
    input_.Assign(x, second_above);
    packed_.clear();
    for (const Product& product : products)
      packed_.push_back({product.weight->packed, product.out});
    MatMulPacked(packed_, input_, *pool_);
  }
  for (const Product& product : products) AddAdapters(x, product, adapted);
}

// out += scale (x A^T) B^T for the rows that have an adapter with a term beside this weight.
void Projector::AddAdapters(ConstMat x, const Product& product,
                            std::span<const AdaptedRows> adapted) {
  const auto as_weight = [](const Buffer& m) {
    return WeightView{DType::kF32, m.rows(), m.cols(),
                      reinterpret_cast<const std::byte*>(m.view().data())};
  };
  for (const AdaptedRows& rows : adapted) {
    if (rows.adapter == nullptr) continue;
    const LoraPair* pair = rows.adapter->Find(*product.weight);
    if (pair == nullptr) continue;
    Mat inner = inner_.Resize(rows.count, pair->a.rows());
    Mat term = term_.Resize(rows.count, pair->b.rows());
    MatMulPlain(as_weight(pair->a), x.rows_at(rows.begin, rows.count), inner, *pool_);
    MatMulPlain(as_weight(pair->b), inner, term, *pool_);
    for (int64_t r = 0; r < rows.count; ++r) {
      float* out = product.out.row(rows.begin + r);
      for (int64_t i = 0; i < term.cols(); ++i) out[i] += pair->scale * term(r, i);
    }
  }
}

void Projector::Row(const Linear& weight, int64_t row, std::span<float> out) const {
  if (precision_ == Precision::kPlain) {
    DequantizeRow(weight.weight.type, weight.weight.row(row), out);
  } else {
    DequantizePackedRow(weight.packed, row, out);
  }
}

}  // namespace facet
