// Pictures and sound go straight into the decoder: one projection each, no encoder. docs/model.md,
// "Pictures" and "Sound".
#include "model/embedders.h"

#include <algorithm>

#include "base/math.h"
#include "model/model.h"
#include "ops/elementwise/elementwise.h"

namespace facet {

void PatchValues(const uint8_t* pixels, bool channels_first, std::span<float> out) {
  for (int i = 0; i < kPatchValues; ++i) {
    const int at =
        channels_first ? i % kPatchChannels * (kPatchSide * kPatchSide) + i / kPatchChannels : i;
    out[at] = static_cast<float>(pixels[i]) / 255.0f;
  }
}

namespace {

void AddRow(const float* from, std::span<float> to) {
  for (size_t d = 0; d < to.size(); ++d) to[d] += from[d];
}

}  // namespace

Result<void> Model::EmbedPatches(MatrixView<const uint8_t> pixels, int columns, Mat out,
                                 const Adapter* adapter) {
  if (!weights().vision) {
    return Error{"this model cannot see: it has no vision weights (a GGUF needs its mmproj file)",
                 ErrorKind::kUnsupported};
  }
  const VisionWeights& w = *weights().vision;
  const VisionConfig& c = *config().vision;
  const int64_t rows = DivideUp(pixels.rows(), columns);
  if (columns > c.positions || rows > c.positions) {
    return Error{Cat("a picture of ", columns, " x ", rows, " patches is beyond the model's ",
                     c.positions, " positions")};
  }
  // Patches go through in batches, so that a film's frames never stand in memory as floats all at
  // once.
  constexpr int64_t kBatch = 128;
  Buffer values, embedded;
  for (int64_t begin = 0; begin < pixels.rows(); begin += kBatch) {
    const int64_t count = std::min(kBatch, pixels.rows() - begin);
    const AdaptedRows all{0, count, adapter};
    Mat x = values.Resize(count, kPatchValues), e = embedded.Resize(count, c.embed_dim);
    pool_.ParallelFor(count, [&](int64_t i) {
      PatchValues(pixels.row(begin + i), w.channels_first, x.row_span(i));
    });
    LayerNorm(w.ln1, w.ln1_bias, kPatchNormEps, x, x, pool_);
    projector_.Run(x, w.patch, e, {&all, 1});
    for (int64_t i = 0; i < count; ++i) AddRow(w.bias.data(), e.row_span(i));
    LayerNorm(w.ln2, w.ln2_bias, kPatchNormEps, e, e, pool_);
    for (int64_t i = 0; i < count; ++i) {
      AddRow(w.columns.data() + (begin + i) % columns * c.embed_dim, e.row_span(i));
      AddRow(w.rows.data() + (begin + i) / columns * c.embed_dim, e.row_span(i));
    }
    LayerNorm(w.pos_norm, w.pos_norm_bias, kPatchNormEps, e, e, pool_);
    RmsNorm({c.embed_dim, nullptr, c.eps}, e, e, pool_);
    projector_.Run(e, w.projection, out.rows_at(begin, count), {&all, 1});
  }
  return Ok();
}

Result<void> Model::EmbedAudio(ConstMat frames, Mat out, const Adapter* adapter) {
  if (!weights().audio) {
    return Error{"this model cannot hear: it has no audio weights (a GGUF needs its mmproj file)",
                 ErrorKind::kUnsupported};
  }
  Buffer normed;
  Mat x = normed.Resize(frames.rows(), frames.cols());
  RmsNorm({frames.cols(), nullptr, config().audio->eps}, frames, x, pool_);
  const AdaptedRows all{0, frames.rows(), adapter};
  projector_.Run(x, weights().audio->projection, out, {&all, 1});
  return Ok();
}

}  // namespace facet
