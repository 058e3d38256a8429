// What is trained: values, gradients and the optimiser's moments, tensor by tensor.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "base/result.h"
#include "base/thread_pool.h"

namespace facet::tune {

// A modality's part of the model gets a gradient only from batches that have that modality.
enum class Part { kText, kVision, kAudio };

struct Parameter {
  std::string name;
  std::vector<int64_t> shape;  // outermost first; a projection's is (outputs, inputs)
  Part part = Part::kText;
  // One number for each element of `shape`, row by row: the value, the gradient that is being
  // summed up, and AdamW's moments (exponential means of the gradient and of its square; Muon keeps
  // its momentum in `mean` and leaves `square` unused).
  std::vector<float> value, gradient, mean, square;
  int64_t steps = 0;     // of the optimiser on this tensor: AdamW's bias correction needs its own
  bool hidden = false;   // a matrix between two hidden states, for which Muon is meant
  bool touched = false;  // has a gradient in the current step
};

// A gradient tensor, for checks, tests and sums over processes.
struct GradientView {
  const std::string& name;
  std::span<const int64_t> shape;
  std::span<float> values;
};

struct OptimizerStep {
  double learning_rate = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool muon = false;  // hidden matrices by Muon, everything else by AdamW
};

// Parameters keep their addresses.
class Parameters {
 public:
  // `value` has as many elements as `shape`. Gradient and moments begin at 0.
  Parameter& Add(std::string name, std::vector<int64_t> shape, Part part, std::vector<float> value);

  std::deque<Parameter>& all() { return all_; }
  const std::deque<Parameter>& all() const { return all_; }
  // Marks the tensors of this part as having a gradient in the current step.
  void Touch(Part part);

  // The L2 norm over all gradients together; the same for any number of threads.
  double GradientNorm(ThreadPool& pool) const;
  void ScaleGradients(float factor, ThreadPool& pool);
  // One step as torch.optim.AdamW takes it, or for hidden matrices one of Muon; then clears the
  // gradients. Tensors without a gradient stay as they are. The same for any number of threads.
  void Step(const OptimizerStep& options, ThreadPool& pool);

 private:
  std::deque<Parameter> all_;
};

// Replaces x (rows, cols) by a matrix with nearly the same singular vectors and singular values
// near 1: five Newton-Schulz steps with the coefficients of Jordan et al., "Muon" (2024).
void Orthogonalize(Mat x, ThreadPool& pool);

}  // namespace facet::tune
