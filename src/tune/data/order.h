// In which order examples are seen, and which of them together: a function of the seed and the
// epoch, so that a run can be resumed at any step.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "tune/data/data.h"

namespace facet::tune {

// The examples of an epoch: each as often as the weight of its file says, shuffled.
std::vector<uint32_t> EpochOrder(const DataSet& data, const std::vector<uint32_t>& examples,
                                 uint64_t seed, int epoch);

using Batch = std::vector<uint32_t>;  // examples that are computed together

// Neighbours of `order` together, as many as `max_tokens` holds; no example is longer than that.
std::vector<Batch> MakeBatches(const DataSet& data, const std::vector<uint32_t>& order,
                               int max_tokens);

// Builds the examples and calls `f` with batch after batch of them. Errors: those of examples and
// of `f`; kCancelled once `stop` is set.
Result<void> ForEachBatch(const DataSet& data, const std::vector<uint32_t>& examples,
                          int max_tokens, const std::atomic<bool>* stop,
                          const std::function<Result<void>(std::span<const Example* const>)>& f);

struct PlanOptions {
  int batch_tokens = 2048, accumulate = 1;
  double epochs = 1;
  int64_t max_steps = 0;  // 0: what the epochs give
  uint64_t seed = 0;
};

// The batches of one optimiser step.
struct StepPlan {
  int64_t step = 0;  // from 0
  double epoch = 0;  // epochs that are over after this step
  std::vector<Batch> batches;
  int64_t tokens = 0, labelled = 0;
};

// All steps of a run. Only the running epoch is kept.
class Plan {
 public:
  Plan(const DataSet& data, std::vector<uint32_t> examples, const PlanOptions& options);

  int64_t steps() const { return steps_; }
  int epochs() const { return static_cast<int>(epoch_begin_.size()); }
  // True where an epoch is over once `step` steps are.
  bool EndsEpoch(int64_t step) const;
  StepPlan Step(int64_t step);

 private:
  void Load(int epoch);
  int64_t StepsOf(int64_t batches) const;

  const DataSet& data_;
  std::vector<uint32_t> examples_;
  PlanOptions options_;
  int64_t steps_ = 0;
  std::vector<int64_t> epoch_steps_, epoch_begin_;  // by epoch
  int loaded_ = -1;
  std::vector<Batch> batches_;  // of the loaded epoch
};

}  // namespace facet::tune
