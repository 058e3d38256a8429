// The decoder as training runs it: forward over a packed batch without a cache, and backward. Of
// the forward only each layer's input is kept, and as many layers' insides as a budget allows; the
// backward computes the others again.
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

// Rows of several sequences side by side, without sight of each other.
struct TrainRows {
  std::vector<int32_t> positions;       // by row, in its own sequence
  std::vector<KeyRange> sliding, full;  // by row: the rows whose keys it sees in either layer type
  std::vector<int32_t> outputs;         // rows whose last states are wanted, ascending
};

// Keys and values of a layer as its attention reads them, normed and turned: (rows, kv_heads *
// head_dim).
struct LayerKeys {
  Buffer k, v;
};

class DecoderTraining {
 public:
  DecoderTraining(const TextConfig& config, const TrainWeights& weights, TrainProjector& projector,
                  ThreadPool& pool)
      : config_(config), weights_(weights), projector_(projector), pool_(pool) {}

  // Bytes that insides of layers may take.
  void set_keep_bytes(size_t bytes) { keep_bytes_ = bytes; }

  // Forward copies this layer's keys and values to `to`; a layer at a time has one such place.
  void KeepKeys(int layer, LayerKeys* to) { kept_keys_[layer] = to; }
  // A drafter's layers have queries alone: they read these, by layer type, and the ranges of
  // TrainRows are rows of them. No gradient goes there. Both must live until Backward.
  void ReadKeys(const LayerKeys* sliding, const LayerKeys* full) {
    foreign_sliding_ = sliding, foreign_full_ = full;
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
  // What a layer's products gave: the part of it that is dear to compute again.
  struct Tape {
    Buffer q, k, v;             // Wq h, Wk h, Wv h
    Buffer attended, log_sums;  // attention's output before Wo, and its softmaxes' denominators
    Buffer y;                   // Wo attended
    Buffer gate, up, z;         // Wgate g, Wup g, Wdown act
    bool kept = false;
  };
  // One layer's job: its weights, its input, and the rows that ask.
  struct Layer {
    int index = 0;
    const LayerConfig& c;
    const TrainLayer& w;
    ConstMat x;                          // (rows, width)
    std::span<const KeyRange> ranges;    // by asking row
    std::span<const int32_t> queries;    // rows that ask; empty: all
    const RopeTable &keys_at, &asks_at;  // angles of all rows, and of those that ask
    const LayerKeys* foreign;            // read in place of its own keys; null: its own
    int64_t asking() const { return static_cast<int64_t>(ranges.size()); }
  };

  Layer MakeLayer(int index);
  RmsNormArgs Norm(const TrainVector& weight) const {
    return {static_cast<int64_t>(weight.value.size()), weight.value.data(), config_.eps};
  }
  ConstMat Asking(const Layer& layer, ConstMat all, Buffer& gathered);
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
  const LayerKeys *foreign_sliding_ = nullptr, *foreign_full_ = nullptr;

  const TrainRows* rows_ = nullptr;
  bool gradients_ = false;
  std::vector<KeyRange> last_ranges_;  // of the rows that are wanted
  RopeTable sliding_, full_, last_;    // angles: of all rows, and of the wanted ones
  std::vector<Buffer> inputs_;         // by layer: (rows, width); two in turn without gradients
  std::vector<Tape> tapes_;            // by layer
  Tape shared_;                        // of the layer at work, where it is not kept
  Buffer output_, d_, next_d_;

  // Of the layer at work.
  ConstMat asking_;  // h of the rows that ask
  Buffer h_, asking_h_, q_, k_, v_, asking_x_, x1_, g_, act_;
  Buffer dz_, dact_, dg_, dattended_, dq_, dk_, dv_, dh_, dasking_h_;
};

}  // namespace facet
