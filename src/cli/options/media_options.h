// How closely pictures and films are looked at: --image-budget, --video-budget, --fps.
#pragma once

#include <CLI/CLI.hpp>

#include "engine/prompt.h"

namespace facet::cli {

void AddMediaOptions(CLI::App& command, MediaOptions& media);

}  // namespace facet::cli
