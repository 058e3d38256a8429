// What a model will take in memory, from its files alone. Within 5 % of the measured peak.
#pragma once

#include <cstddef>
#include <filesystem>

#include "model/kv_cache.h"
#include "model/weights.h"

namespace facet {

struct MemoryEstimate {
  size_t weights = 0;    // packed matrices, norms and tables
  size_t cache = 0;      // keys and values of one conversation of that length
  size_t workspace = 0;  // activations of a step, logits
  size_t program = 0;    // code, libraries, vocabulary
  size_t total() const { return weights + cache + workspace + program; }
};

struct EstimateOptions {
  int64_t context = 4096;
  CacheType cache = CacheType::kF16;
  bool compact = true;
  int chunk = 512;  // prompt tokens a step
};

MemoryEstimate EstimateMemory(const Checkpoint& checkpoint, const EstimateOptions& options);

// What a drafter takes beside its target, whose keys and values it reads.
struct DrafterEstimate {
  size_t weights = 0;
  size_t state = 0;  // of the conversations that are drafted for in one step
  size_t total() const { return weights + state; }
};

// Errors: no checkpoint, or not a drafter.
Result<DrafterEstimate> EstimateDrafter(const std::filesystem::path& path, int conversations);

}  // namespace facet
