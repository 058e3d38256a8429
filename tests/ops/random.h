// Random rows for the tests of kernels.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/dtype.h"
#include "base/matrix.h"
#include "ops/matmul/matmul.h"
#include "ops/quant/quant.h"

namespace facet {

inline Buffer RandomMatrix(int64_t rows, int64_t cols, float scale, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  Buffer b(rows, cols);
  for (int64_t r = 0; r < rows; ++r) {
    for (float& x : b.view().row_span(r)) x = normal(rng);
  }
  return b;
}

inline bool SameBits(ConstMat a, ConstMat b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return false;
  for (int64_t r = 0; r < a.rows(); ++r) {
    if (std::memcmp(a.row(r), b.row(r), a.cols() * sizeof(float)) != 0) return false;
  }
  return true;
}

// Where a block of `type` keeps its float16 scales; -1 for none.
struct HalfOffsets {
  int first, second;
};
inline HalfOffsets HalfsOf(DType type) {
  switch (type) {
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kQ8_0:
      return {0, -1};
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ6_K:
      return {208, -1};
    default:
      return {-1, -1};
  }
}

// A matrix as a file would hold it: every code and sub-scale equally likely, scales of both signs.
class RandomWeights {
 public:
  RandomWeights(DType type, int64_t rows, int64_t cols, uint32_t seed)
      : type_(type), rows_(rows), cols_(cols) {
    std::mt19937 rng(seed);
    std::normal_distribution<float> normal(0.0f, 0.05f);
    bytes_.resize(rows * RowBytes(type, cols));
    if (!IsQuantized(type)) {
      std::vector<float> row(cols);
      for (int64_t r = 0; r < rows; ++r) {
        for (float& x : row) x = normal(rng);
        QuantizeRow(type, row, bytes_.data() + r * RowBytes(type, cols));
      }
      return;
    }
    for (std::byte& b : bytes_) b = static_cast<std::byte>(rng());
    const HalfOffsets at = HalfsOf(type);
    for (size_t block = 0; block < bytes_.size(); block += Traits(type).bytes) {
      for (int offset : {at.first, at.second}) {
        if (offset < 0) continue;
        const uint16_t half = FloatToHalf(normal(rng));
        std::memcpy(bytes_.data() + block + offset, &half, sizeof(half));
      }
    }
  }

  WeightView view() const { return {type_, rows_, cols_, bytes_.data()}; }
  std::vector<float> Row(int64_t r) const {
    std::vector<float> row(cols_);
    DequantizeRow(type_, view().row(r), row);
    return row;
  }

 private:
  DType type_;
  int64_t rows_, cols_;
  std::vector<std::byte> bytes_;
};

constexpr DType kWeightTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ8_0,
                                  DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                                  DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

}  // namespace facet
