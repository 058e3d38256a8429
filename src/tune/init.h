// A model that has learnt nothing yet, to be trained from the start.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"

namespace facet::tune {

struct InitOptions {
  std::filesystem::path config;     // config.json of gemma4_unified, or a folder that has it
  std::filesystem::path tokenizer;  // tokenizer.json, or a folder that has it
  std::filesystem::path out;        // folder to write; must hold no model
  uint64_t seed = 0;
};

// Writes a checkpoint folder in float32: matrices, table and positions from a normal distribution
// of the configuration's initializer_range, the row of the padding token zero, norms one, biases
// zero, as transformers does. Files that lie beside the tokenizer (template, processor, generation
// defaults) come along. The same seed gives the same file on every machine. Errors: a configuration
// that is not of a Gemma 4 Unified model, a vocabulary that the table does not hold.
Result<void> WriteInitialModel(const InitOptions& options);

}  // namespace facet::tune
