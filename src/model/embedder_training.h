// Pictures and sound into the decoder as training runs it: forward, and backward that recomputes
// the activations. The arithmetic is that of embedders.cc.
#pragma once

#include "base/matrix.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "model/config.h"
#include "model/train_projector.h"
#include "model/trainable.h"

namespace facet {

// Patches of a picture, `columns` a row: pixels (patches, 6912).
struct PatchGrid {
  MatrixView<const uint8_t> pixels;
  int columns = 1;
};

class EmbedderTraining {
 public:
  EmbedderTraining(const ModelConfig& config, const TrainWeights& weights,
                   TrainProjector& projector, ThreadPool& pool)
      : config_(config), weights_(weights), projector_(projector), pool_(pool) {}

  // out (patches, width). Errors: a model that cannot see, a picture beyond its positions.
  Result<void> Picture(const PatchGrid& grid, Mat out);
  void PictureBackward(const PatchGrid& grid, ConstMat dout);
  // Frames (n, 640) to out (n, width). Error: a model that cannot hear.
  Result<void> Sound(ConstMat frames, Mat out);
  void SoundBackward(ConstMat frames, ConstMat dout);

 private:
  void Embed(const PatchGrid& grid);

  const ModelConfig& config_;
  const TrainWeights& weights_;
  TrainProjector& projector_;
  ThreadPool& pool_;
  Buffer values_, normed_;        // (patches, 6912): before and after the first norm
  Buffer patch_, placed_;         // (patches, embed_dim): the dense layer's output; with positions
  Buffer positioned_, embedded_;  // after the position norm, and after the last
  Buffer d_;                      // gradient of any of these: (patches, embed_dim)
  Buffer d_values_;               // of normed_: (patches, 6912)
};

}  // namespace facet
