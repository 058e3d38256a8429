// Gradients and optimiser steps for the decoder, its vision embedder and its audio projection, or
// for a LoRA adapter over them. One Trainer owns the trained parameters, their moments and
// the step counter; what it is fed, when it stops and what it shows belong to the run (run.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "engine/prompt.h"
#include "model/weights.h"
#include "ops/gemm/gemm.h"
#include "tune/run/processes.h"

namespace facet::tune {

// One conversation as the model reads it.
struct Example {
  std::vector<TokenId> tokens;
  std::vector<uint8_t> labelled;  // by token: 1 where it is to be predicted
  std::vector<std::shared_ptr<const SoftItem>>
      items;          // pictures, frames and sound, sorted by begin
  std::string where;  // file and line, for errors
};

struct LoraOptions {
  int rank = 16;
  double alpha = 32, dropout = 0;
  bool rank_stabilised = false;           // scale alpha / sqrt(rank) in place of alpha / rank
  std::vector<std::string> targets = {};  // projections, by name or pattern; empty: all seven
};

struct TrainerOptions {
  bool full = false;  // all weights; else LoRA
  LoraOptions lora = {};
  bool train_vision = false, train_audio = false;  // their projections beside an adapter
  Compute compute = Compute::kF32;  // of the matrix products; sums and norms are float32
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool muon = false;  // full tuning: Muon for the matrices of the layers, AdamW for the rest
  uint64_t seed = 0;
  // Activations kept for the backward; what does not fit is computed again. 0: everything is.
  size_t keep_bytes = size_t{512} << 20;
  std::filesystem::path adapter = {};  // a PEFT folder to go on from; its shape replaces `lora`
  // Full tuning: the folder whose configuration and tokenizer an exported model gets. Empty: none.
  std::filesystem::path model_files = {};
};

// Sum over labelled tokens of -log p, and how many there were.
struct LossSum {
  double loss = 0;
  int64_t tokens = 0;
};

// A gradient tensor, where it is summed up.
struct GradientView {
  const std::string& name;
  std::span<const int64_t> shape;
  std::span<float> values;
};

class Trainer {
 public:
  static Result<std::unique_ptr<Trainer>> Create(Checkpoint checkpoint,
                                                 const TrainerOptions& options, ThreadPool& pool);
  virtual ~Trainer() = default;

  // Adds scale * d(sum of -log p over the labelled tokens) to the gradients. The examples are
  // computed together, in one packed batch without sight of each other.
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
