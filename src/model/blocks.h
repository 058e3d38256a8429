// The parts of a decoder layer that the target and its drafter share.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model/config.h"
#include "model/kv_cache.h"
#include "model/projection.h"
#include "model/trace.h"
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

  // Heads of queries (rows, heads * head_dim) for compact keys: the elements that rotate, then
  // q * k_norm of the others.
  void Queries(ConstMat q, std::span<const float> k_norm, Mat out) const;
  // Heads of values as compact records hold them, back in the model's order.
  void Values(ConstMat values, Mat out) const;

  // Calls f(element, place) for each element that rotates, place counting from 0; likewise for
  // those that stand still.
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

// Radians a position for each pair that rotates, rounded as the reference computes them in float32.
std::vector<float> RopeFrequencies(const RopeConfig& rope, int head_dim);

// Buffers of a layer's blocks, kept from step to step.
struct BlockBuffers {
  Buffer h, y;         // (rows, width): the normed input of a block, and its output
  Buffer q, attended;  // (rows, heads * head_dim)
  Buffer gate, up;     // (rows, ffn)
};

// What the blocks of one network need in one step.
struct BlockContext {
  const TextConfig& config;
  Projector& projector;
  ThreadPool& pool;
  BlockBuffers& buffers;
  std::span<const AdaptedRows> adapted = {};
  const Trace* trace = nullptr;

  void Show(std::string_view name, int layer, ConstMat values) const {
    if (trace != nullptr && *trace) (*trace)(name, layer, values);
  }
};

// Where a layer's queries look: the layer of the cache whose records they read, and that layer's
// key norm.
struct KeySource {
  const CacheLayout::Layer& place;
  const std::vector<float>& k_norm;
};

// buffers.y = Wo attention(scale * rope(rms(q))), q being the projected queries in buffers.q. One
// range a row.
void AttendAndProject(const BlockContext& context, int layer, const LayerWeights& w,
                      const KeySource& keys, const RopeTable& angles,
                      std::span<const AttentionRow> ranges);

// One decoder layer (docs/model.md): x (rows, width) becomes its output. `attend` is given the
// normed input h and leaves the attention's output in buffers.y: a target computes keys and values
// of its own, a drafter reads its target's.
void DecoderLayer(const BlockContext& context, int layer, const LayerWeights& w, Mat x,
                  const std::function<void(ConstMat h)>& attend);

// rms(x, norm) over each row of x (rows, width), in buffers.h.
Mat NormInput(const BlockContext& context, ConstMat x, const std::vector<float>& norm);

}  // namespace facet
