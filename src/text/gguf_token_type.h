// What kind of token an entry of `tokenizer.ggml.token_type` is (llama_token_type of llama.cpp).
#pragma once

#include <cstdint>

namespace facet {

enum class GgufTokenType : int64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

}  // namespace facet
