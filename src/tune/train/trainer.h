// Gradients and optimiser steps for the decoder, its vision embedder and its audio projection, or
// for a LoRA adapter over them. One Trainer owns the trained parameters, their moments and
// the step counter; what it is fed, when it stops and what it shows belong to the run (run.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>

#include "base/result.h"
#include "base/thread_pool.h"
#include "model/weights.h"
#include "tune/data/example.h"
#include "tune/train/parameters.h"
#include "tune/train/processes.h"
#include "tune/train/trainer_options.h"

namespace facet::tune {

// Sum over labelled tokens of -log p, and how many there were.
struct LossSum {
  double loss = 0;
  int64_t tokens = 0;
};

class Trainer {
 public:
  static Result<std::unique_ptr<Trainer>> Create(Checkpoint checkpoint,
                                                 const TrainerOptions& options, ThreadPool& pool);
  virtual ~Trainer() = default;

  // Adds scale * d(sum of -log p over the labelled tokens) to the gradients. The examples are
  // packed into one batch; attention stays within each.
  virtual Result<LossSum> Accumulate(std::span<const Example* const> batch, double scale) = 0;
  // Loss without gradients, for validation.
  virtual Result<LossSum> Evaluate(std::span<const Example* const> batch) = 0;

  // Gradient tensors by checkpoint name (PEFT file name for an adapter), for tests and for sums
  // over processes.
  virtual void ForEachGradient(const std::function<void(const GradientView&)>& f) = 0;
  // The gradients of all processes are added up in each, as if one had computed the joint batch
  // (each process's scale being that of the whole). Call it once before GradientNorm and Step.
  virtual Result<void> SumGradients(Processes& processes) = 0;
  virtual double GradientNorm() = 0;
  // Scales the gradients so that their norm is at most max_norm (0: as they are), takes one step of
  // the optimiser and clears them.
  virtual Result<void> Step(double learning_rate, double max_norm) = 0;

  // Parameters, moments, step counter and random state: everything that makes a resumed run equal
  // to an unbroken one bit for bit. Written aside and renamed, so that a killed write leaves the
  // old one.
  virtual Result<void> SaveState(const std::filesystem::path& file) const = 0;
  virtual Result<void> LoadState(const std::filesystem::path& file) = 0;

  // A PEFT adapter folder, or for full tuning a checkpoint folder.
  virtual Result<void> Export(const std::filesystem::path& folder) const = 0;
};

}  // namespace facet::tune
