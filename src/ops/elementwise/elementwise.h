// Operations on one row at a time: norms, rotary positions, gating. Each gives the same bits on
// every instruction set and for any number of threads. Large inputs are split over the pool by
// rows.
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "base/thread_pool.h"

namespace facet {

// y = x / sqrt(mean(x^2) + eps) * weight for every stretch of weight.size() elements of every row
// of x (so that heads are normalised one by one). Without a weight (`weight` null) the stretch is
// `dim` elements. x and y may be the same.
struct RmsNormArgs {
  int64_t dim = 0;  // x.cols() must be a multiple
  const float* weight = nullptr;
  float eps = 1e-6f;
};
void RmsNorm(const RmsNormArgs& args, ConstMat x, Mat y, ThreadPool& pool);

// y = (x - mean) / sqrt(variance + eps) * weight + bias over every row. x and y may be the same.
void LayerNorm(std::span<const float> weight, std::span<const float> bias, float eps, ConstMat x,
               Mat y, ThreadPool& pool);

// Cosines and sines of the angles of some positions, for all layers that share the frequencies. The
// angle is a float32 product, as in the reference: at long contexts its rounding is part of the
// model. Cosine and sine are then taken in double.
class RopeTable {
 public:
  // cos and sin (positions, frequencies) of position * frequency.
  void Fill(std::span<const float> frequencies, std::span<const int32_t> positions);
  int64_t pairs() const { return cos_.cols(); }
  ConstMat cos() const { return cos_.view(); }
  ConstMat sin() const { return sin_.view(); }

 private:
  Buffer cos_, sin_;
};

// Rotates every head of x (tokens, heads * head_dim) in place: pair i is dimensions i and i +
// head_dim / 2. Pairs beyond table.pairs() stay as they are. Row t of x stands at the table's
// position t.
void Rope(const RopeTable& table, int64_t head_dim, Mat x, ThreadPool& pool);

// gate = gelu_tanh(gate) * up
void GeluTanhGate(Mat gate, ConstMat up, ThreadPool& pool);

// x = cap * tanh(x / cap)
void Softcap(float cap, Mat x, ThreadPool& pool);

// x = x * factor
void Scale(float factor, Mat x, ThreadPool& pool);

// x = (x + y) * scale, the end of a residual branch.
void AddScaled(Mat x, ConstMat y, float scale, ThreadPool& pool);

// Walsh-Hadamard transform of every stretch of `n` elements (a power of two), times `scale`, in
// place. Twice with scales whose product is 1 / n gives the input back, and it keeps scalar
// products (scales likewise): large elements are spread over the whole stretch, which rounding to
// few bits then hurts less.
void Hadamard(int n, float scale, std::span<float> x);
void Hadamard(int n, float scale, Mat x, ThreadPool& pool);

}  // namespace facet
