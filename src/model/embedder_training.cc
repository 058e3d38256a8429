#include "model/embedder_training.h"

#include "model/embedders.h"
#include "ops/elementwise/backward.h"

namespace facet {
namespace {

void Add(const float* from, std::span<float> to) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

}  // namespace

void EmbedderTraining::Embed(const PatchGrid& grid) {
  const TrainVision& w = *weights_.vision;
  const VisionConfig& c = *config_.vision;
  const int64_t count = grid.pixels.rows();
  Mat x = values_.Resize(count, kPatchValues), n = normed_.Resize(count, kPatchValues);
  pool_.ParallelFor(
      count, [&](int64_t i) { PatchValues(grid.pixels.row(i), w.channels_first, x.row_span(i)); });
  LayerNorm(w.ln1.value, w.ln1_bias.value, kPatchNormEps, x, n, pool_);
  Mat e = patch_.Resize(count, c.embed_dim), p = placed_.Resize(count, c.embed_dim);
  projector_.Forward(w.patch, n, e);
  for (int64_t i = 0; i < count; ++i) Add(w.bias.value.data(), e.row_span(i));
  LayerNorm(w.ln2.value, w.ln2_bias.value, kPatchNormEps, e, p, pool_);
  for (int64_t i = 0; i < count; ++i) {
    Add(w.columns.value + i % grid.columns * w.columns.stride, p.row_span(i));
    Add(w.rows.value + i / grid.columns * w.rows.stride, p.row_span(i));
  }
  Mat positioned = positioned_.Resize(count, c.embed_dim);
  LayerNorm(w.pos_norm.value, w.pos_norm_bias.value, kPatchNormEps, p, positioned, pool_);
  RmsNorm({c.embed_dim, nullptr, c.eps}, positioned, embedded_.Resize(count, c.embed_dim), pool_);
}

Result<void> EmbedderTraining::Picture(const PatchGrid& grid, Mat out) {
  if (!weights_.vision) return Error{"this model cannot see", ErrorKind::kUnsupported};
  const int64_t rows = (grid.pixels.rows() + grid.columns - 1) / grid.columns;
  if (grid.columns > config_.vision->positions || rows > config_.vision->positions) {
    return Error{Cat("a picture of ", grid.columns, " x ", rows, " patches is beyond the model's ",
                     config_.vision->positions, " positions")};
  }
  Embed(grid);
  projector_.Forward(weights_.vision->projection, embedded_, out);
  return Ok();
}

void EmbedderTraining::PictureBackward(const PatchGrid& grid, ConstMat dout) {
  const TrainVision& w = *weights_.vision;
  const VisionConfig& c = *config_.vision;
  Embed(grid);
  Mat d = d_.Resize(embedded_.rows(), c.embed_dim);
  projector_.Backward(w.projection, embedded_, dout, Into::kStore, d);
  RmsNormBackward({c.embed_dim, nullptr, c.eps}, positioned_, d, Into::kStore, d, nullptr, pool_);
  LayerNormBackward(w.pos_norm.value, kPatchNormEps, placed_, d,
                    {d, w.pos_norm.gradient, w.pos_norm_bias.gradient}, pool_);
  if (w.columns.gradient != nullptr) {
    for (int64_t i = 0; i < d.rows(); ++i) {
      const size_t width = static_cast<size_t>(c.embed_dim);
      Add(d.row(i), {w.columns.gradient + i % grid.columns * w.columns.stride, width});
      Add(d.row(i), {w.rows.gradient + i / grid.columns * w.rows.stride, width});
    }
  }
  LayerNormBackward(w.ln2.value, kPatchNormEps, patch_, d, {d, w.ln2.gradient, w.ln2_bias.gradient},
                    pool_);
  if (w.bias.gradient != nullptr) AddColumnSums(d, w.bias.gradient, pool_);
  Mat d_values;  // only the first norm's weights need it
  if (w.ln1.gradient != nullptr) d_values = d_values_.Resize(d.rows(), kPatchValues);
  projector_.Backward(w.patch, normed_, d, Into::kStore, d_values);
  if (w.ln1.gradient == nullptr) return;
  LayerNormBackward(w.ln1.value, kPatchNormEps, values_, d_values,
                    {{}, w.ln1.gradient, w.ln1_bias.gradient}, pool_);
}

Result<void> EmbedderTraining::Sound(ConstMat frames, Mat out) {
  if (!weights_.audio) return Error{"this model cannot hear", ErrorKind::kUnsupported};
  Mat x = normed_.Resize(frames.rows(), frames.cols());
  RmsNorm({frames.cols(), nullptr, config_.audio->eps}, frames, x, pool_);
  projector_.Forward(*weights_.audio, x, out);
  return Ok();
}

void EmbedderTraining::SoundBackward(ConstMat frames, ConstMat dout) {
  Mat x = normed_.Resize(frames.rows(), frames.cols());
  RmsNorm({frames.cols(), nullptr, config_.audio->eps}, frames, x, pool_);
  projector_.Backward(*weights_.audio, x, dout, Into::kStore, {});
}

}  // namespace facet
