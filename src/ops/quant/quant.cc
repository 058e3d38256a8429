#include "ops/quant/quant.h"

#include <cassert>

#include "ops/cpu.h"

// The plain build of the row codecs, for every machine.
#define FACET_QUANT_NAMESPACE quant_plain
#include "ops/quant/quant_rows.h"

namespace facet {

static const RowCodec& ActiveCodec(DType type) {
#if defined(__x86_64__)
  if (ActiveIsa() == Isa::kAvx2 || ActiveIsa() == Isa::kAvx512) return quant_avx2::CodecOf(type);
#endif
  return quant_plain::CodecOf(type);
}

void DequantizeRow(DType type, const std::byte* row, std::span<float> out) {
  assert(IsFloating(type) && out.size() % Traits(type).block == 0);
  ActiveCodec(type).decode(row, out.data(), out.size());
}

void QuantizeRow(DType type, std::span<const float> in, std::byte* row) {
  assert(CanQuantize(type) && in.size() % Traits(type).block == 0);
  ActiveCodec(type).encode(in.data(), in.size(), row);
}

bool CanQuantize(DType type) {
  return IsFloating(type) && quant_plain::CodecOf(type).encode != nullptr;
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
