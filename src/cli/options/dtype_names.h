// Names of a GGUF's matrix types on the command line: q4_0, bf16.
#pragma once

#include <string>

#include "base/dtype.h"
#include "base/result.h"

namespace facet::cli {

// "q8_0" for kQ8_0.
std::string DTypeName(DType type);

// A type that facet writes: f32, f16, bf16, q8_0, q4_0 or q4_k. The error names `option`.
Result<DType> ParseDType(std::string_view name, std::string_view option);

}  // namespace facet::cli
