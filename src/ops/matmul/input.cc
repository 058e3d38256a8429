// The rows that packed matrices are multiplied with: 8-bit codes with second codes for large
// blocks, or float32, in tiles of 16 tokens and fewer at the end (packed_layout.h).
#include <algorithm>
#include <cassert>
#include <cstring>

#include "ops/matmul/packed.h"
#include "ops/matmul/packed_kernel.h"
#include "ops/matmul/packed_layout.h"

namespace facet {
namespace {

// Elements below which waking other threads costs more than the work.
constexpr int64_t kSerialElements = 65536;

void InterleaveFloats(const float* x, int64_t cols, int tokens, int t, std::byte* tile) {
  for (int64_t k = 0; k < cols; ++k) {
    std::memcpy(tile + (k * tokens + t) * sizeof(float), x + k, sizeof(float));
  }
}

}  // namespace

void MatMulInput::Assign(ConstMat x, float second_above) {
  x_ = x;
  second_above_ = second_above;
  codes_ready_ = floats_ready_ = false;
}

template <typename Fill>
const std::byte* MatMulInput::Build(std::vector<std::byte>& storage, bool& ready,
                                    int64_t token_bytes, ThreadPool& pool, const Fill& fill) {
  if (ready) return storage.data();
  if (storage.size() < static_cast<size_t>(tokens() * token_bytes)) {
    storage.resize(tokens() * token_bytes);
  }
  // All tiles but the last few are full, so the tile of a full one is known from its number.
  const int64_t full = tokens() / kTileTokens;
  const auto fill_tiles = [&](int64_t i) {
    const int64_t end = i < full ? (i + 1) * kTileTokens : tokens();
    for (int64_t t = i * kTileTokens; t < end;) {
      const int tile = TileOf(end - t);
      fill(t, tile, storage.data() + t * token_bytes);
      t += tile;
    }
  };
  const int64_t parts = full + (tokens() % kTileTokens != 0);
  if (tokens() * cols() <= kSerialElements) {
    for (int64_t i = 0; i < parts; ++i) fill_tiles(i);
  } else {
    pool.ParallelFor(parts, fill_tiles);
  }
  ready = true;
  return storage.data();
}

const std::byte* MatMulInput::Codes(ThreadPool& pool) {
  assert(cols() % 32 == 0);
  blocks_ = PaddedCols(cols()) / 32;
  const auto room = static_cast<size_t>(tokens() * (blocks_ + 1));
  if (second_.size() < room) second_.resize(room);
  second_count_.resize(std::max<size_t>(second_count_.size(), tokens()));
  return Build(codes_, codes_ready_, TokenBytes(cols()), pool,
               [&](int64_t token, int tokens, std::byte* tile) { Quantize(token, tokens, tile); });
}

void MatMulInput::Quantize(int64_t token, int tokens, std::byte* tile) {
  const auto quantize = ActivePackedKernels().quantize;
  SecondCodes* out = second_.data() + token * (blocks_ + 1);
  if (tokens == 1) {
    second_count_[token] = quantize({x_.row(token), cols(), 1, 0, tile, second_above_, out});
    out[second_count_[token]].block = kNoBlock;
    return;
  }
  // Lists of tokens, which become one by block.
  thread_local std::vector<SecondCodes> lists;
  lists.resize(std::max(lists.size(), static_cast<size_t>(tokens * blocks_)));
  const SecondCodes *at[kTileTokens], *end[kTileTokens];
  for (int t = 0; t < tokens; ++t) {
    SecondCodes* list = lists.data() + t * blocks_;
    at[t] = list;
    end[t] = list + quantize({x_.row(token + t), cols(), tokens, t, tile, second_above_, list});
  }
  int64_t count = 0;
  for (int64_t b = 0; b < blocks_; ++b) {
    for (int t = 0; t < tokens; ++t) {
      if (at[t] < end[t] && at[t]->block == b) out[count++] = *at[t]++;
    }
  }
  second_count_[token] = count;
  out[count].block = kNoBlock;
}

const SecondCodes* MatMulInput::Second(int64_t token, int32_t block) const {
  const SecondCodes* list = second_.data() + token * (blocks_ + 1);
  return std::lower_bound(list, list + second_count_[token], block,
                          [](const SecondCodes& a, int32_t b) { return a.block < b; });
}

const std::byte* MatMulInput::Floats(ThreadPool& pool) {
  return Build(floats_, floats_ready_, cols() * sizeof(float), pool,
               [&](int64_t token, int tokens, std::byte* tile) {
                 for (int t = 0; t < tokens; ++t)
                   InterleaveFloats(x_.row(token + t), cols(), tokens, t, tile);
               });
}

}  // namespace facet
