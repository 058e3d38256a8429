// The fast path of y = x W^T. Weights are repacked once into a layout that suits every instruction
// set: groups of 16 outputs interleaved, so that a 64-byte vector holds four neighbouring inputs of
// each. Codes stay as narrow as in the file. Quantised weights meet activations of 8 bits (blocks
// of 32 inputs, symmetric), or 16 where a block is much larger than the others of its row; F32, F16
// and BF16 weights meet float32 ones.
//
// Every output is one chain of fused multiply-adds over the blocks of 32 inputs in ascending order
// (floats: over the inputs). Products with second codes are chains of their own, each over a
// stretch of columns that follows from the matrix alone, and are added behind the stretch. That is
// the same for any number of rows, threads and on every instruction set. Integer sums within a
// block are exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "base/math.h"
#include "base/matrix.h"
#include "base/thread_pool.h"
#include "ops/matmul/matmul.h"
#include "ops/matmul/packed_layout.h"

namespace facet {

constexpr int kPackedGroup = 16;  // outputs of a group
// A few large inputs make most of the rounding error of a row; see MatMulInput::Assign.
constexpr float kSecondAbove = 1.0f;

// Bytes of one group, a multiple of 64, and of a whole matrix. `cols` must be a multiple of the
// type's block. No type takes 3 % more than in the file where cols is a multiple of 64.
size_t PackedGroupBytes(DType type, int64_t cols);
size_t PackedBytes(DType type, int64_t rows, int64_t cols);

// A repacked matrix; `data` is aligned to 64 bytes.
struct PackedMatrix {
  DType type = DType::kF32;
  int64_t rows = 0, cols = 0;
  const std::byte* data = nullptr;

  int64_t groups() const { return DivideUp(rows, kPackedGroup); }
};

// Repacks up to 16 rows (fewer only at the end of a matrix) into one group at `out`, so that a file
// is repacked in bounded memory.
void PackGroup(const WeightView& rows, std::byte* out);
// Repacks a whole matrix into PackedBytes() bytes at `out`.
void Pack(const WeightView& w, std::byte* out, ThreadPool& pool);

// One row in float32, as DequantizeRow gives it: the embedding of a token where only the packed
// copy exists.
void DequantizePackedRow(const PackedMatrix& w, int64_t row, std::span<float> out);

// The rows that matrices are multiplied with, in the form that their types need. Forms are made at
// the first use and shared by all products of the same input (q, k and v; gate and up).
class MatMulInput {
 public:
  // x (tokens, cols) must stay as it is until the last product with it. Blocks of 32 inputs whose
  // scale is above the row's mean times `second_above` are rounded 254 times finer, at twice their
  // cost; 0: all of them.
  void Assign(ConstMat x, float second_above = kSecondAbove);

  int64_t tokens() const { return x_.rows(); }
  int64_t cols() const { return x_.cols(); }

  // Tiles of 16, then 8, 4, 2 and 1 tokens; packed_layout.h describes them. Made by the caller's
  // thread or the pool.
  const std::byte* Codes(ThreadPool& pool);
  const std::byte* Floats(ThreadPool& pool);
  // Of the tile that begins at a token, from a block on; after Codes.
  const SecondCodes* Second(int64_t token, int32_t block) const;

 private:
  template <typename Fill>
  const std::byte* Build(std::vector<std::byte>& storage, bool& ready, int64_t token_bytes,
                         ThreadPool& pool, const Fill& fill);
  // The codes of one tile, and its second codes.
  void Quantize(int64_t token, int tokens, std::byte* tile);

  ConstMat x_;
  int64_t blocks_ = 0;  // of 32 inputs, of a token
  float second_above_ = kSecondAbove;
  std::vector<std::byte> codes_, floats_;
  std::vector<SecondCodes> second_;    // (tokens, blocks + 1); a tile's begin at its first token
  std::vector<int64_t> second_count_;  // of tiles, by their first tokens
  bool codes_ready_ = false, floats_ready_ = false;
};

// y (tokens, w.rows) = x W^T.
struct PackedProduct {
  PackedMatrix w;
  Mat y;
};

// All products of one input in one parallel loop.
void MatMulPacked(std::span<const PackedProduct> products, MatMulInput& x, ThreadPool& pool);

inline void MatMulPacked(const PackedMatrix& w, MatMulInput& x, Mat y, ThreadPool& pool) {
  const PackedProduct product{w, y};
  MatMulPacked({&product, 1}, x, pool);
}

}  // namespace facet
