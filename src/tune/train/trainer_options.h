// What is trained, and how.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ops/gemm/gemm.h"

namespace facet::tune {

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
  // Bytes of activations kept for the backward pass; the others are recomputed. 0: all are.
  size_t keep_bytes = size_t{512} << 20;
  // A PEFT folder to continue from; its rank and targets replace those of `lora`.
  std::filesystem::path adapter = {};
  // Full tuning: the folder whose configuration and tokenizer an exported model gets. Empty: none.
  std::filesystem::path model_files = {};
};

}  // namespace facet::tune
