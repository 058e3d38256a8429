#include "model/trainable.h"

namespace facet {
namespace {

TrainLinear Frozen(const Linear& linear) {
  return {linear.weight, nullptr, std::nullopt};
}

TrainVector Frozen(const std::vector<float>& vector) {
  return {vector, nullptr};
}

TrainLayer Frozen(const LayerWeights& w) {
  return {.attn_norm = Frozen(w.attn_norm),
          .q_norm = Frozen(w.q_norm),
          .k_norm = Frozen(w.k_norm),
          .post_attn_norm = Frozen(w.post_attn_norm),
          .ffn_norm = Frozen(w.ffn_norm),
          .post_ffn_norm = Frozen(w.post_ffn_norm),
          .q = Frozen(w.q),
          .k = Frozen(w.k),
          .v = Frozen(w.v),
          .o = Frozen(w.o),
          .gate = Frozen(w.gate),
          .up = Frozen(w.up),
          .down = Frozen(w.down),
          .layer_scalar = w.layer_scalar};
}

TrainVision Frozen(const VisionWeights& w, int64_t width) {
  return {.ln1 = Frozen(w.ln1),
          .ln1_bias = Frozen(w.ln1_bias),
          .ln2 = Frozen(w.ln2),
          .ln2_bias = Frozen(w.ln2_bias),
          .bias = Frozen(w.bias),
          .pos_norm = Frozen(w.pos_norm),
          .pos_norm_bias = Frozen(w.pos_norm_bias),
          .patch = Frozen(w.patch),
          .projection = Frozen(w.projection),
          .columns = {w.columns.data(), nullptr, width},
          .rows = {w.rows.data(), nullptr, width},
          .channels_first = w.channels_first};
}

}  // namespace

TrainWeights FrozenWeights(const Weights& weights, const ModelConfig& config) {
  TrainWeights out;
  out.embedding = Frozen(weights.embedding);
  out.final_norm = Frozen(weights.final_norm);
  for (const LayerWeights& layer : weights.layers) out.layers.push_back(Frozen(layer));
  if (weights.vision) out.vision = Frozen(*weights.vision, config.vision->embed_dim);
  if (weights.audio) out.audio = Frozen(weights.audio->projection);
  if (weights.drafter) {
    out.drafter = {Frozen(weights.drafter->pre_projection),
                   Frozen(weights.drafter->post_projection)};
  }
  return out;
}

}  // namespace facet
