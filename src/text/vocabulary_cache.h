// Compiled vocabularies on disk.
#pragma once

#include "text/vocabulary.h"

namespace facet {

// The vocabulary of a folder, a tokenizer.json or a GGUF: mapped from the cache, or compiled and
// put there. The cache entry is used only if every source file still has the size, times and inode
// that it had. Damaged entries are rebuilt.
Result<Vocabulary> LoadVocabulary(const std::filesystem::path& path);

}  // namespace facet
