#include "model/train_projector.h"

#include <algorithm>
#include <cassert>

#include "base/random.h"
#include "ops/elementwise/dropout.h"
#include "ops/elementwise/elementwise.h"
#include "ops/quant/quant.h"

namespace facet {
namespace {

// Elements of a weight that are decoded at a time: the products of a 12B's matrices take a few such
// blocks, a small model's one.
constexpr int64_t kBlockElements = 16 << 20;

Sum SumOf(Into into) {
  return into == Into::kAdd ? Sum::kAdd : Sum::kStore;
}

DropoutMask MaskOf(const LoraTerm& lora, uint64_t key) {
  return {MixBits(key, lora.stream), lora.dropout};
}

}  // namespace

// Calls block for stretches of rows of w in float32: the matrix itself, or rows decoded one block
// after another.
void TrainProjector::ForFloatRows(const WeightView& w, const Block<float>& block) {
  if (w.type == DType::kF32) {
    block(0, w.rows, {reinterpret_cast<const float*>(w.data), w.rows, w.cols});
    return;
  }
  const int64_t step = std::max<int64_t>(1, kBlockElements / w.cols);
  for (int64_t begin = 0; begin < w.rows; begin += step) {
    const int64_t count = std::min(step, w.rows - begin);
    Mat rows = weight_rows_.Resize(count, w.cols);
    pool_.ParallelFor(
        count, [&](int64_t r) { DequantizeRow(w.type, w.row(begin + r), rows.row_span(r)); });
    block(begin, count, rows);
  }
}

void TrainProjector::ForBf16Rows(const WeightView& w, const Block<uint16_t>& block) {
  if (w.type == DType::kBF16) {
    block(0, w.rows, {reinterpret_cast<const uint16_t*>(w.data), w.rows, w.cols});
    return;
  }
  const int64_t step = std::max<int64_t>(1, kBlockElements / w.cols);
  for (int64_t begin = 0; begin < w.rows; begin += step) {
    const int64_t count = std::min(step, w.rows - begin);
    weight_bits_.resize(std::max<size_t>(weight_bits_.size(), count * w.cols));
    const MatrixView<uint16_t> rows(weight_bits_.data(), count, w.cols);
    pool_.ParallelFor(count, [&](int64_t r) {
      thread_local std::vector<float> row;
      row.resize(w.cols);
      DequantizeRow(w.type, w.row(begin + r), row);
      for (int64_t i = 0; i < w.cols; ++i) rows(r, i) = FloatToBf16(row[i]);
    });
    block(begin, count, rows);
  }
}

MatrixView<const uint16_t> TrainProjector::Bf16(ConstMat x, std::vector<uint16_t>& storage) {
  storage.resize(std::max<size_t>(storage.size(), x.rows() * x.cols()));
  const MatrixView<uint16_t> bits(storage.data(), x.rows(), x.cols());
  ToBf16(x, bits, pool_);
  return bits;
}

void TrainProjector::Forward(const TrainLinear& w, ConstMat x, Mat y) {
  assert(x.cols() == w.cols() && y.cols() == w.rows() && x.rows() == y.rows());
  if (compute_ == Compute::kBf16) {
    const auto bits = Bf16(x, x_bits_);
    ForBf16Rows(w.weight, [&](int64_t begin, int64_t count, const auto& rows) {
      Gemm(Bf16Operand{bits, false}, Bf16Operand{rows, true}, y.cols_at(begin, count), Sum::kStore,
           pool_);
    });
  } else {
    ForFloatRows(w.weight, [&](int64_t begin, int64_t count, const auto& rows) {
      Gemm(Plain(x), Transposed(rows), y.cols_at(begin, count), Sum::kStore, pool_);
    });
  }
  if (w.lora) LoraForward(*w.lora, x, y);
}

void TrainProjector::Backward(const TrainLinear& w, ConstMat x, ConstMat dy, Into into, Mat dx) {
  assert(x.cols() == w.cols() && dy.cols() == w.rows() && x.rows() == dy.rows());
  if (dx.data() != nullptr) InputGradient(w.weight, dy, into, dx);
  if (w.gradient != nullptr) WeightGradient(x, dy, {w.gradient, w.rows(), w.cols()});
  if (w.lora) LoraBackward(*w.lora, x, dy, dx);
}

// dx = dy W
void TrainProjector::InputGradient(const WeightView& w, ConstMat dy, Into into, Mat dx) {
  if (compute_ == Compute::kBf16) {
    const auto bits = Bf16(dy, dy_bits_);
    ForBf16Rows(w, [&](int64_t begin, int64_t count, const auto& rows) {
      Gemm(Bf16Operand{bits.cols_at(begin, count), false}, Bf16Operand{rows, false}, dx,
           begin > 0 ? Sum::kAdd : SumOf(into), pool_);
    });
  } else {
    ForFloatRows(w, [&](int64_t begin, int64_t count, const auto& rows) {
      Gemm(Plain(dy.cols_at(begin, count)), Plain(rows), dx, begin > 0 ? Sum::kAdd : SumOf(into),
           pool_);
    });
  }
}

// dW += dy^T x
void TrainProjector::WeightGradient(ConstMat x, ConstMat dy, Mat dw) {
  if (compute_ == Compute::kBf16) {
    Gemm(Bf16Operand{Bf16(dy, dy_bits_), true}, Bf16Operand{Bf16(x, x_bits_), false}, dw, Sum::kAdd,
         pool_);
  } else {
    Gemm(facet::Transposed(dy), Plain(x), dw, Sum::kAdd, pool_);
  }
}

ConstMat TrainProjector::Dropped(const LoraTerm& lora, ConstMat x) {
  if (!Drops(lora)) return x;
  Mat out = dropped_.Resize(x.rows(), x.cols());
  Dropout(MaskOf(lora, dropout_key_), x, out, pool_);
  return out;
}

// scale drop(x) A^T, given drop(x)
Mat TrainProjector::Inner(const LoraTerm& lora, ConstMat x) {
  Mat inner = inner_.Resize(x.rows(), lora.a.rows());
  Gemm(Plain(x), facet::Transposed(lora.a), inner, Sum::kStore, pool_);
  Scale(lora.scale, inner, pool_);
  return inner;
}

void TrainProjector::LoraForward(const LoraTerm& lora, ConstMat x, Mat y) {
  Gemm(Plain(Inner(lora, Dropped(lora, x))), facet::Transposed(lora.b), y, Sum::kAdd, pool_);
}

void TrainProjector::LoraBackward(const LoraTerm& lora, ConstMat x, ConstMat dy, Mat dx) {
  const ConstMat dropped = Dropped(lora, x);
  const Mat inner = Inner(lora, dropped);
  Gemm(facet::Transposed(dy), Plain(inner), lora.db, Sum::kAdd, pool_);
  Mat dinner = dinner_.Resize(x.rows(), lora.a.rows());
  Gemm(Plain(dy), Plain(lora.b), dinner, Sum::kStore, pool_);
  Scale(lora.scale, dinner, pool_);
  Gemm(facet::Transposed(dinner), Plain(dropped), lora.da, Sum::kAdd, pool_);
  if (dx.data() == nullptr) return;
  if (!Drops(lora)) return Gemm(Plain(dinner), Plain(lora.a), dx, Sum::kAdd, pool_);
  Mat through = dlora_x_.Resize(x.rows(), x.cols());
  Gemm(Plain(dinner), Plain(lora.a), through, Sum::kStore, pool_);
  Dropout(MaskOf(lora, dropout_key_), through, through, pool_);
  AddScaled(dx, through, 1.0f, pool_);
}

void TrainProjector::Row(const TrainLinear& w, int64_t row, std::span<float> out) const {
  DequantizeRow(w.weight.type, w.weight.row(row), out);
}

}  // namespace facet
