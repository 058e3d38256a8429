// Attention over a paged cache of keys and values. Knows no model: heads, ranges and tiles come
// from the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "base/thread_pool.h"

namespace facet {

enum class CacheType : uint8_t { kF32, kF16, kQ8_0 };

// Positions in a tile (a cache page). Tiles lie at absolute positions: tile t holds [t * kTile, (t
// + 1) * kTile), so that the order of the sum over keys does not depend on how a prompt was cut
// into steps.
constexpr int kTile = 32;
// Elements of a q8_0 record that share a scale. Half of what ggml's Q8_0 shares: a quarter less
// rounding error for 6 % more bytes.
constexpr int kScaleBlock = 16;

// One position of one kv head is a record of `record_dim` elements. Its key is elements [0,
// key_dim), its value [value_offset, value_offset + value_dim). Plain layers: key and value side by
// side. Compact full layers (docs/model.md): [rotated key | v of the unrotated dimensions | v of
// the rotated ones], key and value overlap.
struct KvShape {
  int kv_heads = 0, key_dim = 0, value_dim = 0, value_offset = 0;
  CacheType type = CacheType::kF32;

  int record_dim() const { return value_offset + value_dim; }
  // Scales of a q8_0 record: one float16 for every kScaleBlock elements, the last block may be
  // short.
  int record_scales() const { return (record_dim() + kScaleBlock - 1) / kScaleBlock; }
  // Bytes of one kv head of a tile: all codes (kTile, record_dim), then (q8_0) all scales (kTile,
  // record_scales).
  size_t head_bytes() const;
  // Bytes of a tile of one layer: (kv_heads) x head_bytes.
  size_t tile_bytes() const { return kv_heads * head_bytes(); }
};

// Writes the record of one position into its tile. record: (kv_heads, record_dim).
void WriteRecord(const KvShape& shape, std::byte* tile, int slot, const float* record);
// Reads it back in float32.
void ReadRecord(const KvShape& shape, const std::byte* tile, int slot, float* record);

// One query row (a token): attends to positions [begin, end) of its sequence.
struct AttentionRow {
  // Indexed by position / kTile; entries outside [begin, end) are not read.
  const std::byte* const* tiles = nullptr;
  int32_t begin = 0, end = 0;
};

// out (rows, heads * value_dim) = softmax(q . key) value; q (rows, heads * key_dim) is already
// scaled. Query head h reads kv head h / (heads / kv_heads). Tile by tile with online softmax; a
// row's result depends on its own range and tiles alone.
void AttentionPlain(const KvShape& shape, int heads, ConstMat q, std::span<const AttentionRow> rows,
                    Mat out, ThreadPool& pool);

// The same result, to the bit, fast: rows of one sequence that share a `tiles` array share the work
// of reading it.
void Attention(const KvShape& shape, int heads, ConstMat q, std::span<const AttentionRow> rows,
               Mat out, ThreadPool& pool);

}  // namespace facet
