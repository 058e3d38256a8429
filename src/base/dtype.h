// Element types of tensors in files, and the block layouts of the quantised ones (ggml-common.h of
// llama.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace facet {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  // Integers appear in safetensors only, as buffers and test data.
  kI8,
  kU8,
  kI32,
  kI64,
  kBool,
};

// `block` neighbouring elements of a row take `bytes` bytes.
struct DTypeTraits {
  std::string_view name;
  int block;
  int bytes;
};

constexpr DTypeTraits Traits(DType type) {
  switch (type) {
    case DType::kF32:
      return {"F32", 1, 4};
    case DType::kF16:
      return {"F16", 1, 2};
    case DType::kBF16:
      return {"BF16", 1, 2};
    case DType::kQ8_0:
      return {"Q8_0", 32, 34};
    case DType::kQ4_0:
      return {"Q4_0", 32, 18};
    case DType::kQ4_1:
      return {"Q4_1", 32, 20};
    case DType::kQ5_0:
      return {"Q5_0", 32, 22};
    case DType::kQ5_1:
      return {"Q5_1", 32, 24};
    case DType::kQ4_K:
      return {"Q4_K", 256, 144};
    case DType::kQ5_K:
      return {"Q5_K", 256, 176};
    case DType::kQ6_K:
      return {"Q6_K", 256, 210};
    case DType::kI8:
      return {"I8", 1, 1};
    case DType::kU8:
      return {"U8", 1, 1};
    case DType::kI32:
      return {"I32", 1, 4};
    case DType::kI64:
      return {"I64", 1, 8};
    case DType::kBool:
      return {"BOOL", 1, 1};
  }
  return {"?", 1, 1};
}

// True where blocks share scales, so that a row's length must be a multiple of the block.
constexpr bool IsQuantized(DType type) {
  return Traits(type).block > 1;
}

// True for types that hold model weights.
constexpr bool IsFloating(DType type) {
  return type <= DType::kQ6_K;
}

// Bytes of a row of `n` elements; `n` must be a multiple of the block and small enough not to
// overflow.
constexpr size_t RowBytes(DType type, size_t n) {
  return n / Traits(type).block * Traits(type).bytes;
}

}  // namespace facet
