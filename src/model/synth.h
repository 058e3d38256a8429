// Models with random weights in a given shape, as GGUF, for benchmarks and tests: they compute what
// a real model of that shape computes, and say nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"

namespace facet {

struct SynthOptions {
  std::string shape;  // one of SynthShapes()
  DType type = DType::kQ4_0;
  std::filesystem::path output;
  // A GGUF whose vocabulary is copied; a made-up one of the right size where empty. A shape of
  // fixed size refuses a vocabulary of another size.
  std::filesystem::path vocabulary = {};
  uint32_t seed = 1;
  // Returning false stops, and leaves no file.
  std::function<bool(uint64_t done, uint64_t total)> progress = {};
};

// Names and one line each: "12b", "12b-drafter", "12b-mmproj", "270m", "tiny", "tiny-gemma3".
struct SynthShape {
  std::string_view name, help;
};
const std::vector<SynthShape>& SynthShapes();

// Streams the file in a few megabytes of memory, at the speed of the disk. Activations stay finite:
// norms are 1, matrices keep the variance of their input. Errors: unknown shape, the vocabulary's,
// the file system's, kCancelled.
Result<void> WriteSynthModel(const SynthOptions& options);

}  // namespace facet
