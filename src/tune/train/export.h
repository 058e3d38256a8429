// What a finished or interrupted run leaves for others to read.
#pragma once

#include <filesystem>

#include "tune/train/lora.h"
#include "tune/train/parameters.h"

namespace facet::tune {

// A PEFT folder.
Result<void> ExportAdapter(const std::filesystem::path& folder, const LoraSet& lora);

// model.safetensors with every tensor of the checkpoint, the trained ones in the type they had
// (float32 where that was a quantised one). Error: a checkpoint that is a GGUF.
Result<void> ExportWeights(const std::filesystem::path& folder, const Checkpoint& checkpoint,
                           const Parameters& parameters);

// Configuration, tokenizer, processor and template of a checkpoint folder, so that `out` loads by
// itself. Errors: a checkpoint that is a single file has none of them.
Result<void> CopyModelFiles(const std::filesystem::path& model, const std::filesystem::path& out);

}  // namespace facet::tune
