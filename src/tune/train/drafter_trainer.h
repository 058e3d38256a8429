// Trains a drafter by distillation: the target reads a text, and every draft that a round could
// make of it learns the target's distribution at its place.
#pragma once

#include "model/drafter_training.h"
#include "tune/data/data.h"
#include "tune/train/parameter_trainer.h"

namespace facet::tune {

struct DrafterTrainerOptions {
  TrainerOptions trainer;  // its `full` and LoRA fields do not apply
  int drafts = 4;          // of a round: how long the trained chains are
};

// How decoding these texts with a fixed number of drafts would go, by float32 arithmetic: a draft
// is accepted where it and all before it in its round are the text's own tokens.
struct DraftScore {
  int64_t rounds = 0, tokens = 0;  // steps of the target, tokens that they gave
  int64_t drafted = 0, accepted = 0;
  double acceptance() const {
    return drafted > 0 ? static_cast<double>(accepted) / static_cast<double>(drafted) : 0;
  }
  double tokens_per_step() const {
    return rounds > 0 ? static_cast<double>(tokens) / static_cast<double>(rounds) : 0;
  }
};

// Drafts that an example has: what its loss is summed over. A text of n labelled tokens has at most
// drafts * (n - 1).
int32_t CountDrafts(const Example& example, int drafts);

// LossSum: the sum over all drafts of the Kullback-Leibler divergence from the target's
// distribution to the drafter's, and how many drafts there are.
class DrafterTrainer : public ParameterTrainer {
 public:
  // `drafter`: a checkpoint folder that fits the target; all of its weights are trained. Errors: a
  // target that is a drafter itself, a drafter that is none, does not fit, has ordered embeddings
  // or is a GGUF.
  static Result<std::unique_ptr<DrafterTrainer>> Create(Checkpoint target,
                                                        const std::filesystem::path& drafter,
                                                        const DrafterTrainerOptions& options,
                                                        ThreadPool& pool);
  // Adds to `score`.
  virtual Result<void> Score(std::span<const Example* const> batch, DraftScore& score) = 0;

 protected:
  using ParameterTrainer::ParameterTrainer;
};

// Over these examples, packed into batches.
Result<DraftScore> ScoreDrafts(DrafterTrainer& trainer, const DataSet& data,
                               const std::vector<uint32_t>& examples, int batch_tokens);

}  // namespace facet::tune
