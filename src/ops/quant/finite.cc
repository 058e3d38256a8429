#include <algorithm>
#include <cstring>
#include <type_traits>

#include "ops/quant/quant.h"

namespace facet {
namespace {

template <typename Word>
Word LoadWord(const std::byte* p) {
  Word word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

// An exponent of ones is what makes a number infinite or none: the largest exponent of a row tells,
// without a branch, so that looking takes hardly longer than reading the row. Signed words have a
// maximum in every instruction set.
template <typename Word>
bool AllFinite(const std::byte* row, int64_t n, Word exponent) {
  using Signed = std::make_signed_t<Word>;
  Signed largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Word word = LoadWord<Word>(row + i * sizeof(Word));
    largest = std::max(largest, static_cast<Signed>(word & exponent));
  }
  return largest != static_cast<Signed>(exponent);
}

template <typename Word>
int64_t FirstOf(const std::byte* row, int64_t n, Word exponent) {
  if (AllFinite(row, n, exponent)) return -1;
  int64_t i = 0;
  while ((LoadWord<Word>(row + i * sizeof(Word)) & exponent) != exponent) ++i;
  return i;
}

constexpr uint16_t kHalfExponent = 0x7c00, kBf16Exponent = 0x7f80;
constexpr uint32_t kFloatExponent = 0x7f800000;

// Where a block keeps its half-precision scale and, behind it, its minimum.
struct BlockScales {
  int at = 0, count = 1;
};

constexpr BlockScales ScalesOf(DType type) {
  switch (type) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ6_K:
      return {208, 1};
    default:
      return {0, 1};
  }
}

}  // namespace

int64_t FindNonFinite(DType type, const std::byte* row, int64_t n) {
  switch (type) {
    case DType::kF32:
      return FirstOf(row, n, kFloatExponent);
    case DType::kF16:
      return FirstOf(row, n, kHalfExponent);
    case DType::kBF16:
      return FirstOf(row, n, kBf16Exponent);
    default:
      break;
  }
  if (!IsQuantized(type)) return -1;
  const DTypeTraits traits = Traits(type);
  const BlockScales scales = ScalesOf(type);
  for (int64_t i = 0; i < n; i += traits.block, row += traits.bytes) {
    for (int s = 0; s < scales.count; ++s) {
      const auto half = LoadWord<uint16_t>(row + scales.at + 2 * s);
      if ((half & kHalfExponent) == kHalfExponent) return i;
    }
  }
  return -1;
}

}  // namespace facet
