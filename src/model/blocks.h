// The parts of a decoder layer that the target and its drafter share.
#pragma once

#include "model/config.h"
#include "model/kv_cache.h"
#include "model/projection.h"
#include "model/weights.h"
#include "ops/elementwise/elementwise.h"

namespace facet {

// Rearranges one head between the model's order and that of compact records (docs/model.md, "The
// cache of keys and values"): the elements that rotate, [0, pairs) and [half, half + pairs), come
// first in keys and last in values.
struct CompactOrder {
  int head_dim = 0, pairs = 0;
  int rotated() const { return 2 * pairs; }
  int still() const { return head_dim - 2 * pairs; }

  // Heads of queries (rows, heads * head_dim) for compact keys: turned dimensions, then q * k_norm
  // of the others.
  void Queries(ConstMat q, std::span<const float> k_norm, Mat out) const;
  // Heads of values as compact records hold them, back in the model's order.
  void Values(ConstMat values, Mat out) const;

  // Calls f(dimension, place) for each turned dimension, place counting from 0; likewise for the
  // others.
  template <typename F>
  void ForRotated(F f) const {
    for (int i = 0; i < pairs; ++i) f(i, i), f(head_dim / 2 + i, pairs + i);
  }
  template <typename F>
  void ForStill(F f) const {
    const int half = head_dim / 2, width = half - pairs;
    for (int i = 0; i < width; ++i) f(pairs + i, i), f(half + pairs + i, width + i);
  }
};

// Radians a position for each pair that turns, rounded as the reference computes them in float32.
std::vector<float> RopeFrequencies(const RopeConfig& rope, int head_dim);

// What every block of one network needs.
struct BlockContext {
  const TextConfig& config;
  Projector& projector;
  ThreadPool& pool;
};

// Buffers of a block, kept from step to step.
struct BlockBuffers {
  Buffer h, y;         // (rows, width): the normed input of a block, and its output
  Buffer q, attended;  // (rows, heads * head_dim)
  Buffer gate, up;     // (rows, ffn)
};

// h = rms(x, norm)
Mat NormInput(const BlockContext& context, ConstMat x, const Vector& norm, BlockBuffers& buffers);
// x = (x + rms(y, norm)) * scale
void AddNormed(const BlockContext& context, Mat x, Mat y, const Vector& norm, float scale);
// y = Wdown(gelu_tanh(Wgate h) * Wup h)
void FeedForward(const BlockContext& context, const LayerWeights& w, ConstMat h,
                 BlockBuffers& buffers);

// Where a layer's queries look: the layer of the cache whose records they read, and that layer's
// key norm.
struct KeySource {
  const CacheLayout::Layer& place;
  const Vector& k_norm;
};

// y = Wo attention(scale * rope(rms(q))), q being the projected queries in buffers.q. One range a
// row.
void AttendAndProject(const BlockContext& context, int layer, const LayerWeights& w,
                      const KeySource& keys, const RopeTable& angles,
                      std::span<const AttentionRow> ranges, BlockBuffers& buffers);

}  // namespace facet
