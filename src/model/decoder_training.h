// The decoder as training runs it: forward over a packed batch without a cache, and backward
// (decoder_backward.cc). Of the forward each layer's input is kept, and the activations of as many
// layers as a budget allows; the backward recomputes the others (activation checkpointing).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "base/thread_pool.h"
#include "model/config.h"
#include "model/train_projector.h"
#include "model/trainable.h"
#include "ops/attention/dense.h"
#include "ops/elementwise/elementwise.h"

namespace facet {

// Rows of several sequences, packed side by side; no sequence attends to another.
struct TrainRows {
  std::vector<int32_t> positions;       // by row, in its own sequence
  std::vector<KeyRange> sliding, full;  // by row: the rows whose keys it sees in either layer type
  std::vector<int32_t> outputs;         // rows whose last states are wanted, ascending
};

// Keys and values of a layer as its attention reads them, normed and rotated: (rows, kv_heads *
// head_dim).
struct LayerKeys {
  Buffer k, v;
};

class DecoderTraining {
 public:
  DecoderTraining(const TextConfig& config, const TrainWeights& weights, TrainProjector& projector,
                  ThreadPool& pool)
      : config_(config), weights_(weights), projector_(projector), pool_(pool) {}

  // Bytes that kept activations may take.
  void set_keep_bytes(size_t bytes) { keep_bytes_ = bytes; }

  // Forward copies this layer's keys and values to `to`, one place for each layer.
  void KeepKeys(int layer, LayerKeys* to) { kept_keys_[layer] = to; }
  // A drafter's layers have queries alone: they read these external keys and values, by layer type,
  // and the ranges of TrainRows are rows of them. They get no gradient. Both must live until
  // Backward.
  void ReadKeys(const LayerKeys* sliding, const LayerKeys* full) {
    external_sliding_ = sliding, external_full_ = full;
  }

  // The matrix (rows, width) that the caller fills with embeddings. `rows` must live until
  // Backward. Without `gradients` nothing is kept.
  Mat Begin(const TrainRows& rows, bool gradients);
  // The last layer's states of the rows that are wanted, before the final norm: (outputs, width).
  ConstMat Forward();
  // Given the gradient of Forward's result (used up), adds to the weights' gradients. With
  // `embeddings` returns the gradient of Begin's matrix, else nothing.
  Mat Backward(Mat doutput, bool embeddings);

 private:
  // The activations of a layer that are expensive to recompute: the results of its products and of
  // its attention.
  struct Tape {
    Buffer q;         // Wq h: (query rows, heads * head_dim)
    Buffer k, v;      // Wk h, Wv h: (rows, kv_heads * head_dim)
    Buffer attended;  // attention's output before Wo: (query rows, heads * head_dim)
    Buffer log_sums;  // logarithms of its softmaxes' denominators: (query rows, heads)
    Buffer y;         // Wo attended: (query rows, width)
    Buffer gate, up;  // Wgate g, Wup g: (query rows, ffn)
    Buffer z;         // Wdown act: (query rows, width)
    bool kept = false;
  };
  // One layer's job: its weights, its input, and its query rows. Those are all rows, except in the
  // last layer, where only rows whose output is wanted have queries.
  struct Layer {
    int index = 0;
    const LayerConfig& c;
    const TrainLayer& w;
    ConstMat x;                        // (rows, width)
    std::span<const KeyRange> ranges;  // by query row: the rows whose keys it sees
    std::span<const int32_t> queries;  // numbers of the query rows; empty: all
    const RopeTable& key_angles;       // by row
    const RopeTable& query_angles;     // by query row
    const LayerKeys* external_keys;    // read in place of its own keys; null: its own
    int64_t query_rows() const { return static_cast<int64_t>(ranges.size()); }
  };

  Layer MakeLayer(int index);
  RmsNormArgs Norm(const TrainVector& weight) const {
    return {static_cast<int64_t>(weight.value.size()), weight.value.data(), config_.eps};
  }
  ConstMat QueryRows(const Layer& layer, ConstMat all, Buffer& gathered);
  DenseAttention AttentionOf(const Layer& layer) const;

  void LayerForward(const Layer& layer, Tape& tape);
  void NormInput(const Layer& layer);
  void ProjectHeads(const Layer& layer, Tape& tape);
  void NormHeads(const Layer& layer, const Tape& tape);
  void AddAttention(const Layer& layer, const Tape& tape);
  void Gate(const Tape& tape);
  void Output(const Layer& layer, const Tape& tape, Mat out);

  void LayerBackward(const Layer& layer, Tape& tape, bool input_wanted);
  void FeedForwardBackward(const Layer& layer, Tape& tape, Mat d);
  void AttentionBackward(const Layer& layer, Tape& tape, Mat d);
  void HeadsBackward(const Layer& layer, const Tape& tape);
  void InputBackward(const Layer& layer, Mat d, bool input_wanted);

  const TextConfig& config_;
  const TrainWeights& weights_;
  TrainProjector& projector_;
  ThreadPool& pool_;
  size_t keep_bytes_ = 0;
  std::map<int, LayerKeys*> kept_keys_;  // by layer
  const LayerKeys *external_sliding_ = nullptr, *external_full_ = nullptr;

  // Of the batch.
  const TrainRows* rows_ = nullptr;
  bool gradients_ = false;
  std::vector<KeyRange> last_ranges_;  // of the last layer's query rows
  RopeTable sliding_, full_;           // angles by row, of either layer type
  RopeTable last_;                     // angles by query row of the last layer
  std::vector<Buffer> inputs_;         // by layer: (rows, width); two in turn without gradients
  std::vector<Tape> tapes_;            // by layer
  Tape shared_;                        // of the layer at work, where it is not kept
  Buffer output_;                      // of the last layer: (query rows, width)
  Buffer d_;       // gradient of the layer's output, then of its input: (rows or query rows, width)
  Buffer next_d_;  // (rows, width); takes d_'s place where the rows become more

  // Activations of the layer at work. T is rows, Q is query rows.
  ConstMat query_h_;                // h of the query rows: (Q, width)
  Buffer h_;                        // rms(x, attn_norm): (T, width)
  Buffer gathered_h_, gathered_x_;  // rows of h and x, where Q < T: (Q, width)
  Buffer q_;                        // normed, rotated, scaled: (Q, heads * head_dim)
  Buffer k_, v_;                    // normed, k rotated: (T, kv_heads * head_dim)
  Buffer x1_;                       // x + rms(y): (Q, width)
  Buffer g_;                        // rms(x1, ffn_norm): (Q, width)
  Buffer act_;                      // gelu_tanh(gate) * up: (Q, ffn)

  // Gradients of the layer at work.
  Buffer dz_;              // of z, then of y: (Q, width)
  Buffer dact_;            // (Q, ffn)
  Buffer dg_;              // (Q, width)
  Buffer dattended_, dq_;  // (Q, heads * head_dim)
  Buffer dk_, dv_;         // (T, kv_heads * head_dim)
  Buffer dh_;              // (T, width)
  Buffer dgathered_h_;     // (Q, width), where Q < T
};

}  // namespace facet
