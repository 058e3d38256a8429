// The backward of decoder_training.cc: the same lines in opposite order.
#include <algorithm>
#include <cassert>
#include <utility>

#include "model/decoder_training.h"
#include "ops/elementwise/backward.h"

namespace facet {
namespace {

// Row rows[i] of `to` += row i of `from`.
void ScatterAdd(ConstMat from, std::span<const int32_t> rows, Mat to) {
  for (size_t i = 0; i < rows.size(); ++i) {
    const float* source = from.row(static_cast<int64_t>(i));
    float* target = to.row(rows[i]);
    for (int64_t c = 0; c < from.cols(); ++c) target[c] += source[c];
  }
}

}  // namespace

Mat DecoderTraining::Backward(Mat doutput, bool embeddings) {
  assert(gradients_ && doutput.rows() == output_.rows());
  Mat d = d_.Resize(doutput.rows(), doutput.cols());
  for (int64_t r = 0; r < d.rows(); ++r) std::copy_n(doutput.row(r), d.cols(), d.row(r));
  for (int i = static_cast<int>(config_.layers.size()) - 1; i >= 0; --i) {
    const Layer layer = MakeLayer(i);
    if (tapes_[i].kept) {
      NormInput(layer);
      NormHeads(layer, tapes_[i]);
      AddAttention(layer, tapes_[i]);
      Gate(tapes_[i]);
      LayerBackward(layer, tapes_[i], i > 0 || embeddings);
    } else {
      LayerForward(layer, shared_);
      LayerBackward(layer, shared_, i > 0 || embeddings);
    }
  }
  return embeddings ? d_.view() : Mat{};
}

// d_ holds the gradient of the layer's output, then that of its input.
void DecoderTraining::LayerBackward(const Layer& layer, Tape& tape, bool input_wanted) {
  Mat d = d_;
  Scale(layer.w.layer_scalar, d, pool_);
  FeedForwardBackward(layer, tape, d);
  AttentionBackward(layer, tape, d);
  HeadsBackward(layer, tape);
  InputBackward(layer, d, input_wanted);
}

// x1 + rms(Wdown(gelu(Wgate g) * Wup g)), g = rms(x1): d becomes the gradient of x1.
void DecoderTraining::FeedForwardBackward(const Layer& layer, Tape& tape, Mat d) {
  const TrainLayer& w = layer.w;
  Mat dz = dz_.Resize(d.rows(), d.cols());
  RmsNormBackward(Norm(w.post_ffn_norm), tape.z, d, Into::kStore, dz, w.post_ffn_norm.gradient,
                  pool_);
  Mat dact = dact_.Resize(act_.rows(), act_.cols());
  projector_.Backward(w.down, act_, dz, Into::kStore, dact);
  Mat dgate = tape.gate, dup = tape.up;
  GeluTanhGateBackward(dact, dgate, dup, pool_);
  Mat dg = dg_.Resize(d.rows(), d.cols());
  projector_.Backward(w.up, g_, dup, Into::kStore, dg);
  projector_.Backward(w.gate, g_, dgate, Into::kAdd, dg);
  RmsNormBackward(Norm(w.ffn_norm), x1_, dg, Into::kAdd, d, w.ffn_norm.gradient, pool_);
}

// x1 = x + rms(Wo attention(q, k, v)): gradients of q, k and v. d, the gradient of x1, is x's too.
void DecoderTraining::AttentionBackward(const Layer& layer, Tape& tape, Mat d) {
  const TrainLayer& w = layer.w;
  Mat dy = dz_.Resize(d.rows(), d.cols());
  RmsNormBackward(Norm(w.post_attn_norm), tape.y, d, Into::kStore, dy, w.post_attn_norm.gradient,
                  pool_);
  Mat dattended = dattended_.Resize(tape.attended.rows(), tape.attended.cols());
  projector_.Backward(w.o, tape.attended, dy, Into::kStore, dattended);
  Mat dq = dq_.Resize(q_.rows(), q_.cols()), dk, dv;
  if (layer.external_keys == nullptr) dk = dk_.Resize(k_.rows(), k_.cols());
  if (layer.external_keys == nullptr) dv = dv_.Resize(v_.rows(), v_.cols());
  DenseAttentionBackward(
      AttentionOf(layer),
      {std::as_const(tape.attended).view(), std::as_const(tape.log_sums).view(), dattended}, dq, dk,
      dv, pool_);
}

// Back through rope and the norms of heads: gradients of Wq h, Wk h and Wv h. Where keys are
// values, one projection gets both.
void DecoderTraining::HeadsBackward(const Layer& layer, const Tape& tape) {
  const LayerConfig& c = layer.c;
  Mat dq = dq_, dk = dk_, dv = dv_;
  Scale(config_.attention_scale, dq, pool_);
  RopeBackward(layer.query_angles, c.head_dim, dq, pool_);
  RmsNormBackward(Norm(layer.w.q_norm), tape.q, dq, Into::kStore, dq, layer.w.q_norm.gradient,
                  pool_);
  if (layer.external_keys != nullptr) return;
  RopeBackward(layer.key_angles, c.head_dim, dk, pool_);
  RmsNormBackward(Norm(layer.w.k_norm), tape.k, dk, Into::kStore, dk, layer.w.k_norm.gradient,
                  pool_);
  if (config_.value_norm) {
    RmsNormBackward({c.head_dim, nullptr, config_.eps}, c.keys_are_values ? tape.k : tape.v, dv,
                    Into::kStore, dv, nullptr, pool_);
  }
  if (c.keys_are_values) AddScaled(dk, dv, 1.0f, pool_);
}

// h = rms(x): d_ becomes the gradient of x, by way of h and past the attention.
void DecoderTraining::InputBackward(const Layer& layer, Mat d, bool input_wanted) {
  const TrainLayer& w = layer.w;
  const bool wanted = input_wanted || w.attn_norm.gradient != nullptr;
  const bool some = !layer.queries.empty();
  Mat dh, dquery_h;
  if (wanted) dh = dh_.Resize(h_.rows(), h_.cols());
  if (wanted) dquery_h = some ? dgathered_h_.Resize(layer.query_rows(), h_.cols()) : dh;
  const bool own = layer.external_keys == nullptr;
  if (own) projector_.Backward(w.k, h_, dk_, Into::kStore, dh);
  if (own && !layer.c.keys_are_values) projector_.Backward(w.v, h_, dv_, Into::kAdd, dh);
  projector_.Backward(w.q, query_h_, dq_, some || !own ? Into::kStore : Into::kAdd, dquery_h);
  if (!wanted) return;
  if (some) ScatterAdd(dquery_h, layer.queries, dh);
  if (!some) {
    RmsNormBackward(Norm(w.attn_norm), layer.x, dh, Into::kAdd, d, w.attn_norm.gradient, pool_);
    return;
  }
  Mat dx = next_d_.Resize(h_.rows(), h_.cols());
  RmsNormBackward(Norm(w.attn_norm), layer.x, dh, Into::kStore, dx, w.attn_norm.gradient, pool_);
  ScatterAdd(d, layer.queries, dx);
  std::swap(d_, next_d_);
}

}  // namespace facet
