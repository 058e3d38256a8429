#include "ops/elementwise/elementwise.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/math.h"
#include "ops/dispatch.h"
#include "ops/elementwise/kernels.h"

namespace facet {
namespace {

const ElementwiseKernels& Kernels() {
  return FACET_DISPATCH(kElementwise);
}

// Elements below which waking other threads costs more than the work.
constexpr int64_t kSerialElements = 32768;

// Calls row(r) for every row, from the pool where there is enough to do.
template <typename Row>
void ForRows(int64_t rows, int64_t cols, ThreadPool& pool, const Row& row) {
  if (rows * cols <= kSerialElements || rows == 1) {
    for (int64_t r = 0; r < rows; ++r) row(r);
    return;
  }
  const int64_t step = std::max<int64_t>(1, kSerialElements / 4 / cols);
  pool.ParallelFor(DivideUp(rows, step), [&](int64_t i) {
    for (int64_t r = i * step; r < std::min(rows, (i + 1) * step); ++r) row(r);
  });
}

// Calls part(row, column, count) for stretches that cover all elements; for operations without
// sums.
template <typename Part>
void ForParts(int64_t rows, int64_t cols, ThreadPool& pool, const Part& part) {
  constexpr int64_t kPart = kSerialElements / 4;
  const int64_t parts = DivideUp(cols, kPart);
  const auto run = [&](int64_t i) {
    const int64_t c = i % parts * kPart;
    part(i / parts, c, std::min(kPart, cols - c));
  };
  if (rows * cols <= kSerialElements) {
    for (int64_t i = 0; i < rows * parts; ++i) run(i);
  } else {
    pool.ParallelFor(rows * parts, run);
  }
}

}  // namespace

void RmsNorm(const RmsNormArgs& args, ConstMat x, Mat y, ThreadPool& pool) {
  assert(args.dim > 0 && x.cols() % args.dim == 0 && x.rows() == y.rows() && x.cols() == y.cols());
  const auto kernel = Kernels().rms_norm;
  ForRows(x.rows(), x.cols(), pool, [&](int64_t r) {
    for (int64_t c = 0; c < x.cols(); c += args.dim) {
      kernel(x.row(r) + c, args.weight, args.dim, args.eps, y.row(r) + c);
    }
  });
}

void LayerNorm(std::span<const float> weight, std::span<const float> bias, float eps, ConstMat x,
               Mat y, ThreadPool& pool) {
  assert(static_cast<int64_t>(weight.size()) == x.cols() && bias.size() == weight.size());
  const auto kernel = Kernels().layer_norm;
  ForRows(x.rows(), x.cols(), pool, [&](int64_t r) {
    kernel(x.row(r), weight.data(), bias.data(), x.cols(), eps, y.row(r));
  });
}

void RopeTable::Fill(std::span<const float> frequencies, std::span<const int32_t> positions) {
  Mat c = cos_.Resize(positions.size(), frequencies.size());
  Mat s = sin_.Resize(positions.size(), frequencies.size());
  for (size_t t = 0; t < positions.size(); ++t) {
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const double angle = static_cast<float>(positions[t]) * frequencies[i];
      c(t, i) = static_cast<float>(std::cos(angle));
      s(t, i) = static_cast<float>(std::sin(angle));
    }
  }
}

void Rope(const RopeTable& table, int64_t head_dim, Mat x, ThreadPool& pool) {
  assert(table.pairs() <= head_dim / 2 && table.cos().rows() == x.rows() &&
         x.cols() % head_dim == 0);
  const auto kernel = Kernels().rotate;
  ForRows(x.rows(), x.cols(), pool, [&](int64_t r) {
    for (int64_t c = 0; c < x.cols(); c += head_dim) {
      kernel(table.cos().row(r), table.sin().row(r), table.pairs(), head_dim / 2, x.row(r) + c);
    }
  });
}

void GeluTanhGate(Mat gate, ConstMat up, ThreadPool& pool) {
  assert(gate.rows() == up.rows() && gate.cols() == up.cols());
  const auto kernel = Kernels().gelu_gate;
  ForParts(gate.rows(), gate.cols(), pool,
           [&](int64_t r, int64_t c, int64_t n) { kernel(gate.row(r) + c, up.row(r) + c, n); });
}

void Softcap(float cap, Mat x, ThreadPool& pool) {
  const auto kernel = Kernels().softcap;
  ForParts(x.rows(), x.cols(), pool,
           [&](int64_t r, int64_t c, int64_t n) { kernel(cap, x.row(r) + c, n); });
}

void Scale(float factor, Mat x, ThreadPool& pool) {
  if (factor == 1.0f) return;
  ForParts(x.rows(), x.cols(), pool, [&](int64_t r, int64_t c, int64_t n) {
    for (float& value : x.row_span(r).subspan(c, n)) value *= factor;
  });
}

void AddScaled(Mat x, ConstMat y, float scale, ThreadPool& pool) {
  assert(x.rows() == y.rows() && x.cols() == y.cols());
  const auto kernel = Kernels().add_scaled;
  ForParts(x.rows(), x.cols(), pool,
           [&](int64_t r, int64_t c, int64_t n) { kernel(x.row(r) + c, y.row(r) + c, scale, n); });
}

void Hadamard(int n, float scale, std::span<float> x) {
  assert(n > 0 && (n & (n - 1)) == 0 && x.size() % n == 0);
  for (float& v : x) v *= scale;
  for (int half = 1; half < n; half *= 2) {
    for (size_t begin = 0; begin < x.size(); begin += 2 * half) {
      float* a = x.data() + begin;
      float* b = a + half;
      for (int i = 0; i < half; ++i) {
        const float sum = a[i] + b[i];
        b[i] = a[i] - b[i];
        a[i] = sum;
      }
    }
  }
}

void Hadamard(int n, float scale, Mat x, ThreadPool& pool) {
  ForRows(x.rows(), x.cols(), pool, [&](int64_t r) { Hadamard(n, scale, x.row_span(r)); });
}

}  // namespace facet
