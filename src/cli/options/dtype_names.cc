#include "cli/options/dtype_names.h"

#include <algorithm>
#include <cctype>

namespace facet::cli {

std::string DTypeName(DType type) {
  std::string name(Traits(type).name);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

Result<DType> ParseDType(std::string_view name, std::string_view option) {
  for (const DType type :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_K}) {
    if (DTypeName(type) == name) return type;
  }
  return Expected("f32, f16, bf16, q8_0, q4_0 or q4_k", name, option);
}

}  // namespace facet::cli
