// What convert.cc and synth.cc share: which tensors a GGUF holds, in which types, and
// the keys that describe them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "formats/tensor_file.h"
#include "model/config.h"

namespace facet {

// How a tensor's rows are found in its source.
enum class RowOrder {
  kSame,
  kPatchColumns,    // columns from (row, column, channel) to (channel, row, column) of a 48 x 48
                    // patch
  kPositionTables,  // rows from (position, axis) to (axis, position)
  kGenerated,       // `values`, no source
  kIntegers,        // 64-bit ids to 32-bit ones
};

struct PlannedTensor {
  std::string name;
  DType type = DType::kF32;
  std::vector<int64_t> shape;
  const Tensor* source = nullptr;
  RowOrder order = RowOrder::kSame;
  std::vector<float> values;
};

using TensorPlan = std::vector<PlannedTensor>;

// Type of a GGUF tensor when the matrices of the file shall be `wanted`.
struct TypeRule {
  DType wanted = DType::kF32;
  std::vector<std::string> precise;  // matrices that get Q6_K in a Q4_K file

  DType TypeOf(std::string_view name, const std::vector<int64_t>& shape) const;
};
TypeRule MakeTypeRule(DType wanted, const TextConfig& text);

// general.file_type of llama.cpp.
uint32_t FileType(DType wanted);

// "11.9B" for a number of parameters.
std::string SizeLabel(uint64_t parameters);

// 1 for the pairs that rotate, 1e30 for the others; head_dim / 2 values.
std::vector<float> RopeFactors(const TextConfig& text);

// Keys under "gemma4." or "gemma4-assistant.", and general.architecture.
void SetTextKeys(const ModelConfig& config, GgufWriter& writer);
void SetProjectorKeys(const ModelConfig& config, GgufWriter& writer);

// The tensors of a folder's text model or drafter, and of its projector, under their GGUF names.
Result<TensorPlan> PlanText(const TensorFile& source, const ModelConfig& config,
                            const TypeRule& types);
Result<TensorPlan> PlanProjector(const TensorFile& source, const ModelConfig& config,
                                 const TypeRule& types);
// All tensors of a GGUF under their own names.
TensorPlan PlanSame(const TensorFile& source, const TypeRule& types);

}  // namespace facet
