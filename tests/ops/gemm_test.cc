#include "ops/gemm/gemm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/elementwise/backward.h"
#include "ops/isa_test.h"
#include "ops/quant/quant.h"
#include "ops/random.h"

namespace facet {
namespace {

double Entry(const FloatOperand& a, int64_t r, int64_t c) {
  return a.transposed ? a.matrix(c, r) : a.matrix(r, c);
}

TEST(Gemm, IsTheProductInEveryOrientation) {
  ThreadPool pool(2);
  const int64_t m = 70, n = 135, k = 33;
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      Buffer a_storage = RandomMatrix(ta ? k : m, (ta ? m : k) + 5, 1, 1);
      Buffer b_storage = RandomMatrix(tb ? n : k, (tb ? k : n) + 3, 1, 2);
      const FloatOperand a{a_storage.view().cols_at(2, ta ? m : k), ta};
      const FloatOperand b{b_storage.view().cols_at(1, tb ? k : n), tb};
      Buffer c = RandomMatrix(m, n, 1, 3), before = c, stored(m, n);
      Gemm(a, b, stored, Sum::kStore, pool);
      Gemm(a, b, c, Sum::kAdd, pool);
      for (int64_t r = 0; r < m; ++r) {
        for (int64_t col = 0; col < n; ++col) {
          double want = 0;
          for (int64_t i = 0; i < k; ++i) want += Entry(a, r, i) * Entry(b, i, col);
          ASSERT_NEAR(stored.view()(r, col), want, 1e-5);
          ASSERT_NEAR(c.view()(r, col), want + before.view()(r, col), 1e-5);
        }
      }
    }
  }
}

TEST(Gemm, DoesNotDependOnTheThreads) {
  Buffer a = RandomMatrix(300, 500, 1, 1), b = RandomMatrix(700, 500, 1, 2), one(300, 700),
         three(300, 700);
  ThreadPool single(1), several(3);
  Gemm(Plain(a), Transposed(b), one, Sum::kStore, single);
  Gemm(Plain(a), Transposed(b), three, Sum::kStore, several);
  EXPECT_TRUE(SameBits(one, three));
}

TEST(Gemm, MultipliesBfloat16) {
  ThreadPool pool(2);
  const int64_t m = 40, n = 72, k = 96;
  Buffer a = RandomMatrix(m, k, 1, 1), b = RandomMatrix(n, k, 1, 2), c(m, n), transposed(k, n);
  std::vector<uint16_t> a_bits(m * k), b_bits(n * k);
  const MatrixView<uint16_t> a16(a_bits.data(), m, k), b16(b_bits.data(), n, k);
  ToBf16(a, a16, pool);
  ToBf16(b, b16, pool);
  for (int64_t i = 0; i < k; ++i) EXPECT_EQ(a16(0, i), FloatToBf16(a.view()(0, i)));
  Gemm(Bf16Operand{a16, false}, Bf16Operand{b16, true}, c, Sum::kStore, pool);
  Gemm(Bf16Operand{a16, false}, Bf16Operand{b16, true}, c, Sum::kAdd, pool);
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t col = 0; col < n; ++col) {
      double want = 0;
      for (int64_t i = 0; i < k; ++i)
        want += double{Bf16ToFloat(a16(r, i))} * Bf16ToFloat(b16(col, i));
      ASSERT_NEAR(c.view()(r, col), 2 * want, 1e-4);
    }
  }
}

}  // namespace
}  // namespace facet
