// Weights as training sees them: values, and the places where their gradients are added up. What
// has no place for a gradient is frozen.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "model/weights.h"

namespace facet {

// A norm's weights or a bias.
struct TrainVector {
  std::span<const float> value;
  float* gradient = nullptr;  // as many values, added to; null: frozen
};

// scale * B A beside a frozen weight (LoRA, arXiv 2106.09685).
struct LoraTerm {
  ConstMat a, b;        // (rank, cols), (rows, rank)
  Mat da, db;           // their gradients, added to
  float scale = 1;      // alpha / rank, or alpha / sqrt(rank)
  float dropout = 0;    // in [0, 1): share of its inputs that are dropped
  uint64_t stream = 0;  // tells the dropout of one projection from another's
};

// y = x W^T (+ scale drop(x) A^T B^T).
struct TrainLinear {
  WeightView weight;          // (rows, cols), of any type while it is frozen
  float* gradient = nullptr;  // (rows, cols), added to; null: frozen
  std::optional<LoraTerm> lora;

  int64_t rows() const { return weight.rows; }
  int64_t cols() const { return weight.cols; }
  bool trained() const { return gradient != nullptr || lora.has_value(); }
};

// Shapes are those of LayerWeights. A drafter's k, v and k_norm are empty, and so is v where keys
// are values.
struct TrainLayer {
  TrainVector attn_norm, q_norm, k_norm, post_attn_norm, ffn_norm, post_ffn_norm;
  TrainLinear q, k, v, o, gate, up, down;
  float layer_scalar = 1;  // a buffer of the checkpoint, never trained
};

// The position embeddings of columns or of rows: position i is embed_dim values at i * stride.
struct TrainPositions {
  const float* value = nullptr;
  float* gradient = nullptr;  // laid out alike, added to; null: frozen
  int64_t stride = 0;         // in values
};

// Shapes are those of VisionWeights.
struct TrainVision {
  TrainVector ln1, ln1_bias, ln2, ln2_bias, bias, pos_norm, pos_norm_bias;
  TrainLinear patch, projection;
  TrainPositions columns, rows;
  bool channels_first = false;  // the patch weights' columns are ordered channel, row, column

  bool trained() const { return patch.trained() || projection.trained(); }
};

struct TrainDrafter {
  TrainLinear pre_projection;   // (width, 2 * target width)
  TrainLinear post_projection;  // (target width, width)
};

struct TrainWeights {
  TrainLinear embedding;   // (vocab, width); the tied head too
  TrainVector final_norm;  // (width)
  std::vector<TrainLayer> layers;
  std::optional<TrainVision> vision;
  std::optional<TrainLinear> audio;  // (width, samples of a frame)
  std::optional<TrainDrafter> drafter;
};

// Everything frozen, where it lies.
TrainWeights FrozenWeights(const Weights& weights, const ModelConfig& config);

}  // namespace facet
