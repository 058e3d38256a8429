#include "formats/gguf_types.h"

#include <array>
#include <utility>

namespace facet {
namespace {

constexpr std::array<std::pair<uint32_t, DType>, 14> kTypes = {{
    {0, DType::kF32},
    {1, DType::kF16},
    {2, DType::kQ4_0},
    {3, DType::kQ4_1},
    {6, DType::kQ5_0},
    {7, DType::kQ5_1},
    {8, DType::kQ8_0},
    {12, DType::kQ4_K},
    {13, DType::kQ5_K},
    {14, DType::kQ6_K},
    {24, DType::kI8},
    {26, DType::kI32},
    {27, DType::kI64},
    {30, DType::kBF16},
}};

constexpr std::array<std::pair<uint32_t, const char*>, 21> kUnsupported = {{
    {9, "Q8_1"},      {10, "Q2_K"},     {11, "Q3_K"},  {15, "Q8_K"},   {16, "IQ2_XXS"},
    {17, "IQ2_XS"},   {18, "IQ3_XXS"},  {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"},
    {22, "IQ2_S"},    {23, "IQ4_XS"},   {25, "I16"},   {28, "F64"},    {29, "IQ1_M"},
    {31, "Q4_0_4_4"}, {32, "Q4_0_4_8"}, {34, "TQ1_0"}, {35, "TQ2_0"},  {39, "MXFP4"},
    {40, "NVFP4"},
}};

}  // namespace

std::optional<DType> FromGgmlType(uint32_t id) {
  for (const auto& [number, type] : kTypes) {
    if (number == id) return type;
  }
  return std::nullopt;
}

std::optional<uint32_t> ToGgmlType(DType type) {
  for (const auto& [number, known] : kTypes) {
    if (known == type) return number;
  }
  return std::nullopt;
}

std::string GgmlTypeName(uint32_t id) {
  if (const auto type = FromGgmlType(id)) return std::string(Traits(*type).name);
  for (const auto& [number, name] : kUnsupported) {
    if (number == id) return name;
  }
  return "number " + std::to_string(id);
}

}  // namespace facet
