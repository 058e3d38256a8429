// The options of `facet tune`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/options/drafter_options.h"
#include "cli/options/media_options.h"
#include "tune/train/trainer_options.h"

namespace CLI {
class App;
}

namespace facet::cli {

struct TuneFlags {
  std::string model, out = "tuned", from, init, tokenizer, validation, show_mask;
  std::vector<std::string> data;
  bool full = false, bf16 = false, plain = false, dry_run = false, quiet = false, resume = false;
  tune::LoraOptions lora;
  bool train_vision = false, train_audio = false;
  std::optional<double> learning_rate;
  std::string optimizer = "adamw";
  double weight_decay = 0, warmup = 0.03, clip = 1;
  std::optional<double> epochs;
  std::string schedule = "cosine";
  int64_t steps = 0, eval_every = 0, save_every = 0, log_every = 1;
  int batch_tokens = 0, accumulate = 1, keep = 2, max_length = 0, threads = 0;
  int keep_activations = 512;  // MB
  uint64_t seed = 0;
  MediaOptions media;
  DrafterFlags drafter;
};

// All but those that say where the others come from (--config, --resume).
void AddTuneOptions(CLI::App& command, TuneFlags& flags);

}  // namespace facet::cli
