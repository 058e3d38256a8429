// A model that has learnt nothing yet, to be trained from the start.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "model/config.h"
#include "tune/train/drafter_init.h"

namespace facet::tune {

struct InitOptions {
  std::filesystem::path config;     // config.json of gemma4_unified, or a folder that has it
  std::filesystem::path tokenizer;  // tokenizer.json, or a folder that has it
  std::filesystem::path out;        // folder to write; must hold no model
  uint64_t seed = 0;
};

// Writes a checkpoint folder in float32: matrices, table and positions from a normal distribution
// of the configuration's initializer_range, the row of the padding token zero, biases zero, norms
// where attention can learn (docs/tuning.md). Files that lie beside the tokenizer (template,
// processor, generation defaults) come along. The same seed gives the same file on every machine.
// Errors: a configuration that is not of a Gemma 4 Unified model, a vocabulary that the table does
// not hold.
Result<void> WriteInitialModel(const InitOptions& options);

// Lets `write` fill a folder that takes the place of `folder` once it is whole: what it is made
// from may lie in the old one.
Result<void> ReplaceFolder(
    const std::filesystem::path& folder,
    const std::function<Result<void>(const std::filesystem::path& part)>& write);

// Writes a drafter that has learnt nothing into the folder `out`: this configuration, and weights
// as those of WriteInitialModel, or where `start` gives a tensor's, those. Errors: a configuration
// that is not of a drafter, or of one with ordered embeddings.
Result<void> WriteInitialDrafter(
    const nlohmann::ordered_json& config, const std::filesystem::path& out, uint64_t seed,
    const std::function<InitialValues(const ModelConfig& drafter)>& start = {});

// The same with the weights of StartLikeTarget, in place of what `folder` holds once all is
// written.
Result<void> MakeDrafter(const Checkpoint& target, const nlohmann::ordered_json& config,
                         const std::filesystem::path& folder, uint64_t seed, ThreadPool& pool);

}  // namespace facet::tune
