#include "ops/elementwise/backward.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "base/math.h"
#include "ops/dispatch.h"
#include "ops/elementwise/backward_kernels.h"
#include "ops/quant/quant.h"

namespace facet {
namespace {

const BackwardKernels& Kernels() {
  return FACET_DISPATCH(kBackward);
}

// Rows that one thread takes at a time: at least 8192 elements of work.
int64_t RowStep(int64_t cols) {
  return std::max<int64_t>(1, 8192 / cols);
}

template <typename F>
void ForRows(ConstMat x, ThreadPool& pool, const F& row) {
  const int64_t step = RowStep(x.cols());
  pool.ParallelFor(DivideUp(x.rows(), step), [&](int64_t i) {
    for (int64_t r = i * step; r < std::min(x.rows(), (i + 1) * step); ++r) row(r);
  });
}

// Columns that one thread sums over all rows.
constexpr int64_t kColumns = 64;

// Calls part(begin, count) for stretches of columns.
template <typename F>
void ForColumns(int64_t cols, ThreadPool& pool, const F& part) {
  pool.ParallelFor(DivideUp(cols, kColumns),
                   [&](int64_t i) { part(i * kColumns, std::min(kColumns, cols - i * kColumns)); });
}

}  // namespace

void RmsNormBackward(const RmsNormArgs& args, ConstMat x, ConstMat dy, Into into, Mat dx,
                     float* dweight, ThreadPool& pool) {
  assert(args.dim > 0 && x.cols() % args.dim == 0 && x.rows() == dy.rows());
  assert(x.cols() == dy.cols() && dx.cols() == x.cols());
  // dx may be dy: the weight's gradient needs dy, so it comes first and finds each stretch's scale
  // itself.
  const int64_t stretches = x.cols() / args.dim;
  if (dweight != nullptr) {
    std::vector<float> scales(x.rows() * stretches);
    ForRows(x, pool, [&](int64_t r) {
      for (int64_t s = 0; s < stretches; ++s) {
        double squares = 0;
        const float* v = x.row(r) + s * args.dim;
        for (int64_t i = 0; i < args.dim; ++i) squares += double{v[i]} * v[i];
        scales[r * stretches + s] =
            static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(args.dim) + args.eps));
      }
    });
    ForColumns(args.dim, pool, [&](int64_t begin, int64_t count) {
      float sums[kColumns] = {};
      for (int64_t r = 0; r < x.rows(); ++r) {
        for (int64_t s = 0; s < stretches; ++s) {
          const int64_t at = s * args.dim + begin;
          Kernels().add_product(x.row(r) + at, dy.row(r) + at, scales[r * stretches + s], sums,
                                count);
        }
      }
      for (int64_t i = 0; i < count; ++i) dweight[begin + i] += sums[i];
    });
  }
  ForRows(x, pool, [&](int64_t r) {
    for (int64_t c = 0; c < x.cols(); c += args.dim) {
      Kernels().rms_norm(x.row(r) + c, args.weight, dy.row(r) + c, args.dim, args.eps,
                         into == Into::kAdd, dx.row(r) + c);
    }
  });
}

namespace {

// Mean and 1 / sqrt(variance + eps) of a row, in double as in the forward.
struct RowMoments {
  double mean = 0, scale = 0;
  RowMoments() = default;
  RowMoments(const float* x, int64_t n, float eps) {
    for (int64_t i = 0; i < n; ++i) mean += x[i];
    mean /= static_cast<double>(n);
    double variance = 0;
    for (int64_t i = 0; i < n; ++i) variance += (x[i] - mean) * (x[i] - mean);
    scale = 1.0 / std::sqrt(variance / static_cast<double>(n) + double{eps});
  }
  double Normed(float x) const { return (x - mean) * scale; }
};

// dx = scale (g - mean(g) - n mean(g n)) with g = dy w and n the normed row.
void LayerNormRowBackward(std::span<const float> weight, const RowMoments& m, const float* x,
                          const float* dy, float* dx) {
  const int64_t n = static_cast<int64_t>(weight.size());
  double mean = 0, along = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double g = double{dy[i]} * weight[i];
    mean += g;
    along += g * m.Normed(x[i]);
  }
  mean /= static_cast<double>(n);
  along /= static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) {
    const double g = double{dy[i]} * weight[i];
    dx[i] = static_cast<float>(m.scale * (g - mean - m.Normed(x[i]) * along));
  }
}

}  // namespace

void LayerNormBackward(std::span<const float> weight, float eps, ConstMat x, ConstMat dy,
                       const LayerNormGradient& out, ThreadPool& pool) {
  std::vector<RowMoments> moments(x.rows());
  ForRows(x, pool, [&](int64_t r) { moments[r] = RowMoments(x.row(r), x.cols(), eps); });
  if (out.dweight != nullptr) {
    ForColumns(x.cols(), pool, [&](int64_t begin, int64_t count) {
      for (int64_t c = begin; c < begin + count; ++c) {
        double sum = 0;
        for (int64_t r = 0; r < x.rows(); ++r) sum += dy(r, c) * moments[r].Normed(x(r, c));
        out.dweight[c] += static_cast<float>(sum);
      }
    });
  }
  if (out.dbias != nullptr) AddColumnSums(dy, out.dbias, pool);
  if (out.dx.data() == nullptr) return;
  ForRows(x, pool, [&](int64_t r) {
    LayerNormRowBackward(weight, moments[r], x.row(r), dy.row(r), out.dx.row(r));
  });
}

