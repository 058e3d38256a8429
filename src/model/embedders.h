// What the vision embedder's forward and backward share.
#pragma once

#include <cstdint>
#include <span>

namespace facet {

constexpr int kPatchSide = 48, kPatchValues = kPatchSide * kPatchSide * 3;
constexpr float kPatchNormEps = 1e-5f;

// One patch as floats / 255, in the order of the file's weights: pixel by pixel, or channel by
// channel.
void PatchValues(const uint8_t* pixels, bool channels_first, std::span<float> out);

}  // namespace facet
