#include "tune/parameter_trainer.h"

#include <cmath>

#include "tune/state.h"

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
  return Ok();
}

Result<void> ParameterTrainer::SaveState(const std::filesystem::path& file) const {
  return tune::SaveState(file, parameters_, passes_);
}
Result<void> ParameterTrainer::LoadState(const std::filesystem::path& file) {
  return tune::LoadState(file, parameters_, passes_);
}

}  // namespace facet::tune
