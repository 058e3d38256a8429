#include "ops/matmul/matmul.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <vector>

#include "base/math.h"
#include "ops/dispatch.h"
#include "ops/matmul/plain_kernel.h"
#include "ops/quant/quant.h"

namespace facet {
namespace {

// Rows that are dequantised at a time: half of a usual second-level cache.
int64_t RowsPerBlock(int64_t cols) {
  constexpr int64_t kScratchFloats = 128 * 1024;
  return std::clamp<int64_t>(kScratchFloats / cols / 4 * 4, 4, 32);
}

// x with rows a multiple of 16 long, the new columns zero.
ConstMat Padded(ConstMat x, int64_t cols, std::vector<float>& storage) {
  if (x.cols() == cols) return x;
  storage.assign(x.rows() * cols, 0.0f);
  for (int64_t t = 0; t < x.rows(); ++t) {
    std::memcpy(storage.data() + t * cols, x.row(t), x.cols() * sizeof(float));
  }
  return {storage.data(), x.rows(), cols};
}

}  // namespace

void MatMulPlain(const WeightView& w, ConstMat x, Mat y, ThreadPool& pool) {
  assert(x.cols() == w.cols && y.rows() == x.rows() && y.cols() == w.rows);
  const auto product = FACET_DISPATCH(PlainProduct);
  const int64_t cols = AlignUp(w.cols, 16), step = RowsPerBlock(cols);
  std::vector<float> storage;
  const ConstMat padded = Padded(x, cols, storage);
  pool.ParallelFor(DivideUp(w.rows, step), [&](int64_t i) {
    thread_local std::vector<float> scratch;
    const int64_t begin = i * step, count = std::min(step, w.rows - begin);
    scratch.assign(count * cols, 0.0f);
    for (int64_t r = 0; r < count; ++r) {
      DequantizeRow(w.type, w.row(begin + r),
                    {scratch.data() + r * cols, static_cast<size_t>(w.cols)});
    }
    product({scratch.data(), count, cols, padded.data(), padded.rows(), padded.stride(),
             y.data() + begin, y.stride()});
  });
}

}  // namespace facet
