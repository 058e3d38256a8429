// What tuning takes in memory, before anything is loaded. Adapters of Gemma 3 270M: within 5 % of
// the measured peak.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/config.h"
#include "model/weights.h"

namespace facet::tune {

struct TuneShape {
  bool full = false;
  int64_t trained = 0;  // parameters of an adapter; with `full`, all are
  int64_t batch_tokens = 2048;
  size_t keep_bytes = 0;  // of activations that are kept rather than recomputed
};

struct TuneMemory {
  size_t weights = 0;    // frozen ones as they lie in their file
  size_t trained = 0;    // values, gradients and AdamW's two moments, in float32
  size_t workspace = 0;  // activations and logits of one batch
  size_t program = 0;    // code, libraries, vocabulary
  size_t total() const { return weights + trained + workspace + program; }
};

// The files of a checkpoint, projector included.
struct CheckpointSize {
  size_t bytes = 0;  // of the tensors, as they lie in their file
  int64_t parameters = 0;
};
CheckpointSize MeasureCheckpoint(const Checkpoint& checkpoint);

// Of an adapter of this rank beside the seven projections of every layer.
int64_t AdapterParameters(const Checkpoint& checkpoint, int rank);

TuneMemory EstimateTuning(const TextConfig& text, const CheckpointSize& size,
                          const TuneShape& shape);

}  // namespace facet::tune
