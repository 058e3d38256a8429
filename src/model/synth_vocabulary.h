// A made-up vocabulary of the "gemma4" kind, for models with random weights.
#pragma once

#include <cstdint>

#include "formats/gguf.h"

namespace facet {

// `size` tokens (at least 1024): the special tokens of Gemma 4, the bytes, printable ASCII, then
// all words of lower-case letters in order of length, each merged from the shorter word and a
// letter.
void SetSynthVocabulary(int64_t size, GgufWriter& writer);

}  // namespace facet
