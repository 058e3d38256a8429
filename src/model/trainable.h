// Weights as training sees them: values, and the places where their gradients are added up. What
// has no place for a gradient is frozen.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "model/weights.h"

namespace facet {

struct TrainVector {
  std::span<const float> value;
  float* gradient = nullptr;
};

// scale * B A beside a frozen weight (LoRA, arXiv 2106.09685).
struct LoraTerm {
  ConstMat a, b;  // (rank, cols), (rows, rank)
  Mat da, db;     // their gradients
  float scale = 1;
  float dropout = 0;
  uint64_t stream = 0;  // tells the dropout of one projection from another's
};

// y = x W^T (+ scale drop(x) A^T B^T).
struct TrainLinear {
  WeightView weight;
  float* gradient = nullptr;  // (rows, cols)
  std::optional<LoraTerm> lora;

  int64_t rows() const { return weight.rows; }
  int64_t cols() const { return weight.cols; }
  bool trained() const { return gradient != nullptr || lora.has_value(); }
};

struct TrainLayer {
  TrainVector attn_norm, q_norm, k_norm, post_attn_norm, ffn_norm, post_ffn_norm;
  TrainLinear q, k, v, o, gate, up, down;
  float layer_scalar = 1;
};

// Positions of columns or of rows: position i is `width` values at i * stride.
struct TrainPositions {
  const float* value = nullptr;
  float* gradient = nullptr;
  int64_t stride = 0;
};

struct TrainVision {
  TrainVector ln1, ln1_bias, ln2, ln2_bias, bias, pos_norm, pos_norm_bias;
  TrainLinear patch, projection;
  TrainPositions columns, rows;
  bool channels_first = false;

  bool trained() const { return patch.trained() || projection.trained(); }
};

struct TrainDrafter {
  TrainLinear pre_projection, post_projection;
};

struct TrainWeights {
  TrainLinear embedding;
  TrainVector final_norm;
  std::vector<TrainLayer> layers;
  std::optional<TrainVision> vision;
  std::optional<TrainLinear> audio;
  std::optional<TrainDrafter> drafter;
};

// Everything frozen, where it lies.
TrainWeights FrozenWeights(const Weights& weights, const ModelConfig& config);

}  // namespace facet
