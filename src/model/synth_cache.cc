#include "model/synth_cache.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <random>
#include <vector>

namespace facet {

Result<void> FillSynthetic(KvSequence& sequence, int rows) {
  assert(sequence.length() % kTile == 0);
  const CacheLayout& layout = sequence.pool().layout();
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<std::vector<std::byte>> patterns;  // a page's share of each layer
  for (const CacheLayout::Layer& layer : layout.layers) {
    std::vector<std::byte>& pattern = patterns.emplace_back(layer.shape.tile_bytes());
    std::vector<float> record(int64_t{layer.shape.kv_heads} * layer.shape.record_dim());
    for (int slot = 0; slot < kTile; ++slot) {
      for (float& x : record) x = normal(random);
      WriteRecord(layer.shape, pattern.data(), slot, record.data());
    }
  }
  for (int step; rows > 0; rows -= step) {
    step = std::min(rows, kTile);
    FACET_TRY(sequence.Reserve(step));
    for (size_t layer = 0; layer < patterns.size(); ++layer) {
      std::memcpy(sequence.WritableTile(static_cast<int>(layer), sequence.length()),
                  patterns[layer].data(), patterns[layer].size());
    }
    sequence.Commit(step);
  }
  return Ok();
}

}  // namespace facet
