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
  const auto fill_tile = [&](int64_t i) {
    const int64_t end = i < full ? (i + 1) * kTileTokens : tokens();
    for (int64_t t = i * kTileTokens; t < end;) {
      const int tile = TileOf(end - t);
      for (int j = 0; j < tile; ++j) {
        fill(t + j, tile, j, storage.data() + t * token_bytes);
      }
      t += tile;
    }
  };
  const int64_t parts = full + (tokens() % kTileTokens != 0);
  if (tokens() * cols() <= kSerialElements) {
    for (int64_t i = 0; i < parts; ++i) fill_tile(i);
  } else {
    pool.ParallelFor(parts, fill_tile);
  }
  ready = true;
  return storage.data();
}

const std::byte* MatMulInput::Codes(ThreadPool& pool) {
  assert(cols() % 32 == 0);
  const int64_t second_bytes = TokenBytes(cols());
  if (second_.size() < static_cast<size_t>(tokens() * second_bytes)) {
    second_.resize(tokens() * second_bytes);
  }
  second_count_.resize(std::max<size_t>(second_count_.size(), tokens()));
  const auto quantize = ActivePackedKernels().quantize;
  return Build(codes_, codes_ready_, TokenBytes(cols()), pool,
               [&](int64_t token, int tokens, int t, std::byte* tile) {
                 auto* second =
                     reinterpret_cast<SecondCodes*>(second_.data() + token * second_bytes);
                 second_count_[token] =
                     quantize({x_.row(token), cols(), tokens, t, tile, second_above_, second});
               });
}

std::span<const SecondCodes> MatMulInput::Second(int64_t token) const {
  return {reinterpret_cast<const SecondCodes*>(second_.data() + token * TokenBytes(cols())),
          static_cast<size_t>(second_count_[token])};
}

const std::byte* MatMulInput::Floats(ThreadPool& pool) {
  return Build(floats_, floats_ready_, cols() * sizeof(float), pool,
               [&](int64_t token, int tokens, int t, std::byte* tile) {
                 InterleaveFloats(x_.row(token), cols(), tokens, t, tile);
               });
}

}  // namespace facet
