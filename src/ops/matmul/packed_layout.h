// Where the bytes of packed weights and of quantised activations lie. Whoever changes the weights'
// layout changes kPackedLayoutVersion, which is part of the name of the cache file
// (model/packed_store.cc).
//
// A group of 16 outputs is a sequence of units of `unit` inputs, each a multiple of 64 bytes long
// and padded with zeros. A unit has one after another:
//
//   super scales   two-level types: 16 float16 d, then 16 float16 dmin (Q6_K: zeros).
//   scales         One-level types: 16 float16 for each block of 32; then, for types with a
//                  minimum, as many float16 of minus the minimum.
//                  Two-level types: for each block of 32, 16 bytes of scales, then 16 bytes of
//                  minima (Q6_K: of scales of the second half).
//   codes          4, 5 and 6 bits: for each block 4 vectors; vector i holds the low four bits of
//                  inputs 4i..4i+3 in its low nibbles and of 16+4i..19+4i in its high ones.
//                  8 bits: for each block 8 vectors; vector i holds inputs 4i..4i+3, each code
//                  plus 128.
//   high bits      5 bits: for each block one vector; bit i of a byte belongs to inputs 4i..4i+3.
//                  6 bits: for each block two vectors; bits 2i and 2i+1 of vector h belong to
//                  inputs 4(4h+i)..4(4h+i)+3.
//
// A vector is 64 bytes: byte 4o + b belongs to output o and to the b-th of its four inputs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "base/math.h"

namespace facet {

constexpr int kPackedLayoutVersion = 1;

struct PackedLayout {
  // Of a code; 0 for float types, which are (cols, 16) elements as they are.
  int bits = 0;
  // Scales of blocks are integers, to be multiplied with those of the unit.
  bool two_level = false;
  bool has_min = false;  // weight = scale * code - min
  bool halves = false;   // a scale for every 16 inputs
  int zero_shift = -1;   // weight = scale * (code - 2^zero_shift); -1: none

  constexpr int unit() const { return two_level ? 256 : 64; }
  constexpr int blocks() const { return unit() / 32; }
  constexpr int super_bytes() const { return two_level ? 64 : 0; }
  constexpr int scale_bytes() const { return blocks() * (two_level || !has_min ? 32 : 64); }
  constexpr int scales_at() const { return super_bytes(); }
  constexpr int mins_at() const { return scales_at() + 32 * blocks(); }  // one-level types only
  constexpr int codes_at() const {
    return super_bytes() + (two_level ? 32 * blocks() : scale_bytes());
  }
  constexpr int code_bytes() const { return bits == 8 ? 512 : 256; }  // of a block
  constexpr int high_at() const { return codes_at() + blocks() * code_bytes(); }
  constexpr int high_bytes() const { return bits == 5 ? 64 : bits == 6 ? 128 : 0; }  // of a block
  constexpr int unit_bytes() const { return high_at() + blocks() * high_bytes(); }
};

constexpr PackedLayout LayoutOf(DType type) {
  switch (type) {
    case DType::kQ4_0:
      return {.bits = 4, .zero_shift = 3};
    case DType::kQ4_1:
      return {.bits = 4, .has_min = true};
    case DType::kQ5_0:
      return {.bits = 5, .zero_shift = 4};
    case DType::kQ5_1:
      return {.bits = 5, .has_min = true};
    case DType::kQ8_0:
      return {.bits = 8, .zero_shift = 7};
    case DType::kQ4_K:
      return {.bits = 4, .two_level = true, .has_min = true};
    case DType::kQ5_K:
      return {.bits = 5, .two_level = true, .has_min = true};
    case DType::kQ6_K:
      return {.bits = 6, .two_level = true, .halves = true, .zero_shift = 5};
    default:
      return {};
  }
}

// Activations: tiles of kTileTokens tokens, the rest in tiles of 8, 4, 2 and 1. A tile of `m`
// tokens has, for each block of 32 inputs, m x 32 codes, then m of each: float scale; float scale *
// sum of codes; int32 minus the sum of codes; the same of the first 16. Blocks are padded with
// zeros to a multiple of 64 inputs. Tiles of float32 are (cols, m).
//
// Few inputs are much larger than the others, and the rounding of their blocks makes most of the
// error. Such a block has a second code for every input, of what the first one left over; each
// tile has a list of them, by ascending block, then token, with one of block kNoBlock at its end.
// Scales times sums count both codes.
constexpr int kTileTokens = 16;
constexpr int kTokenBlockBytes = 32 + 4 * 4;  // of one token in a block

constexpr int32_t kNoBlock = 0x7fffffff;

struct SecondCodes {
  int32_t block = kNoBlock;      // number of the block in its row
  int32_t token = 0;             // place in the tile
  float scale = 0;               // of a code
  int32_t minus_sum = 0;         // minus the sum of all codes
  int32_t minus_first_half = 0;  // minus the sum of the first 16
  int8_t codes[32] = {};
};

constexpr int64_t PaddedCols(int64_t cols) {
  return AlignUp(cols, 64);
}
constexpr int64_t TokenBytes(int64_t cols) {
  return PaddedCols(cols) / 32 * kTokenBlockBytes;
}

// The next tile when `left` tokens are left.
constexpr int TileOf(int64_t left) {
  int tile = kTileTokens;
  while (tile > left) tile /= 2;
  return tile;
}

}  // namespace facet
