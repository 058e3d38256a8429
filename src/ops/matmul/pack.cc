// Weights of a file repacked into the layout of packed_layout.h, group by group: a block of 32
// inputs is read from the file's type into one form, and written from that into its unit. And
// single rows back to float32.
#include <algorithm>
#include <cassert>
#include <cstring>

#include "base/math.h"
#include "ops/matmul/packed.h"
#include "ops/matmul/packed_layout.h"
#include "ops/quant/quant.h"

namespace facet {
namespace {

uint32_t Word(const std::byte* p) {
  uint32_t word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

// One block of 32 inputs of one output, whatever the file's type.
struct Block {
  uint32_t codes[8];           // unsigned, four inputs in a word
  uint16_t scale, min;         // one-level types, as float16
  uint8_t sub_scale, sub_min;  // two-level types (Q6_K: of the two halves)
};

constexpr uint32_t kNibbles = 0x0f0f0f0f;

// --- Readers of file blocks. Layouts: ggml-common.h and ggml-quants.c of llama.cpp ---

// 16 bytes: inputs 0..15 in the low nibbles, 16..31 in the high ones.
void ReadNibbles(const std::byte* p, Block& block) {
  for (int i = 0; i < 4; ++i) {
    const uint32_t word = Word(p + 4 * i);
    block.codes[i] = word & kNibbles;
    block.codes[i + 4] = word >> 4 & kNibbles;
  }
}

// Bit i of `bits` is the fifth bit of input i.
void ReadFifthBits(uint32_t bits, Block& block) {
  for (int i = 0; i < 8; ++i) {
    const uint32_t four = bits >> 4 * i & 15;
    block.codes[i] |= (four & 1) << 4 | (four & 2) << 11 | (four & 4) << 18 | (four & 8) << 25;
  }
}

uint16_t Half(const std::byte* p) {
  uint16_t half;
  std::memcpy(&half, p, sizeof(half));
  return half;
}

// The reference adds the minimum of these types; packed weights subtract it.
uint16_t Negated(uint16_t half) {
  return half ^ 0x8000;
}

template <DType kType>
void ReadOneLevel(const std::byte* p, Block& block) {
  block.scale = Half(p);
  switch (kType) {
    case DType::kQ4_0:
      return ReadNibbles(p + 2, block);
    case DType::kQ4_1:
      block.min = Negated(Half(p + 2));
      return ReadNibbles(p + 4, block);
    case DType::kQ5_0:
      ReadNibbles(p + 6, block);
      return ReadFifthBits(Word(p + 2), block);
    case DType::kQ5_1:
      block.min = Negated(Half(p + 2));
      ReadNibbles(p + 8, block);
      return ReadFifthBits(Word(p + 4), block);
    default:  // Q8_0
      for (int i = 0; i < 8; ++i) block.codes[i] = Word(p + 2 + 4 * i) ^ 0x80808080;
  }
}

// Q4_K and Q5_K: eight blocks share 12 bytes of 6-bit scales and minima.
void ReadSubScales(const std::byte* packed, int b, Block& block) {
  const auto s = [&](int i) { return static_cast<uint8_t>(packed[i]); };
  if (b < 4) {
    block.sub_scale = s(b) & 63;
    block.sub_min = s(b + 4) & 63;
  } else {
    block.sub_scale = (s(b + 4) & 15) | (s(b - 4) >> 6 << 4);
    block.sub_min = (s(b + 4) >> 4) | (s(b) >> 6 << 4);
  }
}

// Two blocks share 32 bytes: the even one in the low nibbles.
void ReadPairedNibbles(const std::byte* p, int b, Block& block) {
  for (int i = 0; i < 8; ++i) block.codes[i] = Word(p + b / 2 * 32 + 4 * i) >> b % 2 * 4 & kNibbles;
}

void ReadQ4K(const std::byte* p, int b, Block& block) {
  ReadSubScales(p + 4, b, block);
  ReadPairedNibbles(p + 16, b, block);
}

void ReadQ5K(const std::byte* p, int b, Block& block) {
  ReadSubScales(p + 4, b, block);
  ReadPairedNibbles(p + 48, b, block);
  for (int i = 0; i < 8; ++i) block.codes[i] |= (Word(p + 16 + 4 * i) >> b & 0x01010101) << 4;
}

// 128 inputs share 64 bytes of low nibbles and 32 bytes of high bits.
void ReadQ6K(const std::byte* p, int b, Block& block) {
  const int half = b / 4, quarter = b % 4;
  const std::byte* low = p + half * 64 + quarter % 2 * 32;
  const std::byte* high = p + 128 + half * 32;
  for (int i = 0; i < 8; ++i) {
    block.codes[i] = (Word(low + 4 * i) >> quarter / 2 * 4 & kNibbles) |
                     (Word(high + 4 * i) >> 2 * quarter & 0x03030303) << 4;
  }
  block.sub_scale = static_cast<uint8_t>(p[192 + 2 * b]);
  block.sub_min = static_cast<uint8_t>(p[192 + 2 * b + 1]);
}

template <DType kType>
void ReadTwoLevel(const std::byte* p, int b, Block& block) {
  if constexpr (kType == DType::kQ4_K) return ReadQ4K(p, b, block);
  if constexpr (kType == DType::kQ5_K) return ReadQ5K(p, b, block);
  if constexpr (kType == DType::kQ6_K) return ReadQ6K(p, b, block);
}

// --- Writers of units ---

void Put(std::byte* p, uint32_t word) {
  std::memcpy(p, &word, sizeof(word));
}
void PutHalf(std::byte* p, uint16_t half) {
  std::memcpy(p, &half, sizeof(half));
}

// Writes block b of output o into its unit.
template <DType kType>
void WriteBlock(const Block& block, int b, int64_t o, std::byte* unit) {
  constexpr PackedLayout layout = LayoutOf(kType);
  if (layout.two_level) {
    unit[layout.scales_at() + 32 * b + o] = std::byte{block.sub_scale};
    unit[layout.scales_at() + 32 * b + 16 + o] = std::byte{block.sub_min};
  } else {
    PutHalf(unit + layout.scales_at() + 32 * b + 2 * o, block.scale);
    if (layout.has_min) PutHalf(unit + layout.mins_at() + 32 * b + 2 * o, block.min);
  }
  std::byte* codes = unit + layout.codes_at() + b * layout.code_bytes() + 4 * o;
  if (layout.bits == 8) {
    for (int i = 0; i < 8; ++i) Put(codes + 64 * i, block.codes[i]);
    return;
  }
  for (int i = 0; i < 4; ++i) {
    Put(codes + 64 * i, (block.codes[i] & kNibbles) | (block.codes[i + 4] & kNibbles) << 4);
  }
  std::byte* high = unit + layout.high_at() + b * layout.high_bytes() + 4 * o;
  if (layout.bits == 5) {
    uint32_t word = 0;
    for (int i = 0; i < 8; ++i) word |= (block.codes[i] >> 4 & 0x01010101) << i;
    Put(high, word);
  } else if (layout.bits == 6) {
    for (int h = 0; h < 2; ++h) {
      uint32_t word = 0;
      for (int i = 0; i < 4; ++i) word |= (block.codes[4 * h + i] >> 4 & 0x03030303) << 2 * i;
      Put(high + 64 * h, word);
    }
  }
}

// The type is known to the compiler, which leaves little of what a block is read into: a 12B is
// repacked while somebody waits for its first word. A group stays in a core's cache, so rows are
// read in order and words scattered.
template <DType kType>
void PackOneLevel(const WeightView& rows, std::byte* out) {
  constexpr PackedLayout layout = LayoutOf(kType);
  const int64_t blocks = rows.cols / 32;
  for (int64_t o = 0; o < rows.rows; ++o) {
    const std::byte* p = rows.row(o);
    for (int64_t i = 0; i < blocks; ++i, p += Traits(kType).bytes) {
      Block block{};
      ReadOneLevel<kType>(p, block);
      WriteBlock<kType>(block, i % 2, o, out + i / 2 * layout.unit_bytes());
    }
  }
}

template <DType kType>
void PackTwoLevel(const WeightView& rows, std::byte* out) {
  constexpr bool q6 = kType == DType::kQ6_K;
  for (int64_t o = 0; o < rows.rows; ++o) {
    const std::byte* p = rows.row(o);
    std::byte* unit = out;
    for (int64_t u = 0; u < rows.cols / 256; ++u) {
      PutHalf(unit + 2 * o, Half(p + (q6 ? 208 : 0)));
      if (!q6) PutHalf(unit + 32 + 2 * o, Half(p + 2));
      for (int b = 0; b < 8; ++b) {
        Block block{};
        ReadTwoLevel<kType>(p, b, block);
        WriteBlock<kType>(block, b, o, unit);
      }
      p += Traits(kType).bytes;
      unit += LayoutOf(kType).unit_bytes();
    }
  }
}

void PackFloats(const WeightView& rows, std::byte* out) {
  const int bytes = Traits(rows.type).bytes;
  for (int64_t o = 0; o < rows.rows; ++o) {
    const std::byte* row = rows.row(o);
    for (int64_t i = 0; i < rows.cols; ++i) {
      std::memcpy(out + (i * kPackedGroup + o) * bytes, row + i * bytes, bytes);
    }
  }
}

// --- Readers of packed rows ---

int Code(const PackedLayout& layout, const std::byte* unit, int b, int o, int k) {
  const auto at = [&](int offset) { return static_cast<uint8_t>(unit[offset + 4 * o + k % 4]); };
  const int codes = layout.codes_at() + b * layout.code_bytes(), i = k / 4;
  if (layout.bits == 8) return at(codes + 64 * i);
  int code = at(codes + 64 * (i % 4)) >> (i < 4 ? 0 : 4) & 15;
  const int high = layout.high_at() + b * layout.high_bytes();
  if (layout.bits == 5) code |= (at(high) >> i & 1) << 4;
  if (layout.bits == 6) code |= (at(high + 64 * (i / 4)) >> 2 * (i % 4) & 3) << 4;
  return code;
}

// The scale and the minimum of inputs [16h, 16h + 16) of block b.
struct Affine {
  float scale, min;
};

Affine AffineOf(const PackedLayout& layout, const std::byte* unit, int b, int o, int h) {
  if (!layout.two_level) {
    return {HalfToFloat(Half(unit + layout.scales_at() + 32 * b + 2 * o)),
            layout.has_min ? HalfToFloat(Half(unit + layout.mins_at() + 32 * b + 2 * o)) : 0.0f};
  }
  const float d = HalfToFloat(Half(unit + 2 * o)), dmin = HalfToFloat(Half(unit + 32 + 2 * o));
  const auto first = static_cast<uint8_t>(unit[layout.scales_at() + 32 * b + o]);
  const auto second = static_cast<uint8_t>(unit[layout.scales_at() + 32 * b + 16 + o]);
  if (!layout.halves) return {d * first, dmin * second};
  return {d * static_cast<int8_t>(h == 0 ? first : second), 0.0f};
}

void ReadFloats(DType type, const std::byte* group, int o, std::span<float> out) {
  const int bytes = Traits(type).bytes;
  for (size_t i = 0; i < out.size(); ++i) {
    DequantizeRow(type, group + (i * kPackedGroup + o) * bytes, {&out[i], 1});
  }
}

}  // namespace

size_t PackedGroupBytes(DType type, int64_t cols) {
  assert(cols % Traits(type).block == 0);
  const PackedLayout layout = LayoutOf(type);
  if (layout.bits == 0) {
    return AlignUp(static_cast<size_t>(cols) * kPackedGroup * Traits(type).bytes, 64);
  }
  return static_cast<size_t>(DivideUp(cols, layout.unit())) * layout.unit_bytes();
}

size_t PackedBytes(DType type, int64_t rows, int64_t cols) {
  return DivideUp(rows, kPackedGroup) * PackedGroupBytes(type, cols);
}

void PackGroup(const WeightView& rows, std::byte* out) {
  assert(rows.rows <= kPackedGroup && IsFloating(rows.type));
  std::memset(out, 0, PackedGroupBytes(rows.type, rows.cols));
  switch (rows.type) {
    case DType::kQ4_0:
      return PackOneLevel<DType::kQ4_0>(rows, out);
    case DType::kQ4_1:
      return PackOneLevel<DType::kQ4_1>(rows, out);
    case DType::kQ5_0:
      return PackOneLevel<DType::kQ5_0>(rows, out);
    case DType::kQ5_1:
      return PackOneLevel<DType::kQ5_1>(rows, out);
    case DType::kQ8_0:
      return PackOneLevel<DType::kQ8_0>(rows, out);
    case DType::kQ4_K:
      return PackTwoLevel<DType::kQ4_K>(rows, out);
    case DType::kQ5_K:
      return PackTwoLevel<DType::kQ5_K>(rows, out);
    case DType::kQ6_K:
      return PackTwoLevel<DType::kQ6_K>(rows, out);
    default:
      return PackFloats(rows, out);
  }
}

void Pack(const WeightView& w, std::byte* out, ThreadPool& pool) {
  const int64_t groups = DivideUp(w.rows, kPackedGroup);
  const size_t bytes = PackedGroupBytes(w.type, w.cols);
  constexpr int64_t kStep = 8;
  pool.ParallelFor(DivideUp(groups, kStep), [&](int64_t i) {
    for (int64_t g = i * kStep; g < std::min(groups, (i + 1) * kStep); ++g) {
      const int64_t row = g * kPackedGroup;
      PackGroup(w.rows_at(row, std::min<int64_t>(kPackedGroup, w.rows - row)), out + g * bytes);
    }
  });
}

void DequantizePackedRow(const PackedMatrix& w, int64_t row, std::span<float> out) {
  assert(row >= 0 && row < w.rows && static_cast<int64_t>(out.size()) == w.cols);
  const std::byte* group = w.data + row / kPackedGroup * PackedGroupBytes(w.type, w.cols);
  const int o = row % kPackedGroup;
  const PackedLayout layout = LayoutOf(w.type);
  if (layout.bits == 0) return ReadFloats(w.type, group, o, out);
  const int zero = layout.zero_shift < 0 ? 0 : 1 << layout.zero_shift;
  for (size_t begin = 0; begin < out.size(); begin += 16) {
    const std::byte* unit = group + begin / layout.unit() * layout.unit_bytes();
    const int b = begin % layout.unit() / 32, h = begin % 32 / 16;
    const Affine affine = AffineOf(layout, unit, b, o, h);
    for (int i = 0; i < 16; ++i) {
      const int code = Code(layout, unit, b, o, h * 16 + i) - zero;
      out[begin + i] = affine.scale * static_cast<float>(code) - affine.min;
    }
  }
}

}  // namespace facet
