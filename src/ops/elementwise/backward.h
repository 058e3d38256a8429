// Gradients of the functions of elementwise.h, in the same order. `d` before a name means the
// gradient of the loss with respect to it, of the same shape. Gradients of parameters are added up
// over rows in one fixed order. Matrices are (rows, cols) of the forward's x unless they say
// otherwise.
#pragma once

#include <span>

#include "ops/elementwise/elementwise.h"

namespace facet {

// dx = gradient, or dx += gradient.
enum class Into { kStore, kAdd };

// For y = rms(x) * weight over every stretch of args.dim elements; x is the forward's input.
// `dweight` (args.dim values, added to) may be null. dx may be dy only with kStore.
void RmsNormBackward(const RmsNormArgs& args, ConstMat x, ConstMat dy, Into into, Mat dx,
                     float* dweight, ThreadPool& pool);

// For y = layer_norm(x) * weight + bias.
struct LayerNormGradient {
  Mat dx;                    // stored; may be dy; without data: not wanted
  float* dweight = nullptr;  // (cols), added to; may be null
  float* dbias = nullptr;    // (cols), added to; may be null
};
void LayerNormBackward(std::span<const float> weight, float eps, ConstMat x, ConstMat dy,
                       const LayerNormGradient& out, ThreadPool& pool);

// For Rope: dx (tokens, heads * head_dim) holds dy and is rotated back by the table's angles.
void RopeBackward(const RopeTable& table, int64_t head_dim, Mat dx, ThreadPool& pool);

// For act = gelu_tanh(gate) * up, all (rows, ffn): gate becomes dgate and up becomes dup.
void GeluTanhGateBackward(ConstMat dact, Mat gate, Mat up, ThreadPool& pool);

// Softmax cross-entropy of logits (rows, vocab) that are to go through softcap (0: none). Row r's
// raw logits become scale * d(-log p[targets[r]]); losses[r] is -log p[targets[r]], in nats.
struct CrossEntropyArgs {
  std::span<const int32_t> targets;  // by row: an id below vocab
  float softcap = 0;
  float scale = 1;
  bool gradient = true;  // else the rows become the capped logits
};
void CrossEntropy(const CrossEntropyArgs& args, Mat logits, std::span<double> losses,
                  ThreadPool& pool);

// logits (rows, vocab) become softmax(softcap(logits)); entropies[r] is that distribution's, in
// nats.
void Softmax(float softcap, Mat logits, std::span<double> entropies, ThreadPool& pool);

// Cross-entropy against a distribution for each row: row r's logits become scale * d(losses[r]),
// losses[r] being -sum p log softmax(logits). No softcap.
struct SoftCrossEntropyArgs {
  ConstMat probabilities;         // (any, logits.cols())
  std::span<const int32_t> rows;  // by row of logits: the row of `probabilities` that it should be
  float scale = 1;
  bool gradient = true;  // else the logits stay as they are
};
void SoftCrossEntropy(const SoftCrossEntropyArgs& args, Mat logits, std::span<double> losses,
                      ThreadPool& pool);

// out[c] += sum over rows of x(r, c), c < x.cols(): a bias's gradient.
void AddColumnSums(ConstMat x, float* out, ThreadPool& pool);

// out = x rounded to bfloat16, the nearest, ties to even.
void ToBf16(ConstMat x, MatrixView<uint16_t> out, ThreadPool& pool);

}  // namespace facet
