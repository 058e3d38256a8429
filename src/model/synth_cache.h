// Keys and values that nothing computed, for measuring at long contexts.
#pragma once

#include "base/result.h"
#include "model/kv_cache.h"

namespace facet {

// Grows `sequence` by `rows` positions of random keys and values, every page alike. Its length must
// be a multiple of kTile. Error: KvSequence::Reserve's.
Result<void> FillSynthetic(KvSequence& sequence, int rows);

}  // namespace facet
