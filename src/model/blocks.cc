#include "model/blocks.h"

#include <cmath>
#include <utility>

namespace facet {

std::vector<float> RopeFrequencies(const RopeConfig& rope, int head_dim) {
  const float theta = static_cast<float>(rope.theta);
  std::vector<float> frequencies(rope.rotated_pairs);
  for (int i = 0; i < rope.rotated_pairs; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    frequencies[i] = 1.0f / std::pow(theta, exponent) / static_cast<float>(rope.scale);
  }
  return frequencies;
}

void CompactOrder::Queries(ConstMat q, std::span<const float> k_norm, Mat out) const {
  for (int64_t r = 0; r < q.rows(); ++r) {
    for (int64_t head = 0; head < q.cols(); head += head_dim) {
      const float* from = q.row(r) + head;
      float* to = out.row(r) + head;
      ForRotated([&](int d, int at) { to[at] = from[d]; });
      ForStill([&](int d, int at) { to[rotated() + at] = from[d] * k_norm[d]; });
    }
  }
}

void CompactOrder::Values(ConstMat values, Mat out) const {
  for (int64_t r = 0; r < values.rows(); ++r) {
    for (int64_t head = 0; head < values.cols(); head += head_dim) {
      const float* from = values.row(r) + head;
      float* to = out.row(r) + head;
      ForStill([&](int d, int at) { to[d] = from[at]; });
      ForRotated([&](int d, int at) { to[d] = from[still() + at]; });
    }
  }
}

Mat NormInput(const BlockContext& context, ConstMat x, const Vector& norm, BlockBuffers& buffers) {
  Mat h = buffers.h.Resize(x.rows(), x.cols());
  RmsNorm({x.cols(), norm.data(), context.config.eps}, x, h, context.pool);
  return h;
}

void AddNormed(const BlockContext& context, Mat x, Mat y, const Vector& norm, float scale) {
  RmsNorm({x.cols(), norm.data(), context.config.eps}, y, y, context.pool);
  AddScaled(x, y, scale, context.pool);
}

void FeedForward(const BlockContext& context, const LayerWeights& w, ConstMat h,
                 BlockBuffers& buffers) {
  Mat gate = buffers.gate.Resize(h.rows(), w.gate.rows()),
      up = buffers.up.Resize(h.rows(), w.up.rows());
  const Product products[] = {{&w.gate, gate}, {&w.up, up}};
  context.projector.Run(h, products);
  GeluTanhGate(gate, up, context.pool);
  context.projector.Run(gate, w.down, buffers.y.Resize(h.rows(), h.cols()));
}

void AttendAndProject(const BlockContext& context, int layer, const LayerWeights& w,
                      const KeySource& keys, const RopeTable& angles,
                      std::span<const AttentionRow> ranges, BlockBuffers& buffers) {
  const LayerConfig& c = context.config.layers[layer];
  const CompactOrder order{c.head_dim, context.config.rope(c.sliding).rotated_pairs};
  Mat q = buffers.q, attended = buffers.attended.Resize(q.rows(), q.cols());
  RmsNorm({c.head_dim, w.q_norm.data(), context.config.eps}, q, q, context.pool);
  Rope(angles, c.head_dim, q, context.pool);
  if (context.config.attention_scale != 1.0f) {
    for (int64_t r = 0; r < q.rows(); ++r) {
      for (float& value : q.row_span(r)) value *= context.config.attention_scale;
    }
  }
  if (keys.place.compact) order.Queries(q, keys.k_norm, attended), std::swap(q, attended);
  const int spread = keys.place.spread;
  if (spread > 1) Hadamard(spread, keys.place.query_scale(), q, context.pool);
  Attention(keys.place.shape, c.heads, q, ranges, attended, context.pool);
  if (spread > 1) Hadamard(spread, keys.place.query_scale(), attended, context.pool);
  if (keys.place.compact) order.Values(attended, q), std::swap(q, attended);
  context.projector.Run(attended, w.o, buffers.y.Resize(q.rows(), w.o.rows()));
}

}  // namespace facet
