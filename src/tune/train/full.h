// All weights of a checkpoint as parameters.
#pragma once

#include "model/trainable.h"
#include "tune/train/parameters.h"

namespace facet::tune {

// Copies every weight but the layer scalars, which are buffers, into float32 parameters under its
// checkpoint name, and points `weights` at them.
Result<void> TrainEverything(const Checkpoint& checkpoint, TrainWeights& weights,
                             Parameters& parameters);

}  // namespace facet::tune
