// LoRA terms beside frozen weights as parameters.
#pragma once

#include "model/adapter.h"
#include "model/trainable.h"
#include "tune/train/parameters.h"
#include "tune/train/trainer_options.h"

namespace facet::tune {

// The terms that are trained, as PEFT will read them.
struct LoraSet {
  AdapterConfig config;
  struct Entry {
    std::string module;
    Parameter *a, *b;
  };
  std::vector<Entry> entries;
};

// Adds terms to the projections that the options name, starting as PEFT does: A uniform, B zero; or
// those of options.adapter, as they are there. Errors: a target that matches nothing, a pattern
// that is none; the adapter's own.
Result<LoraSet> TrainLora(const Checkpoint& checkpoint, const TrainerOptions& options,
                          TrainWeights& weights, Parameters& parameters);

}  // namespace facet::tune
