// What every trainer does with its parameters once their gradients are there.
#pragma once

#include "tune/parameters.h"
#include "tune/trainer.h"

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

  TrainerOptions options_;
  ThreadPool& pool_;
  Parameters parameters_;
  uint64_t passes_ = 0;  // calls of Accumulate so far: what dropout follows from
};

}  // namespace facet::tune
