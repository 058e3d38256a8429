#include "model/decoder_training.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "model/blocks.h"

namespace facet {
namespace {

void Copy(ConstMat from, Mat to) {
  for (int64_t r = 0; r < from.rows(); ++r)
    std::memcpy(to.row(r), from.row(r), from.cols() * sizeof(float));
}

// Bytes of a layer's tape.
size_t TapeBytes(const TextConfig& config, const LayerConfig& c, int64_t rows) {
  const int64_t heads = int64_t{c.heads} * c.head_dim, keys = int64_t{c.kv_heads} * c.head_dim;
  const int64_t row =
      2 * heads + 2 * keys + c.heads + 2 * int64_t{config.width} + 2 * int64_t{config.ffn};
  return static_cast<size_t>(rows * row) * sizeof(float);
}

}  // namespace

Mat DecoderTraining::Begin(const TrainRows& rows, bool gradients) {
  rows_ = &rows;
  gradients_ = gradients;
  const size_t layers = config_.layers.size();
  const int64_t count = static_cast<int64_t>(rows.positions.size());
  bool sliding_filled = false, full_filled = false;
  for (const LayerConfig& c : config_.layers) {
    bool& filled = c.sliding ? sliding_filled : full_filled;
    RopeTable& table = c.sliding ? sliding_ : full_;
    if (!filled) table.Fill(RopeFrequencies(config_.rope(c.sliding), c.head_dim), rows.positions);
    filled = true;
  }
  const LayerConfig& last = config_.layers.back();
  std::vector<int32_t> positions;
  last_ranges_.clear();
  for (const int32_t r : rows.outputs) {
    positions.push_back(rows.positions[r]);
    last_ranges_.push_back(last.sliding ? rows.sliding[r] : rows.full[r]);
  }
  last_.Fill(RopeFrequencies(config_.rope(last.sliding), last.head_dim), positions);
  inputs_.resize(layers);
  tapes_.resize(layers);
  size_t left = gradients ? keep_bytes_ : 0;
  for (size_t i = layers; i-- > 0;) {  // the last layers' tapes live shortest
    const size_t bytes = TapeBytes(config_, config_.layers[i], count);
    tapes_[i].kept = bytes <= left;
    left = tapes_[i].kept ? left - bytes : 0;
    if (!tapes_[i].kept) tapes_[i] = {};
  }
  return inputs_[0].Resize(count, config_.width);
}

DecoderTraining::Layer DecoderTraining::MakeLayer(int index) {
  const LayerConfig& c = config_.layers[index];
  const RopeTable& angles = c.sliding ? sliding_ : full_;
  const bool last = index + 1 == static_cast<int>(config_.layers.size());
  const auto& ranges = c.sliding ? rows_->sliding : rows_->full;
  const Buffer& x = inputs_[gradients_ ? index : index % 2];
  const bool some = last && rows_->outputs.size() < rows_->positions.size();
  return {.index = index,
          .c = c,
          .w = weights_.layers[index],
          .x = x.view(),
          .ranges = some ? std::span<const KeyRange>(last_ranges_) : ranges,
          .queries = some ? std::span<const int32_t>(rows_->outputs) : std::span<const int32_t>{},
          .key_angles = angles,
          .query_angles = some ? last_ : angles,
          .external_keys = c.sliding ? external_sliding_ : external_full_};
}

// The rows of `all` that are queries, gathered where these are not all.
ConstMat DecoderTraining::QueryRows(const Layer& layer, ConstMat all, Buffer& gathered) {
  if (layer.queries.empty()) return all;
  Mat out = gathered.Resize(layer.query_rows(), all.cols());
  for (int64_t r = 0; r < out.rows(); ++r)
    std::memcpy(out.row(r), all.row(layer.queries[r]), all.cols() * sizeof(float));
  return out;
}

ConstMat DecoderTraining::Forward() {
  const int layers = static_cast<int>(config_.layers.size());
  for (int i = 0; i < layers; ++i) {
    const Layer layer = MakeLayer(i);
    Tape& tape = tapes_[i].kept ? tapes_[i] : shared_;
    LayerForward(layer, tape);
    Buffer& out = i + 1 == layers ? output_ : inputs_[gradients_ ? i + 1 : (i + 1) % 2];
    Output(layer, tape, out.Resize(layer.query_rows(), config_.width));
  }
  return output_.view();
}

// Mirrors DecoderLayer in blocks.cc; what it leaves in the buffers of the layer at work is what the
// backward reads.
void DecoderTraining::LayerForward(const Layer& layer, Tape& tape) {
  const TrainLayer& w = layer.w;
  const int64_t query_rows = layer.query_rows();
  NormInput(layer);
  ProjectHeads(layer, tape);
  NormHeads(layer, tape);
  if (const auto kept = kept_keys_.find(layer.index); kept != kept_keys_.end()) {
    Copy(k_, kept->second->k.Resize(k_.rows(), k_.cols()));
    Copy(v_, kept->second->v.Resize(v_.rows(), v_.cols()));
  }
  DenseAttentionForward(AttentionOf(layer), tape.attended.Resize(query_rows, w.q.rows()),
                        tape.log_sums.Resize(query_rows, layer.c.heads), pool_);
  projector_.Forward(w.o, tape.attended, tape.y.Resize(query_rows, config_.width));
  AddAttention(layer, tape);
  projector_.Forward(w.gate, g_, tape.gate.Resize(query_rows, w.gate.rows()));
  projector_.Forward(w.up, g_, tape.up.Resize(query_rows, w.up.rows()));
  Gate(tape);
  projector_.Forward(w.down, act_, tape.z.Resize(query_rows, config_.width));
}

// h = rms(x, attn_norm)
void DecoderTraining::NormInput(const Layer& layer) {
  RmsNorm(Norm(layer.w.attn_norm), layer.x, h_.Resize(layer.x.rows(), config_.width), pool_);
  query_h_ = QueryRows(layer, h_, gathered_h_);
}

void DecoderTraining::ProjectHeads(const Layer& layer, Tape& tape) {
  const TrainLayer& w = layer.w;
  projector_.Forward(w.q, query_h_, tape.q.Resize(layer.query_rows(), w.q.rows()));
  if (layer.external_keys != nullptr) return;
  projector_.Forward(w.k, h_, tape.k.Resize(h_.rows(), w.k.rows()));
  if (!layer.c.keys_are_values) projector_.Forward(w.v, h_, tape.v.Resize(h_.rows(), w.v.rows()));
}

// q = scale rope(rms(Wq h)), k = rope(rms(Wk h)), v = rms(Wv h)
void DecoderTraining::NormHeads(const Layer& layer, const Tape& tape) {
  const LayerConfig& c = layer.c;
  Mat q = q_.Resize(tape.q.rows(), tape.q.cols());
  RmsNorm(Norm(layer.w.q_norm), tape.q, q, pool_);
  Rope(layer.query_angles, c.head_dim, q, pool_);
  Scale(config_.attention_scale, q, pool_);
  if (layer.external_keys != nullptr) return;
  Mat k = k_.Resize(tape.k.rows(), tape.k.cols()), v = v_.Resize(k.rows(), k.cols());
  const ConstMat values = c.keys_are_values ? tape.k : tape.v;
  if (config_.value_norm) {
    RmsNorm({c.head_dim, nullptr, config_.eps}, values, v, pool_);
  } else {
    Copy(values, v);
  }
  RmsNorm(Norm(layer.w.k_norm), tape.k, k, pool_);
  Rope(layer.key_angles, c.head_dim, k, pool_);
}

DenseAttention DecoderTraining::AttentionOf(const Layer& layer) const {
  const LayerConfig& c = layer.c;
  if (layer.external_keys != nullptr) {
    const ConstMat k = layer.external_keys->k, v = layer.external_keys->v;
    return {
        c.heads, static_cast<int>(k.cols() / c.head_dim), c.head_dim, layer.ranges, q_.view(), k,
        v};
  }
  return {c.heads, c.kv_heads, c.head_dim, layer.ranges, q_.view(), k_.view(), v_.view()};
}

// x1 = x + rms(y, post_attn_norm), g = rms(x1, ffn_norm)
void DecoderTraining::AddAttention(const Layer& layer, const Tape& tape) {
  Mat x1 = x1_.Resize(layer.query_rows(), config_.width);
  RmsNorm(Norm(layer.w.post_attn_norm), tape.y, x1, pool_);
  AddScaled(x1, QueryRows(layer, layer.x, gathered_x_), 1.0f, pool_);
  RmsNorm(Norm(layer.w.ffn_norm), x1, g_.Resize(x1.rows(), x1.cols()), pool_);
}

// act = gelu_tanh(gate) * up
void DecoderTraining::Gate(const Tape& tape) {
  Mat act = act_.Resize(tape.gate.rows(), tape.gate.cols());
  Copy(tape.gate, act);
  GeluTanhGate(act, tape.up, pool_);
}

// out = (x1 + rms(z, post_ffn_norm)) * layer_scalar
void DecoderTraining::Output(const Layer& layer, const Tape& tape, Mat out) {
  RmsNorm(Norm(layer.w.post_ffn_norm), tape.z, out, pool_);
  AddScaled(out, x1_, layer.w.layer_scalar, pool_);
}

}  // namespace facet
