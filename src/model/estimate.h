// What a model will take in memory, from its files alone. Within 5 % of the measured peak.
#pragma once

#include <cstddef>

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

}  // namespace facet
