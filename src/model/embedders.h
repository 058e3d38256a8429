// What the vision embedder's forward and backward share.
#pragma once

#include <cstdint>
#include <span>

#include "base/patch.h"

namespace facet {

// Of the three LayerNorms; no configuration has it.
constexpr float kPatchNormEps = 1e-5f;

// One patch, `pixels` (48, 48, 3), as kPatchValues floats in [0, 1] in the order of the file's
// weights: (row, column, channel), or (channel, row, column).
void PatchValues(const uint8_t* pixels, bool channels_first, std::span<float> out);

}  // namespace facet
