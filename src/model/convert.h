// Writes a checkpoint as GGUF, the layout that llama.cpp reads: model, projector (mmproj) and
// drafter files, with weights in the wanted type. Tensor by tensor, in a few megabytes of memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/dtype.h"
#include "base/result.h"
#include "model/adapter.h"

namespace facet {

enum class ConvertPart { kModel, kProjector, kDrafter };

struct ConvertOptions {
  // A folder with config.json and safetensors (both spellings of names), or a GGUF that is the
  // wanted part already and only changes its type. For the projector the model's folder; for the
  // drafter its own.
  std::filesystem::path source;
  std::filesystem::path output;
  // F32, F16, BF16, Q8_0, Q4_0 or Q4_K: the type of the matrices. Vectors stay F32. With Q4_0 and
  // Q4_K the embedding, which is the head too, becomes Q6_K; with Q4_K so do the value and down
  // projections that llama-quantize's Q4_K_M chooses. A row that is not whole blocks falls back to
  // a type of 32-element blocks, or to F16; the file says so tensor by tensor.
  DType type = DType::kQ8_0;
  ConvertPart part = ConvertPart::kModel;
  // Where the tokenizer is when not in `source`: a folder, a tokenizer.json or a GGUF. A drafter's
  // folder has none of its own: give the target's.
  std::filesystem::path vocabulary = {};
  std::string name = {};             // general.name; the source's name where empty
  int threads = 0;                   // 0: all cores
  const Adapter* adapter = nullptr;  // of the source's model: merged into the weights
  // Called with the bytes written so far and in all; false stops, and leaves no file.
  std::function<bool(uint64_t done, uint64_t total)> progress = {};
};

// Errors: the source's own; a tensor that has no place in a GGUF; a weight that is not finite or
// too large for the type; the file system's; kCancelled.
Result<void> ConvertToGguf(const ConvertOptions& options);

}  // namespace facet