void RopeBackward(const RopeTable& table, int64_t head_dim, Mat dx, ThreadPool& pool) {
  const int64_t half = head_dim / 2;
  ForRows(dx, pool, [&](int64_t r) {
    const float *cos = table.cos().row(r), *sin = table.sin().row(r);
    for (int64_t c = 0; c < dx.cols(); c += head_dim) {
      float *a = dx.row(r) + c, *b = a + half;
      for (int64_t i = 0; i < table.pairs(); ++i) {
        const float turned = a[i] * cos[i] + b[i] * sin[i];
        b[i] = b[i] * cos[i] - a[i] * sin[i];
        a[i] = turned;
      }
    }
  });
}

void GeluTanhGateBackward(ConstMat dact, Mat gate, Mat up, ThreadPool& pool) {
  assert(dact.rows() == gate.rows() && dact.cols() == gate.cols() && up.cols() == gate.cols());
  ForRows(gate, pool, [&](int64_t r) {
    Kernels().gelu_gate(dact.row(r), gate.row(r), up.row(r), gate.cols());
  });
}

void CrossEntropy(const CrossEntropyArgs& args, Mat logits, std::span<double> losses,
                  ThreadPool& pool) {
  assert(args.targets.size() == static_cast<size_t>(logits.rows()));
  assert(losses.size() == args.targets.size());
  if (args.softcap > 0) Softcap(args.softcap, logits, pool);
  ForRows(logits, pool, [&](int64_t r) {
    float* row = logits.row(r);
    const int32_t target = args.targets[r];
    float max = 0;
    const double sum = Kernels().exp_sum(row, logits.cols(), &max);
    const double log_sum = max + std::log(sum);
    const float wanted = row[target];
    losses[r] = log_sum - wanted;
    if (!args.gradient) return;
    Kernels().softmax_gradient(row, logits.cols(), static_cast<float>(log_sum), args.scale,
                               args.softcap);
    const float t = args.softcap > 0 ? wanted / args.softcap : 0.0f;
    row[target] -= args.scale * (1 - t * t);
  });
}

void Softmax(float softcap, Mat logits, std::span<double> entropies, ThreadPool& pool) {
  assert(entropies.size() == static_cast<size_t>(logits.rows()));
  if (softcap > 0) Softcap(softcap, logits, pool);
  ForRows(logits, pool, [&](int64_t r) {
    float* row = logits.row(r);
    float max = 0;
    const double sum = Kernels().exp_sum(row, logits.cols(), &max);
    const double log_sum = max + std::log(sum);
    double expected = 0;  // -log p of a token drawn from p, less log_sum
    thread_local std::vector<float> z;
    z.assign(row, row + logits.cols());
    Kernels().exp_scaled(row, logits.cols(), static_cast<float>(log_sum), 1.0f);
    for (int64_t i = 0; i < logits.cols(); ++i) expected -= double{row[i]} * z[i];
    entropies[r] = log_sum + expected;
  });
}

void SoftCrossEntropy(const SoftCrossEntropyArgs& args, Mat logits, std::span<double> losses,
                      ThreadPool& pool) {
  assert(args.probabilities.cols() == logits.cols());
  assert(args.rows.size() == static_cast<size_t>(logits.rows()));
  assert(losses.size() == args.rows.size());
  ForRows(logits, pool, [&](int64_t r) {
    float* row = logits.row(r);
    const float* p = args.probabilities.row(args.rows[r]);
    float max = 0;
    const double sum = Kernels().exp_sum(row, logits.cols(), &max);
    const double log_sum = max + std::log(sum);
    double expected = 0;
    for (int64_t i = 0; i < logits.cols(); ++i) expected += double{p[i]} * row[i];
    losses[r] = log_sum - expected;
    if (!args.gradient) return;
    Kernels().exp_scaled(row, logits.cols(), static_cast<float>(log_sum), args.scale);
    Kernels().add_scaled(p, -args.scale, row, logits.cols());
  });
}

void AddColumnSums(ConstMat x, float* out, ThreadPool& pool) {
  ForColumns(x.cols(), pool, [&](int64_t begin, int64_t count) {
    float sums[kColumns] = {};
    for (int64_t r = 0; r < x.rows(); ++r) Kernels().add_scaled(x.row(r) + begin, 1, sums, count);
    for (int64_t i = 0; i < count; ++i) out[begin + i] += sums[i];
  });
}

void ToBf16(ConstMat x, MatrixView<uint16_t> out, ThreadPool& pool) {
  assert(x.rows() == out.rows() && x.cols() == out.cols());
  ForRows(x, pool, [&](int64_t r) {
    const float* from = x.row(r);
    uint16_t* to = out.row(r);
    for (int64_t i = 0; i < x.cols(); ++i) {
      // Nearest even; a NaN stays one.
      const uint32_t bits = __builtin_bit_cast(uint32_t, from[i]);
      const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
      to[i] = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 64 : rounded);
    }
  });
}

}  // namespace facet
