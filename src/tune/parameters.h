// What is trained: values, gradients and AdamW's moments, tensor by tensor.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"

namespace facet::tune {

// A modality's part of the model gets a gradient only from batches that have that modality.
enum class Part { kText, kVision, kAudio };

struct Parameter {
  std::string name;
  std::vector<int64_t> shape;
  Part part = Part::kText;
  std::vector<float> value, gradient, mean, square;
  int64_t steps = 0;     // of AdamW, which counts each tensor's own
  bool touched = false;  // has a gradient in the step that is being collected
};

struct AdamW {
  double learning_rate = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
};

// Parameters keep their addresses.
class Parameters {
 public:
  // `value` becomes the parameter's.
  Parameter& Add(std::string name, std::vector<int64_t> shape, Part part, std::vector<float> value);

  std::deque<Parameter>& all() { return all_; }
  const std::deque<Parameter>& all() const { return all_; }
  void Touch(Part part);

  // The norm over all gradients; the same for any number of threads.
  double GradientNorm(ThreadPool& pool) const;
  void ScaleGradients(float factor, ThreadPool& pool);
  // One step as torch.optim.AdamW takes it, then clears the gradients. Tensors without a gradient
  // stay as they are.
  void Step(const AdamW& options, ThreadPool& pool);

 private:
  std::deque<Parameter> all_;
};

}  // namespace facet::tune
