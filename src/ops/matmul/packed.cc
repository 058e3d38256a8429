#include "ops/matmul/packed.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <vector>

#include "base/math.h"
#include "ops/dispatch.h"
#include "ops/matmul/packed_kernel.h"
#include "ops/matmul/packed_layout.h"

namespace facet {
namespace {

// Weights that one thread takes at a time: they stay in its second-level cache while all tokens
// pass by.
constexpr int64_t kChunkBytes = 512 * 1024;
// Columns that tokens go through at a time: a tile of so many stays in the second-level cache
// beside the weights. What comes out depends on it (packed.h).
constexpr int64_t kColumnsAtATime = 4096;
// Pieces for each thread at least, so that one that is held up does not keep the others waiting.
constexpr int64_t kPiecesPerThread = 4;

constexpr int64_t kColumnStep = 256;  // a multiple of every unit

// One product cut into pieces: stretches of groups by stretches of tokens.
struct Plan {
  PackedProduct product;
  const MatMulInput* source;
  const std::byte* input;
  int64_t token_bytes, group_bytes;
  int64_t groups_each, tokens_each, cols_each, group_pieces, token_pieces;

  int64_t pieces() const { return group_pieces * token_pieces; }
};

Plan MakePlan(const PackedProduct& product, MatMulInput& x, ThreadPool& pool) {
  const PackedMatrix& w = product.w;
  assert(w.cols == x.cols() && product.y.rows() == x.tokens() && product.y.cols() == w.rows);
  Plan plan{};
  plan.product = product;
  plan.source = &x;
  const bool floats = LayoutOf(w.type).bits == 0;
  plan.input = floats ? x.Floats(pool) : x.Codes(pool);
  plan.token_bytes = floats ? w.cols * sizeof(float) : TokenBytes(w.cols);
  plan.group_bytes = PackedGroupBytes(w.type, w.cols);
  const int64_t col_parts = DivideUp(w.cols, kColumnsAtATime);
  plan.cols_each = AlignUp(DivideUp(w.cols, col_parts), kColumnStep);
  const int64_t wanted = pool.threads() == 1 ? 1 : kPiecesPerThread * pool.threads();
  const int64_t chunk_cols = x.tokens() > kTileTokens ? std::min(w.cols, plan.cols_each) : w.cols;
  const int64_t chunk_bytes = DivideUp(plan.group_bytes * chunk_cols, w.cols);
  plan.groups_each =
      std::clamp<int64_t>(kChunkBytes / chunk_bytes, 1, DivideUp(w.groups(), wanted));
  plan.group_pieces = DivideUp(w.groups(), plan.groups_each);
  const int64_t tiles = DivideUp(x.tokens(), kTileTokens);
  plan.tokens_each =
      DivideUp(tiles, std::clamp<int64_t>(wanted / plan.group_pieces, 1, tiles)) * kTileTokens;
  plan.token_pieces = DivideUp(x.tokens(), plan.tokens_each);
  return plan;
}

// Where the weights and the input of columns [col, cols) of a tile begin.
PackedTile TileAt(const Plan& plan, int64_t group, int64_t token, int tokens, int64_t col) {
  const PackedMatrix& w = plan.product.w;
  const PackedLayout layout = LayoutOf(w.type);
  const bool floats = layout.bits == 0;
  const int64_t weight_bytes = floats ? col * kPackedGroup * Traits(w.type).bytes
                                      : col / layout.unit() * layout.unit_bytes();
  const int64_t input_bytes = floats ? col * tokens * static_cast<int64_t>(sizeof(float))
                                     : col / 32 * tokens * kTokenBlockBytes;
  PackedTile tile{};
  tile.weights = w.data + group * plan.group_bytes + weight_bytes;
  tile.input = plan.input + token * plan.token_bytes + input_bytes;
  tile.cols = std::min(w.cols - col, plan.cols_each);
  tile.resume = col > 0;
  tile.tokens = tokens;
  if (floats) return tile;
  tile.block = static_cast<int32_t>(col / 32);
  tile.second = plan.source->Second(token, tile.block);
  return tile;
}

// One group times a stretch of columns of one tile. The sums are made in one place: rows of y may
// lie so far apart that they push each other out of the cache.
void RunTile(const Plan& plan, int64_t group, int64_t token, int tokens, int64_t col) {
  const PackedMatrix& w = plan.product.w;
  const Mat& y = plan.product.y;
  const auto kernel = ActivePackedKernels().product[static_cast<int>(w.type)];
  const int64_t row = group * kPackedGroup;
  const size_t row_bytes = std::min<int64_t>(kPackedGroup, w.rows - row) * sizeof(float);
  alignas(64) float sums[kTileTokens * kPackedGroup];
  PackedTile tile = TileAt(plan, group, token, tokens, col);
  tile.y = sums;
  for (int t = 0; tile.resume && t < tokens; ++t)
    std::memcpy(sums + t * kPackedGroup, y.row(token + t) + row, row_bytes);
  kernel(tile);
  for (int t = 0; t < tokens; ++t)
    std::memcpy(y.row(token + t) + row, sums + t * kPackedGroup, row_bytes);
}

// Tokens [token, end): a tile of 16, or the smaller ones at the end.
void RunTiles(const Plan& plan, int64_t group, int64_t token, int64_t end, int64_t col) {
  while (token < end) {
    const int tile = TileOf(end - token);
    RunTile(plan, group, token, tile, col);
    token += tile;
  }
}

void RunPiece(const Plan& plan, int64_t piece) {
  const int64_t group = piece / plan.token_pieces * plan.groups_each;
  const int64_t group_end = std::min(plan.product.w.groups(), group + plan.groups_each);
  const int64_t token = piece % plan.token_pieces * plan.tokens_each;
  const int64_t token_end = std::min(plan.product.y.rows(), token + plan.tokens_each);
  const int64_t cols = plan.product.w.cols;
  if (token_end - token <= kTileTokens) {  // weights in the order in which they lie in memory
    for (int64_t g = group; g < group_end; ++g) {
      for (int64_t col = 0; col < cols; col += plan.cols_each)
        RunTiles(plan, g, token, token_end, col);
    }
    return;
  }
  for (int64_t col = 0; col < cols; col += plan.cols_each) {
    for (int64_t t = token; t < token_end; t += kTileTokens) {
      for (int64_t g = group; g < group_end; ++g)
        RunTiles(plan, g, t, std::min(token_end, t + kTileTokens), col);
    }
  }
}

}  // namespace

const PackedKernels& ActivePackedKernels() {
#if defined(__aarch64__)
  if (ActiveIsa() == Isa::kI8mm) return kPackedI8mm;
#endif
  return FACET_DISPATCH(kPacked);
}

void MatMulPacked(std::span<const PackedProduct> products, MatMulInput& x, ThreadPool& pool) {
  if (x.tokens() == 0) return;
  std::vector<Plan> plans;
  std::vector<int64_t> ends;
  int64_t pieces = 0;
  for (const PackedProduct& product : products) {
    plans.push_back(MakePlan(product, x, pool));
    ends.push_back(pieces += plans.back().pieces());
  }
  pool.ParallelFor(pieces, [&](int64_t i) {
    const size_t p = std::upper_bound(ends.begin(), ends.end(), i) - ends.begin();
    RunPiece(plans[p], i - (p == 0 ? 0 : ends[p - 1]));
  });
}

}  // namespace facet
