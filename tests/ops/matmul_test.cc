#include "ops/matmul/matmul.h"

#include <gtest/gtest.h>

#include "ops/isa_test.h"
#include "ops/random.h"

namespace facet {
namespace {

TEST(MatMulPlain, IsTheProductOnDequantisedWeights) {
  ThreadPool pool(2);
  for (DType type : kWeightTypes) {
    SCOPED_TRACE(std::string(Traits(type).name));
    const int64_t cols = IsQuantized(type) ? 512 : 37;
    const RandomWeights w(type, 23, cols, 5);
    const Buffer x = RandomMatrix(7, cols, 1.0f, 6);
    Buffer y(7, 23);
    MatMulPlain(w.view(), x, y, pool);
    for (int64_t r = 0; r < 23; ++r) {
      const std::vector<float> row = w.Row(r);
      for (int64_t t = 0; t < 7; ++t) {
        double want = 0, size = 0;
        for (int64_t k = 0; k < cols; ++k) {
          want += double{row[k]} * x.view()(t, k);
          size += std::fabs(double{row[k]} * x.view()(t, k));
        }
        EXPECT_NEAR(y.view()(t, r), want, 1e-6 * size);
      }
    }
  }
}

TEST(MatMulPlain, EveryBatchThreadCountAndInstructionSetGivesTheSameBits) {
  const RandomWeights w(DType::kBF16, 71, 200, 7);
  const Buffer x = RandomMatrix(17, 200, 1.0f, 8);
  Buffer want(17, 71);
  ThreadPool one(1);
  for (int64_t t = 0; t < 17; ++t) {
    MatMulPlain(w.view(), x.view().rows_at(t, 1), want.view().rows_at(t, 1), one);
  }
  ForEachIsa([&] {
    for (int threads : {1, 2, 3, 8}) {
      ThreadPool pool(threads);
      for (int64_t tokens : {1, 2, 5, 6, 7, 13, 17}) {
        Buffer y(tokens, 71);
        MatMulPlain(w.view(), x.view().rows_at(0, tokens), y, pool);
        EXPECT_TRUE(SameBits(want.view().rows_at(0, tokens), y)) << threads << " " << tokens;
      }
    }
  });
}

}  // namespace
}  // namespace facet
