// Runs of soft tokens in a prompt, as they were decoded; the model's embedders make rows of them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "media/media.h"

namespace facet {

// One picture, one film frame, or one sound.
struct SoftItem {
  enum class Kind { kImage, kFrame, kAudio } kind = Kind::kImage;
  int begin = 0, count = 0;          // token positions in the prompt
  media::Patches patches;            // pictures and frames: (count, 6912)
  std::vector<float> frames;         // sound: (count, 640)
  std::array<uint64_t, 4> digest{};  // SHA-256 of what the model reads, for the prefix cache
  std::shared_ptr<void> held;        // its share of the MediaMemory

  int end() const { return begin + count; }
  // Pictures and film frames see themselves whole in sliding layers: never cut.
  bool picture() const { return kind != Kind::kAudio; }
};

// All of a prompt, sorted by begin.
using Media = std::span<const std::shared_ptr<const SoftItem>>;

}  // namespace facet
