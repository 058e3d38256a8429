// How a checkpoint wants to be sampled: generation_config.json, and the keys that stand for it in a
// GGUF. A conversion there and back changes nothing.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "formats/gguf.h"
#include "model/config.h"

namespace facet {

// `generation`: the file's object, or null; `eos`: what config.json names as eos_token_id, or null,
// for a file that names none. Fields that change answers in Transformers and not here are warned
// of. Errors name the field: a value of the wrong type or outside its range.
Result<GenerationConfig> GenerationFromJson(const nlohmann::json& generation,
                                            const nlohmann::json& eos);

// general.sampling.* as llama.cpp reads them (greedy is a temperature of 0),
// tokenizer.ggml.suppress_tokens, and for what these cannot say `facet.generation_config`, the
// file's own text.
void SetGenerationKeys(const GenerationConfig& generation, GgufWriter& writer);

// The reverse. Keys of general.sampling that somebody has changed since win over the text.
// `out.eos` and `out.suppress` hold what the vocabulary says, and stay where nothing else is named.
// Errors name the file and the key.
Result<void> ReadGenerationKeys(const Gguf& file, GenerationConfig& out);

}  // namespace facet
