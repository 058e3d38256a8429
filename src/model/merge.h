// A checkpoint folder with a LoRA adapter merged into its weights.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "base/thread_pool.h"

namespace facet {

// Writes safetensors (in shards of about 2 GB) in the types of `source`, and copies its other
// files. Errors: a source that is not a checkpoint folder, an output folder that is the source or
// holds a model already; the adapter's own.
Result<void> MergeToFolder(const std::filesystem::path& source,
                           const std::filesystem::path& adapter,
                           const std::filesystem::path& output, ThreadPool& pool);

}  // namespace facet
