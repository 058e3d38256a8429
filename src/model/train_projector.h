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

  // y (tokens, rows) = x (tokens, cols) W^T
  void Forward(const TrainLinear& w, ConstMat x, Mat y);
  // The weight's gradients, added up; dx stored or added to, unless it has no data.
  void Backward(const TrainLinear& w, ConstMat x, ConstMat dy, Into into, Mat dx);

  // Row of a matrix in float32.
  void Row(const TrainLinear& w, int64_t row, std::span<float> out) const;

 private:
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
  Buffer weight_rows_, dropped_, inner_, dinner_, dlora_x_;
  std::vector<uint16_t> weight_bits_, x_bits_, dy_bits_;
};

}  // namespace facet
