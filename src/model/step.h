// One forward step: the rows of all chunks, taken through the decoder layers together.
#pragma once

#include <span>
#include <vector>

#include "model/model.h"
#include "ops/elementwise/elementwise.h"

namespace facet {

// Buffers that live from step to step, so that a decode allocates nothing.
struct Model::Workspace {
  Buffer x, h, y;                    // residual stream; normed input; output of a block: (rows, width)
  Buffer q, k, v, attended;          // projections; the result of attention
  Buffer gate, up;                   // (rows, ffn)
  Buffer embedded;                   // embedders
  RopeTable sliding, full;
  std::vector<int32_t> positions;                    // by row
  std::vector<std::vector<const std::byte*>> tiles;  // by chunk
  std::vector<AttentionRow> ranges;                  // by row
};

class Step {
 public:
  Step(Model& model, std::span<const Chunk> chunks);

  // Checks the chunks, reserves their pages and places the embeddings of tokens and soft runs.
  Result<void> Begin();
  void Layer(int layer);
  // States after the final norm of the rows that were asked for.
  void Finish(Buffer& hidden);

 private:
  struct Row {
    int chunk = 0;
    int position = 0;  // absolute, in its sequence
    int run_end = 0;   // end of the picture it lies in; 0 outside
  };
  Result<void> AddChunk(int index);
  Result<void> Embed(int row, int32_t token, const SoftRun* run);
  void FillAngles();
  void Attention(int layer, ConstMat h, Mat y);
  void WriteRecords(int layer, ConstMat keys, ConstMat values);
  void FeedForward(const LayerWeights& w, ConstMat h, Mat y);
  void FillRanges(int layer);
  void AddNormed(Mat y, const Vector& norm, float scale);
  void Trace(std::string_view name, int layer, ConstMat values) const {
    if (model_.trace_) model_.trace_(name, layer, values);
  }

  Model& model_;
  const TextConfig& config_;
  Model::Workspace& work_;
  std::span<const Chunk> chunks_;
  std::vector<Row> rows_;
  bool sliding_filled_ = false, full_filled_ = false;
};

// Rearranges one head between the model's order and that of compact records (DESIGN section 5): rotated dimensions
// [0, pairs) and [half, half + pairs) come first in keys and last in values.
struct CompactOrder {
  int head_dim = 0, pairs = 0;
  int rotated() const { return 2 * pairs; }
  int still() const { return head_dim - 2 * pairs; }
  // Heads of queries (rows, heads * head_dim) for compact keys: turned dimensions, then q * k_norm of the others.
  void Queries(ConstMat q, std::span<const float> k_norm, Mat out) const;
  // Heads of values as compact records hold them, back in the model's order.
  void Values(ConstMat values, Mat out) const;
  // Calls f(dimension, place) for each rotated dimension, place counting from 0; likewise for the others.
  template <typename F>
  void ForRotated(F f) const {
    for (int i = 0; i < pairs; ++i) f(i, i), f(head_dim / 2 + i, pairs + i);
  }
  template <typename F>
  void ForStill(F f) const {
    const int half = head_dim / 2, width = half - pairs;
    for (int i = 0; i < width; ++i) f(pairs + i, i), f(half + pairs + i, width + i);
  }
};

// Radians a position for each pair that turns, rounded as the reference computes them in float32.
std::vector<float> RopeFrequencies(const RopeConfig& rope, int head_dim);

}  // namespace facet
