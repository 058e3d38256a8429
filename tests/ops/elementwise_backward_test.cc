#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "ops/cpu.h"
#include "ops/elementwise/backward.h"
#include "ops/gradient.h"
#include "ops/isa_test.h"
#include "ops/random.h"

namespace facet {
namespace {

TEST(RmsNormBackward, AgreesWithFiniteDifferences) {
  ThreadPool pool(2);
  Buffer x = RandomMatrix(5, 44, 1, 1), w = RandomMatrix(1, 22, 1, 2), y(5, 44);
  Buffer dy = RandomMatrix(5, 44, 1, 3), dx(5, 44), dw(1, 22);
  const RmsNormArgs args{22, w.view().data(), 1e-3f};
  const auto loss = [&] {
    RmsNorm(args, x, y, pool);
    return Weighted(dy, y);
  };
  RmsNormBackward(args, x, dy, Into::kStore, dx, dw.view().data(), pool);
  ExpectGradient(loss, x, dx);
  ExpectGradient(loss, w, dw);
}

TEST(RmsNormBackward, AddsAndMayReplaceItsInput) {
  ThreadPool pool(1);
  Buffer x = RandomMatrix(2, 40, 1, 1), dy = RandomMatrix(2, 40, 1, 2), once(2, 40), twice(2, 40);
  const RmsNormArgs args{40, nullptr, 1e-6f};
  RmsNormBackward(args, x, dy, Into::kStore, once, nullptr, pool);
  RmsNormBackward(args, x, dy, Into::kStore, twice, nullptr, pool);
  RmsNormBackward(args, x, dy, Into::kAdd, twice, nullptr, pool);
  RmsNormBackward(args, x, dy, Into::kStore, dy, nullptr, pool);
  for (int64_t i = 0; i < 40; ++i) {
    EXPECT_FLOAT_EQ(twice.view()(1, i), 2 * once.view()(1, i));
    EXPECT_EQ(dy.view()(1, i), once.view()(1, i));
  }
}

TEST(LayerNormBackward, AgreesWithFiniteDifferences) {
  ThreadPool pool(2);
  Buffer x = RandomMatrix(4, 37, 1, 1), w = RandomMatrix(1, 37, 1, 2),
         b = RandomMatrix(1, 37, 1, 3);
  Buffer dy = RandomMatrix(4, 37, 1, 4), y(4, 37), dx(4, 37), dw(1, 37), db(1, 37);
  const auto loss = [&] {
    LayerNorm(w.view().row_span(0), b.view().row_span(0), 1e-5f, x, y, pool);
    return Weighted(dy, y);
  };
  LayerNormBackward(w.view().row_span(0), 1e-5f, x, dy, {dx, dw.view().data(), db.view().data()},
                    pool);
  ExpectGradient(loss, x, dx);
  ExpectGradient(loss, w, dw);
  ExpectGradient(loss, b, db);
}

TEST(RopeBackward, TurnsBack) {
  ThreadPool pool(1);
  const float frequencies[] = {1.0, 0.3, 1e-2};
  const int32_t positions[] = {0, 7, 21};
  RopeTable table;
  table.Fill(frequencies, positions);
  Buffer x = RandomMatrix(3, 20, 1, 1), y(3, 20), dy = RandomMatrix(3, 20, 1, 2), dx = dy;
  const auto loss = [&] {
    y = x;
    Rope(table, 10, y, pool);
    return Weighted(dy, y);
  };
  RopeBackward(table, 10, dx, pool);
  ExpectGradient(loss, x, dx);
}

TEST(GeluTanhGateBackward, AgreesWithFiniteDifferences) {
  ThreadPool pool(2);
  Buffer gate = RandomMatrix(3, 50, 2, 1), up = RandomMatrix(3, 50, 1, 2), y(3, 50);
  Buffer dy = RandomMatrix(3, 50, 1, 3), dgate = gate, dup = up;
  const auto loss = [&] {
    y = gate;
    GeluTanhGate(y, up, pool);
    return Weighted(dy, y);
  };
  GeluTanhGateBackward(dy, dgate, dup, pool);
  ExpectGradient(loss, gate, dgate);
  ExpectGradient(loss, up, dup);
}

TEST(CrossEntropy, IsTheFormulaAndItsGradient) {
  ThreadPool pool(2);
  for (const float cap : {0.0f, 5.0f}) {
    Buffer x = RandomMatrix(3, 77, 3, 1), y(3, 77);
    const int32_t targets[] = {0, 76, 20};
    std::vector<double> losses(3);
    const auto loss = [&] {
      y = x;
      CrossEntropy({targets, cap, 1, false}, y, losses, pool);
      return std::accumulate(losses.begin(), losses.end(), 0.0);
    };
    double want = 0;
    for (int r = 0; r < 3; ++r) {
      const auto z = [&](int c) {
        return cap > 0 ? cap * std::tanh(x.view()(r, c) / cap) : double{x.view()(r, c)};
      };
      double sum = 0;
      for (int c = 0; c < 77; ++c) sum += std::exp(z(c));
      want += std::log(sum) - z(targets[r]);
    }
    EXPECT_NEAR(loss(), want, 1e-5);
    Buffer dx = x;
    CrossEntropy({targets, cap, 1, true}, dx, losses, pool);
    ExpectGradient(loss, x, dx);
    Buffer half = x;
    CrossEntropy({targets, cap, 0.5f, true}, half, losses, pool);
    for (int c = 0; c < 77; ++c) EXPECT_NEAR(half.view()(1, c), dx.view()(1, c) / 2, 1e-6);
  }
}

TEST(Softmax, SumsToOneAndKnowsItsEntropy) {
  ThreadPool pool(2);
  for (const float cap : {0.0f, 5.0f}) {
    const Buffer x = RandomMatrix(3, 77, 6, 1);
    Buffer p = x;
    std::vector<double> entropies(3);
    Softmax(cap, p, entropies, pool);
    for (int r = 0; r < 3; ++r) {
      const auto z = [&](int c) {
        return cap > 0 ? cap * std::tanh(x.view()(r, c) / cap) : double{x.view()(r, c)};
      };
      double sum = 0, entropy = 0;
      for (int c = 0; c < 77; ++c) sum += std::exp(z(c));
      for (int c = 0; c < 77; ++c) {
        const double want = std::exp(z(c)) / sum;
        EXPECT_NEAR(p.view()(r, c), want, 1e-6);
        entropy -= want * std::log(want);
      }
      EXPECT_NEAR(entropies[r], entropy, 1e-5);
    }
  }
}

TEST(SoftCrossEntropy, IsTheFormulaAndItsGradient) {
  ThreadPool pool(2);
  Buffer x = RandomMatrix(3, 77, 3, 1), p = RandomMatrix(5, 77, 4, 2), y(3, 77);
  const int32_t rows[] = {4, 0, 4};
  std::vector<double> losses(3), entropies(5);
  Softmax(0, p, entropies, pool);
  const auto loss = [&] {
    y = x;
    SoftCrossEntropy({p.view(), rows, 1, false}, y, losses, pool);
    return std::accumulate(losses.begin(), losses.end(), 0.0);
  };
  double want = 0;
  for (int r = 0; r < 3; ++r) {
    double sum = 0;
    for (int c = 0; c < 77; ++c) sum += std::exp(double{x.view()(r, c)});
    for (int c = 0; c < 77; ++c) want += p.view()(rows[r], c) * (std::log(sum) - x.view()(r, c));
  }
  EXPECT_NEAR(loss(), want, 1e-5);
  EXPECT_TRUE(SameBits(x, y));
  Buffer dx = x;
  SoftCrossEntropy({p.view(), rows, 1, true}, dx, losses, pool);
  ExpectGradient(loss, x, dx);
  Buffer half = x;
  SoftCrossEntropy({p.view(), rows, 0.5f, true}, half, losses, pool);
  for (int c = 0; c < 77; ++c) EXPECT_NEAR(half.view()(1, c), dx.view()(1, c) / 2, 1e-6);
  // Against itself it is the entropy, and nothing pulls.
  Buffer q = RandomMatrix(5, 77, 4, 2);
  const int32_t own[] = {0, 1, 2, 3, 4};
  losses.resize(5);
  SoftCrossEntropy({p.view(), own, 1, true}, q, losses, pool);
  for (int r = 0; r < 5; ++r) {
    EXPECT_NEAR(losses[r], entropies[r], 1e-5);
    for (int c = 0; c < 77; ++c) EXPECT_NEAR(q.view()(r, c), 0, 1e-6);
  }
}

TEST(AddColumnSums, Adds) {
  ThreadPool pool(2);
  Buffer x = RandomMatrix(7, 130, 1, 1), sums(1, 130);
  sums.view()(0, 129) = 3;
  AddColumnSums(x, sums.view().data(), pool);
  for (const int64_t c : {0, 64, 129}) {
    double want = c == 129 ? 3 : 0;
    for (int64_t r = 0; r < 7; ++r) want += x.view()(r, c);
    EXPECT_NEAR(sums.view()(0, c), want, 1e-5);
  }
}

TEST(Backward, EveryInstructionSetGivesTheSameBits) {
  ThreadPool pool(1);
  const Isa before = ActiveIsa();
  Buffer x = RandomMatrix(3, 53, 2, 1), w = RandomMatrix(1, 53, 1, 2),
         dy = RandomMatrix(3, 53, 1, 3);
  const int32_t targets[] = {1, 2, 3};
  std::vector<Buffer> results;
  for (const Isa isa : kAllIsas) {
    if (!IsaSupported(isa)) continue;
    SetActiveIsa(isa);
    Buffer dx(3, 53), dw(1, 53), gate = x, up = dy, logits = x;
    std::vector<double> losses(3);
    RmsNormBackward({53, w.view().data(), 1e-6f}, x, dy, Into::kStore, dx, dw.view().data(), pool);
    GeluTanhGateBackward(dy, gate, up, pool);
    CrossEntropy({targets, 30, 1, true}, logits, losses, pool);
    for (Buffer* b : {&dx, &dw, &gate, &up, &logits}) results.push_back(std::move(*b));
  }
  SetActiveIsa(before);
  for (size_t i = 5; i < results.size(); ++i)
    EXPECT_TRUE(SameBits(results[i], results[i % 5])) << i;
}

}  // namespace
}  // namespace facet
