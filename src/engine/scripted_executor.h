// A model that plays a script, for tests of everything above it (docs/decisions.md, 23): JSON lines
//   {"match": regex?, "emit": text, "delay_ms": n?, "prefill_ms": n?}
// tried in order for each generation. `match` is a POSIX extended regular expression searched in
// the prompt's text; `emit` is tokenised with special tokens parsed; `delay_ms` passes before each
// token, `prefill_ms` while the whole prompt is read.
#pragma once

#include <filesystem>
#include <memory>

#include "engine/executor.h"
#include "model/kv_cache.h"

namespace facet {

struct ScriptOptions {
  int context = 131072;  // less where the cache holds less
  int window = 1024;     // of the sliding layers that it pretends to have
  size_t cache_budget = size_t{256} << 20;
};

// How scripted sequences are kept: the pages of a small cache with both kinds of layers. They
// share, rewind and run out like real ones.
CacheLayout ScriptLayout(int window);

// Errors name the line and the key.
Result<std::unique_ptr<Executor>> LoadScript(const std::filesystem::path& path,
                                             std::shared_ptr<const Tokenizer> tokenizer,
                                             const ScriptOptions& options = {});

}  // namespace facet
