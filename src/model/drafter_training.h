// The drafter as training runs it: every place of a packed batch at which a round of drafts could
// begin, and from each the chain of drafts that drafter.cc would make there. Forward and backward.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/decoder_training.h"

namespace facet {

// What the target gave for a packed batch. "Outputs" are those of its TrainRows: the places behind
// which a token is the target's to say.
struct DrafterBatch {
  const TrainRows* rows = nullptr;
  ConstMat states;  // (outputs, target width): after the final norm
  ConstMat next;    // (outputs, target width): scaled embedding of the token behind each output
  int target_window = 0;
  const LayerKeys *sliding = nullptr, *full = nullptr;  // of the target's last layer of either type
};

class DrafterTraining {
 public:
  // `drafts`: the longest chain, at least 1.
  DrafterTraining(const TextConfig& config, const TrainWeights& weights, TrainProjector& projector,
                  int drafts, ThreadPool& pool);

  // Bytes that kept activations of all drafts together may take.
  void set_keep_bytes(size_t bytes);
  int drafts() const { return static_cast<int>(chain_.size()); }

  // The outputs at which a round has a draft number `draft` (from 0), ascending: those with
  // draft + 1 more outputs right behind them. What is drafted from output i is the token that the
  // target's distribution at output i + draft + 1 is about.
  std::span<const int32_t> Rounds(int draft) const { return chain_[draft].rounds; }

  // Computes all chains. `batch` and what it names must live until Backward.
  void Forward(const DrafterBatch& batch, bool gradients);
  // States after the final norm, by Rounds(draft): their products with the drafter's own table are
  // its logits. (rounds, width)
  ConstMat States(int draft) const { return chain_[draft].normed.view(); }
  // The gradient of States(draft), to be filled before Backward.
  Mat StatesGradient(int draft);
  // Adds to the weights' gradients; uses the states' gradients up.
  void Backward();

 private:
  // One draft of all rounds that reach it.
  struct Link {
    std::vector<int32_t> rounds;  // outputs
    std::vector<int32_t> before;  // by round: its row in the link before
    TrainRows rows;   // where the queries stand, and which of the target's keys they see
    Buffer input;     // (rounds, 2 * target width)
    ConstMat states;  // the last layer's, before the final norm
    Buffer normed;    // after it
    Buffer hidden;    // (rounds, target width): for the next draft
    Buffer dnormed;   // gradient of `normed`, filled by the caller
    std::unique_ptr<DecoderTraining> decoder;
  };
  void FindRounds(const DrafterBatch& batch);
  void FillInput(const DrafterBatch& batch, int draft);
  void AddHiddenGradient(Link& link, const Link& after);
  RmsNormArgs FinalNorm() const;

  const TextConfig& config_;
  const TrainWeights& weights_;
  TrainProjector& projector_;
  ThreadPool& pool_;
  std::vector<Link> chain_;
  Buffer dhidden_;  // gradient of a link's hidden: (rounds, target width)
  Buffer dstates_;  // of its states: (rounds, width)
  Buffer dinput_;   // of its input: (rounds, 2 * target width)
};

}  // namespace facet
