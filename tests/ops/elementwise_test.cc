#include "ops/elementwise/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "ops/cpu.h"
#include "ops/isa_test.h"
#include "ops/random.h"

namespace facet {
namespace {

Buffer Random(int64_t rows, int64_t cols, float scale = 1.0f, uint32_t seed = 1) {
  return RandomMatrix(rows, cols, scale, seed);
}

constexpr int64_t kWidths[] = {1, 15, 16, 17, 96, 640, 641};

TEST(RmsNorm, IsTheFormula) {
  ThreadPool pool(2);
  for (int64_t n : kWidths) {
    Buffer x = Random(3, n), w = Random(1, n, 1, 2), y(3, n);
    RmsNorm({.dim = n, .weight = w.view().data(), .eps = 1e-6f}, x, y, pool);
    for (int64_t r = 0; r < 3; ++r) {
      double sum = 0;
      for (float v : x.view().row_span(r)) sum += double{v} * v;
      for (int64_t i = 0; i < n; ++i) {
        const double want = x.view()(r, i) / std::sqrt(sum / n + 1e-6) * w.view()(0, i);
        EXPECT_NEAR(y.view()(r, i), want, 1e-6 * (1 + std::fabs(want)));
      }
    }
  }
}

TEST(RmsNorm, NormalisesHeadsOneByOne) {
  ThreadPool pool(1);
  Buffer x = Random(2, 64), whole(2, 64), one(2, 32);
  RmsNorm({.dim = 32}, x, whole, pool);
  RmsNorm({.dim = 32}, x.view().cols_at(32, 32), one, pool);
  EXPECT_TRUE(SameBits(whole.view().cols_at(32, 32), one));
}

TEST(LayerNorm, IsTheFormula) {
  ThreadPool pool(2);
  for (int64_t n : kWidths) {
    Buffer x = Random(3, n), w = Random(1, n, 1, 2), b = Random(1, n, 1, 3), y(3, n);
    LayerNorm(w.view().row_span(0), b.view().row_span(0), 1e-5f, x, y, pool);
    for (int64_t r = 0; r < 3; ++r) {
      double mean = 0, variance = 0;
      for (float v : x.view().row_span(r)) mean += double{v} / n;
      for (float v : x.view().row_span(r)) variance += (v - mean) * (v - mean) / n;
      for (int64_t i = 0; i < n; ++i) {
        const double want =
            (x.view()(r, i) - mean) / std::sqrt(variance + 1e-5) * w.view()(0, i) + b.view()(0, i);
        EXPECT_NEAR(y.view()(r, i), want, 3e-6 * (1 + std::fabs(want)));
      }
    }
  }
}

TEST(Rope, RotatesPairsHalfAHeadApart) {
  ThreadPool pool(1);
  const float frequencies[] = {1.0, 0.01, 1e-5};
  const int32_t positions[] = {0, 7, 200000};
  RopeTable table;
  table.Fill(frequencies, positions);
  Buffer x = Random(3, 20), y = x;  // two heads of 10: pairs 3 and 4 do not rotate
  Rope(table, 10, y, pool);
  for (int64_t t = 0; t < 3; ++t) {
    for (int64_t h = 0; h < 2; ++h) {
      for (int64_t i = 0; i < 5; ++i) {
        const double a = x.view()(t, h * 10 + i), b = x.view()(t, h * 10 + 5 + i);
        const float angle = i < 3 ? static_cast<float>(positions[t]) * frequencies[i] : 0.0f;
        EXPECT_NEAR(y.view()(t, h * 10 + i), a * std::cos(angle) - b * std::sin(angle), 1e-6);
        EXPECT_NEAR(y.view()(t, h * 10 + 5 + i), a * std::sin(angle) + b * std::cos(angle), 1e-6);
      }
    }
  }
}

TEST(GeluTanhGate, IsTheFormula) {
  ThreadPool pool(2);
  Buffer gate = Random(2, 4001, 5.0f), up = Random(2, 4001, 1, 2);
  gate.view()(0, 0) = 60, gate.view()(0, 1) = -60, gate.view()(0, 2) = 0;
  Buffer y = gate;
  GeluTanhGate(y, up, pool);
  for (int64_t r = 0; r < 2; ++r) {
    for (int64_t i = 0; i < 4001; ++i) {
      const double x = gate.view()(r, i);
      const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
      const double want = x / (1 + std::exp(-2 * u)) * up.view()(r, i);
      EXPECT_NEAR(y.view()(r, i), want, 1e-6 * std::fabs(want) + 1e-9) << x;
    }
  }
}

TEST(Softcap, IsTheFormula) {
  ThreadPool pool(2);
  Buffer x = Random(2, 3001, 40.0f);
  x.view()(0, 0) = 1e-3f, x.view()(0, 1) = -7.49f, x.view()(0, 2) = 7.51f, x.view()(0, 3) = 1e5f;
  Buffer y = x;
  Softcap(30.0f, y, pool);
  for (int64_t i = 0; i < 3001; ++i) {
    const double want = 30 * std::tanh(x.view()(0, i) / 30.0);
    EXPECT_NEAR(y.view()(0, i), want, 1e-6 * std::fabs(want)) << x.view()(0, i);
  }
}

TEST(Elementwise, EveryInstructionSetAndThreadCountGivesTheSameBits) {
  const float frequencies[] = {1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4};
  std::vector<int32_t> positions(64);
  for (int i = 0; i < 64; ++i) positions[i] = 31 * i;
  RopeTable table;
  table.Fill(frequencies, positions);
  const Buffer x = Random(64, 1234, 3.0f), other = Random(64, 1234, 1.0f, 9);
  std::vector<Buffer> want;
  ForEachIsa([&] {
    for (int threads : {1, 2, 5}) {
      ThreadPool pool(threads);
      std::vector<Buffer> got(6, x);
      RmsNorm({.dim = 1234, .weight = other.view().data()}, x, got[0], pool);
      LayerNorm(other.view().row_span(0), other.view().row_span(1), 1e-5f, x, got[1], pool);
      Rope(table, 617, got[2], pool);
      GeluTanhGate(got[3], other, pool);
      Softcap(30.0f, got[4], pool);
      AddScaled(got[5], other, 0.7f, pool);
      if (want.empty()) want = got;
      for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(SameBits(want[i], got[i])) << i;
    }
  });
}

TEST(Hadamard, TwiceGivesTheInputBackAndKeepsScalarProducts) {
  ThreadPool pool(2);
  for (int n : {1, 2, 8, 128}) {
    const Buffer x = Random(3, 256, 1, 1), y = Random(3, 256, 1, 2);
    Buffer a = x, b = y;
    Hadamard(n, 0.25f, a, pool);
    Hadamard(n, 4.0f / static_cast<float>(n), b, pool);
    for (int64_t r = 0; r < 3; ++r) {
      double want = 0, got = 0, size = 0;
      for (int64_t i = 0; i < 256; ++i) {
        want += double{x.view()(r, i)} * y.view()(r, i);
        got += double{a.view()(r, i)} * b.view()(r, i);
        size += std::fabs(x.view()(r, i) * y.view()(r, i));
      }
      EXPECT_NEAR(got, want, 1e-6 * size) << n;
    }
    Hadamard(n, 4.0f / static_cast<float>(n), a, pool);
    for (int64_t r = 0; r < 3; ++r) {
      for (int64_t i = 0; i < 256; ++i) EXPECT_NEAR(a.view()(r, i), x.view()(r, i), 2e-6) << n;
    }
  }
}

TEST(Hadamard, SpreadsOneLargeElement) {
  std::vector<float> x(128, 0.0f);
  x[37] = 128;
  Hadamard(128, 1.0f / 16, x);
  for (float v : x) EXPECT_EQ(std::fabs(v), 8.0f);
}

}  // namespace
}  // namespace facet
