#include "ops/elementwise/dropout.h"

#include <algorithm>
#include <cassert>

#include "base/math.h"
#include "base/random.h"

namespace facet {

void Dropout(const DropoutMask& mask, ConstMat x, Mat y, ThreadPool& pool) {
  assert(mask.rate >= 0 && mask.rate < 1 && x.rows() == y.rows() && x.cols() == y.cols());
  const auto threshold = static_cast<uint64_t>(double{mask.rate} * 4294967296.0);
  const float grow = 1.0f / (1.0f - mask.rate);
  constexpr int64_t kRows = 16;
  pool.ParallelFor(DivideUp(x.rows(), kRows), [&](int64_t i) {
    for (int64_t r = i * kRows; r < std::min(x.rows(), (i + 1) * kRows); ++r) {
      const float* from = x.row(r);
      float* to = y.row(r);
      for (int64_t c = 0; c < x.cols(); ++c) {
        const bool kept = (MixBits(mask.key, r * x.cols() + c) >> 32) >= threshold;
        to[c] = kept ? from[c] * grow : 0.0f;
      }
    }
  });
}

}  // namespace facet
