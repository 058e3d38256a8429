#include "ops/attention/dense.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/gradient.h"
#include "ops/isa_test.h"
#include "ops/random.h"

namespace facet {
namespace {

// Two sequences side by side; the second has a run that sees itself whole.
std::vector<KeyRange> TwoSequences(int first, int rows, int window) {
  std::vector<KeyRange> ranges;
  for (int r = 0; r < rows; ++r) {
    const int base = r < first ? 0 : first;
    ranges.push_back({std::max(base, r - window + 1), r + 1});
  }
  for (int r = first + 2; r < first + 6; ++r) ranges[r].end = first + 6;
  return ranges;
}

struct Case {
  std::vector<KeyRange> ranges;
  Buffer q, k, v;
  DenseAttention args() const { return {4, 2, 8, ranges, q, k, v}; }
};

Case MakeCase(int first, int rows, int window) {
  return {TwoSequences(first, rows, window), RandomMatrix(rows, 32, 1, 1),
          RandomMatrix(rows, 16, 1, 2), RandomMatrix(rows, 16, 1, 3)};
}

TEST(DenseAttention, IsTheFormula) {
  ThreadPool pool(2);
  Case c = MakeCase(90, 200, 70);
  Buffer out(200, 32), sums(200, 4);
  DenseAttentionForward(c.args(), out, sums, pool);
  for (int r = 0; r < 200; r += 7) {
    for (int head = 0; head < 4; ++head) {
      double sum = 0, value[8] = {};
      for (int key = c.ranges[r].begin; key < c.ranges[r].end; ++key) {
        double score = 0;
        for (int i = 0; i < 8; ++i)
          score += double{c.q.view()(r, head * 8 + i)} * c.k.view()(key, head / 2 * 8 + i);
        sum += std::exp(score);
        for (int i = 0; i < 8; ++i) value[i] += std::exp(score) * c.v.view()(key, head / 2 * 8 + i);
      }
      for (int i = 0; i < 8; ++i) EXPECT_NEAR(out.view()(r, head * 8 + i), value[i] / sum, 2e-6);
      EXPECT_NEAR(sums.view()(r, head), std::log(sum), 1e-5);
    }
  }
}

TEST(DenseAttention, BackwardAgreesWithFiniteDifferences) {
  ThreadPool pool(2);
  Case c = MakeCase(9, 20, 5);
  Buffer out(20, 32), sums(20, 4), dout = RandomMatrix(20, 32, 1, 4);
  const auto loss = [&] {
    DenseAttentionForward(c.args(), out, sums, pool);
    return Weighted(dout, out);
  };
  loss();
  Buffer dq(20, 32), dk(20, 16), dv(20, 16);
  DenseAttentionBackward(c.args(), {out, sums, dout}, dq, dk, dv, pool);
  ExpectGradient(loss, c.q, dq);
  ExpectGradient(loss, c.k, dk);
  ExpectGradient(loss, c.v, dv);
}

TEST(DenseAttention, BackwardOfSomeQueriesAndSeveralBlocks) {
  ThreadPool pool(2), single(1);
  Case c = MakeCase(90, 300, 150);
  Buffer out(300, 32), sums(300, 4), dout = RandomMatrix(300, 32, 1, 4);
  // Queries 100 to 299 alone give the same keys' gradients as all with no gradient at the others.
  for (int r = 0; r < 100; ++r) std::fill_n(dout.view().row(r), 32, 0.0f);
  DenseAttentionForward(c.args(), out, sums, pool);
  Buffer dq(300, 32), dk(300, 16), dv(300, 16);
  DenseAttentionBackward(c.args(), {out, sums, dout}, dq, dk, dv, pool);
  DenseAttention some = c.args();
  some.ranges = some.ranges.subspan(100);
  some.q = some.q.rows_at(100, 200);
  Buffer some_out(200, 32), some_sums(200, 4), dq2(200, 32), dk2(300, 16), dv2(300, 16);
  DenseAttentionForward(some, some_out, some_sums, single);
  DenseAttentionBackward(some, {some_out, some_sums, dout.view().rows_at(100, 200)}, dq2, dk2, dv2,
                         single);
  for (int r = 0; r < 300; ++r) {
    for (int i = 0; i < 16; ++i) {
      ASSERT_NEAR(dk.view()(r, i), dk2.view()(r, i), 1e-5);
      ASSERT_NEAR(dv.view()(r, i), dv2.view()(r, i), 1e-5);
    }
    if (r >= 100) {
      ASSERT_NEAR(dq.view()(r, 3), dq2.view()(r - 100, 3), 1e-5);
    }
  }
}

}  // namespace
}  // namespace facet
