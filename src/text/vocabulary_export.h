// Writes a tokenizer into a GGUF's metadata (tokenizer.ggml.*), as llama.cpp's "gemma4" kind
// expects it.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"
#include "formats/gguf.h"

namespace facet {

struct VocabularyExport {
  std::filesystem::path
      source;  // a folder with tokenizer.json, a tokenizer.json, or a GGUF whose keys are copied
  int64_t rows = 0;  // of the embedding table; tokens that are missing are added as unused ones
  bool chat_template = true;  // chat_template.jinja or tokenizer_config.json beside tokenizer.json
};

// Errors: the tokenizer's own, or more tokens than rows.
Result<void> SetVocabulary(const VocabularyExport& options, GgufWriter& writer);

}  // namespace facet
