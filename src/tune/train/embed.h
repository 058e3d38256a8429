// What the decoder reads of a packed batch: token embeddings, with soft tokens in their places.
#pragma once

#include "model/embedder_training.h"
#include "tune/data/packing.h"

namespace facet::tune {

struct BatchEmbedder {
  const TextConfig& text;
  const TrainLinear& embedding;
  TrainProjector& projector;
  EmbedderTraining& embedders;
  ThreadPool& pool;
};

// Rows of the table for these ids, times the model's scale: (ids, width).
void EmbedTokens(const BatchEmbedder& with, std::span<const int32_t> ids, Mat out);
// x (rows, width). Errors: media that the model does not take.
Result<void> EmbedBatch(const BatchEmbedder& with, const PackedBatch& batch, Mat x);

ConstMat FramesOf(const SoftItem& item);
PatchGrid GridOf(const SoftItem& item);

}  // namespace facet::tune
