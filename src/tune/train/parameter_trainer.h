// What every trainer does with its parameters once their gradients are there.
#pragma once

#include "tune/train/parameters.h"
#include "tune/train/trainer.h"

namespace facet::tune {

class ParameterTrainer : public Trainer {
 public:
  void ForEachGradient(const std::function<void(const GradientView&)>& f) override;
  Result<void> SumGradients(Processes& processes) override;
  double GradientNorm() override { return parameters_.GradientNorm(pool_); }
  Result<void> Step(double learning_rate, double max_norm) override;
  Result<void> SaveState(const std::filesystem::path& file) const override;
  Result<void> LoadState(const std::filesystem::path& file) override;

 protected:
  ParameterTrainer(const TrainerOptions& options, ThreadPool& pool)
      : options_(options), pool_(pool) {}

  // What dropout follows from: the seed, the step, and what is in the batch, so that it makes no
  // difference which process computes a batch, or when.
  uint64_t DropoutKey(std::span<const Example* const> batch) const;

  TrainerOptions options_;
  ThreadPool& pool_;
  Parameters parameters_;
  uint64_t steps_ = 0;  // of the optimiser
};

}  // namespace facet::tune
