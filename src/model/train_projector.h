// y = x W^T in training, and its gradients: whole weights or LoRA terms, over weights of any type.
#pragma once

#include <functional>
#include <vector>

#include "base/matrix.h"
#include "base/thread_pool.h"
#include "model/trainable.h"
#include "ops/elementwise/backward.h"
#include "ops/gemm/gemm.h"

namespace facet {

class TrainProjector {
 public:
  TrainProjector(Compute compute, ThreadPool& pool) : compute_(compute), pool_(pool) {}

  // Dropout of the passes that follow; the same key gives the same choices. 0 switches it off.
  void set_dropout_key(uint64_t key) { dropout_key_ = key; }

  // y (tokens, rows) = x (tokens, cols) W^T, and the LoRA term.
  void Forward(const TrainLinear& w, ConstMat x, Mat y);
  // Given x (tokens, cols) and dy (tokens, rows): adds to the gradients of the weight or of the
  // LoRA term. dx (tokens, cols) is stored or added to; without data: not wanted.
  void Backward(const TrainLinear& w, ConstMat x, ConstMat dy, Into into, Mat dx);

  // One row of the weight in float32: w.cols() values.
  void Row(const TrainLinear& w, int64_t row, std::span<float> out) const;

 private:
  // Receives rows [begin, begin + count) of a weight as (count, cols).
  template <typename T>
  using Block = std::function<void(int64_t begin, int64_t count, const MatrixView<const T>& rows)>;
  void ForFloatRows(const WeightView& w, const Block<float>& block);
  void ForBf16Rows(const WeightView& w, const Block<uint16_t>& block);
  MatrixView<const uint16_t> Bf16(ConstMat x, std::vector<uint16_t>& storage);
  void InputGradient(const WeightView& w, ConstMat dy, Into into, Mat dx);
  void WeightGradient(ConstMat x, ConstMat dy, Mat dw);
  void LoraForward(const LoraTerm& lora, ConstMat x, Mat y);
  void LoraBackward(const LoraTerm& lora, ConstMat x, ConstMat dy, Mat dx);
  bool Drops(const LoraTerm& lora) const { return lora.dropout > 0 && dropout_key_ != 0; }
  ConstMat Dropped(const LoraTerm& lora, ConstMat x);
  Mat Inner(const LoraTerm& lora, ConstMat x);

  Compute compute_;
  ThreadPool& pool_;
  uint64_t dropout_key_ = 0;
  // Kept from call to call.
  Buffer weight_rows_;        // a block of a weight: (count, cols)
  Buffer dropped_, dlora_x_;  // drop(x), and the LoRA term's share of dx
  Buffer inner_, dinner_;     // scale drop(x) A^T: (tokens, rank)
  std::vector<uint16_t> weight_bits_, x_bits_, dy_bits_;  // bfloat16 of a block, of x and of dy
};

}  // namespace facet
