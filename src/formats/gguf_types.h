// Numbers that GGUF files use for types, shared by reader and writer (ggml/include/ggml.h and
// gguf.h of llama.cpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/dtype.h"

namespace facet {

constexpr uint32_t kGgufMagic = 0x46554747;  // "GGUF", little-endian
constexpr uint64_t kGgufAlignment = 32;      // where general.alignment is absent

enum class GgufValueId : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// Nothing for types that this program has no code for.
std::optional<DType> FromGgmlType(uint32_t id);
// Nothing for types that GGUF lacks (BOOL, U8).
std::optional<uint32_t> ToGgmlType(DType type);
// The name of a type, also of one that is not supported, for error texts.
std::string GgmlTypeName(uint32_t id);

}  // namespace facet
