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

void AttendAndProject(const BlockContext& context, int layer, const LayerWeights& w,
                      const KeySource& keys, const RopeTable& angles,
                      std::span<const AttentionRow> ranges) {
  const LayerConfig& c = context.config.layers[layer];
  const CompactOrder order{c.head_dim, context.config.rope(c.sliding).rotated_pairs};
  Mat q = context.buffers.q, attended = context.buffers.attended.Resize(q.rows(), q.cols());
  RmsNorm({c.head_dim, w.q_norm.data(), context.config.eps}, q, q, context.pool);
  Rope(angles, c.head_dim, q, context.pool);
  Scale(context.config.attention_scale, q, context.pool);
  if (keys.place.compact) order.Queries(q, keys.k_norm, attended), std::swap(q, attended);
  const int spread = keys.place.spread;
  if (spread > 1) Hadamard(spread, keys.place.query_scale(), q, context.pool);
  Attention(keys.place.shape, c.heads, q, ranges, attended, context.pool);
  if (spread > 1) Hadamard(spread, keys.place.query_scale(), attended, context.pool);
  if (keys.place.compact) order.Values(attended, q), std::swap(q, attended);
  context.projector.Run(attended, w.o, context.buffers.y.Resize(q.rows(), w.o.rows()),
                        context.adapted);
}

Mat NormInput(const BlockContext& context, ConstMat x, const std::vector<float>& norm) {
  Mat h = context.buffers.h.Resize(x.rows(), x.cols());
  RmsNorm({x.cols(), norm.data(), context.config.eps}, x, h, context.pool);
  return h;
}

namespace {

// y = Wdown(gelu_tanh(Wgate h) * Wup h)
void FeedForward(const BlockContext& context, const LayerWeights& w, ConstMat h) {
  Mat gate = context.buffers.gate.Resize(h.rows(), w.gate.rows());
  Mat up = context.buffers.up.Resize(h.rows(), w.up.rows());
  const Product products[] = {{&w.gate, gate}, {&w.up, up}};
  context.projector.Run(h, products, context.adapted);
  GeluTanhGate(gate, up, context.pool);
  context.projector.Run(gate, w.down, context.buffers.y.Resize(h.rows(), h.cols()),
                        context.adapted);
}

// x = (x + rms(y, norm)) * scale
void AddNormed(const BlockContext& context, Mat x, const std::vector<float>& norm, float scale) {
  Mat y = context.buffers.y;
  RmsNorm({x.cols(), norm.data(), context.config.eps}, y, y, context.pool);
  AddScaled(x, y, scale, context.pool);
}

}  // namespace

void DecoderLayer(const BlockContext& context, int layer, const LayerWeights& w, Mat x,
                  const std::function<void(ConstMat h)>& attend) {
  Mat h = NormInput(context, x, w.attn_norm);
  context.Show("attn_norm", layer, h);
  attend(h);
  context.Show("attn_output", layer, context.buffers.y);
  AddNormed(context, x, w.post_attn_norm, 1.0f);
  h = NormInput(context, x, w.ffn_norm);
  context.Show("ffn_norm", layer, h);
  FeedForward(context, w, h);
  context.Show("ffn_output", layer, context.buffers.y);
  AddNormed(context, x, w.post_ffn_norm, w.layer_scalar);
  context.Show("layer_output", layer, x);
}

}  // namespace facet
