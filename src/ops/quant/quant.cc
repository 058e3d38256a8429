#include "ops/quant/quant.h"

#include <cassert>

#include "ops/cpu.h"

// The plain build of the row codecs, for every machine.
#define FACET_QUANT_NAMESPACE quant_plain
#include "ops/quant/quant_rows.h"

namespace facet {

#if defined(__x86_64__)
namespace quant_avx2 {
void Decode(DType type, const std::byte* row, std::span<float> out);
void Encode(DType type, std::span<const float> in, std::byte* row);
}  // namespace quant_avx2

// Both builds give the same bits; the choice is one of speed.
static bool UseAvx2() {
  return ActiveIsa() == Isa::kAvx2 || ActiveIsa() == Isa::kAvx512;
}
#endif

void DequantizeRow(DType type, const std::byte* row, std::span<float> out) {
  assert(IsFloating(type) && out.size() % Traits(type).block == 0);
#if defined(__x86_64__)
  if (UseAvx2()) return quant_avx2::Decode(type, row, out);
#endif
  quant_plain::Decode(type, row, out);
}

void QuantizeRow(DType type, std::span<const float> in, std::byte* row) {
  assert(CanQuantize(type) && in.size() % Traits(type).block == 0);
#if defined(__x86_64__)
  if (UseAvx2()) return quant_avx2::Encode(type, in, row);
#endif
  quant_plain::Encode(type, in, row);
}

bool CanQuantize(DType type) {
  switch (type) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ6_K:
      return true;
    default:
      return false;
  }
}

float HalfToFloat(uint16_t half) {
  return quant_plain::FromHalf(half);
}
uint16_t FloatToHalf(float value) {
  return quant_plain::ToHalf(value);
}
uint16_t FloatToBf16(float value) {
  return quant_plain::ToBf16(value);
}

}  // namespace facet
