// Everything a resumed run needs of a trainer, in one safetensors file.
#pragma once

#include <filesystem>

#include "tune/train/parameters.h"

namespace facet::tune {

// `steps` of the optimiser so far. Gradients are not written: state is saved between steps.
Result<void> SaveState(const std::filesystem::path& file, const Parameters& parameters,
                       uint64_t steps);
// Errors name the tensor: missing, of another shape, or one that these parameters do not have.
Result<void> LoadState(const std::filesystem::path& file, Parameters& parameters, uint64_t& steps);

}  // namespace facet::tune
