#include "tune/train/parameter_trainer.h"

#include <cmath>

#include "base/random.h"
#include "tune/train/state.h"

namespace facet::tune {

void ParameterTrainer::ForEachGradient(const std::function<void(const GradientView&)>& f) {
  for (Parameter& p : parameters_.all()) f({p.name, p.shape, p.gradient});
}

Result<void> ParameterTrainer::SumGradients(Processes& processes) {
  if (processes.alone()) return Ok();
  // A tensor that one process touched is touched in all.
  std::vector<double> touched;
  for (const Parameter& p : parameters_.all()) touched.push_back(p.touched ? 1 : 0);
  FACET_TRY(processes.Sum(std::span(touched)));
  size_t i = 0;
  for (Parameter& p : parameters_.all()) {
    p.touched = touched[i++] > 0;
    if (p.touched) FACET_TRY(processes.Sum(std::span(p.gradient)));
  }
  return Ok();
}

Result<void> ParameterTrainer::Step(double learning_rate, double max_norm) {
  if (max_norm > 0) {
    const double norm = GradientNorm();
    if (!std::isfinite(norm)) return Error{"the gradient is not finite: lower the learning rate"};
    // As torch.nn.utils.clip_grad_norm_ does.
    if (norm + 1e-6 > max_norm)
      parameters_.ScaleGradients(static_cast<float>(max_norm / (norm + 1e-6)), pool_);
  }
  parameters_.Step({.learning_rate = learning_rate,
                    .beta1 = options_.beta1,
                    .beta2 = options_.beta2,
                    .epsilon = options_.epsilon,
                    .weight_decay = options_.weight_decay,
                    .muon = options_.muon},
                   pool_);
  ++steps_;
  return Ok();
}

uint64_t ParameterTrainer::DropoutKey(std::span<const Example* const> batch) const {
  uint64_t key = MixBits(options_.seed, steps_);
  for (const Example* example : batch) {
    for (const TokenId token : example->tokens) key = MixBits(key, static_cast<uint64_t>(token));
  }
  return key | 1;  // 0 is none
}

Result<void> ParameterTrainer::SaveState(const std::filesystem::path& file) const {
  return tune::SaveState(file, parameters_, steps_);
}
Result<void> ParameterTrainer::LoadState(const std::filesystem::path& file) {
  return tune::LoadState(file, parameters_, steps_);
}

}  // namespace facet::tune
