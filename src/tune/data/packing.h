// Examples side by side, as the decoder reads them in training.
#pragma once

#include <span>
#include <vector>

#include "model/config.h"
#include "model/decoder_training.h"
#include "tune/data/example.h"

namespace facet::tune {

// Soft tokens and the row of the packed batch where they begin.
struct PlacedItem {
  const SoftItem* item = nullptr;
  int64_t row = 0;
};

struct PackedBatch {
  TrainRows rows;                // outputs: the rows that predict a labelled token
  std::vector<int32_t> tokens;   // by row
  std::vector<int32_t> targets;  // by output
  std::vector<PlacedItem> items;
  bool pictures = false, sounds = false;
};

// Rows after the last one that predicts a labelled token are left out: nothing depends on them.
// Errors name the example: a token outside the vocabulary, no labelled token, longer than the
// context, soft tokens that overlap or lie outside.
Result<PackedBatch> Pack(const TextConfig& config, std::span<const Example* const> batch);

}  // namespace facet::tune
