// The units in which Gemma 4 sees and hears, without encoders of their own: one soft token stands
// for a patch of a picture or a frame of sound.
#pragma once

namespace facet {

// A patch: 48 x 48 pixels, RGB interleaved per pixel.
constexpr int kPatchSide = 48;
constexpr int kPatchChannels = 3;
constexpr int kPatchValues = kPatchSide * kPatchSide * kPatchChannels;

// A frame: 40 ms of sound at 16 kHz.
constexpr int kFrameSamples = 640;

}  // namespace facet
