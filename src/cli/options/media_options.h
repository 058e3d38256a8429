// How pictures and films are looked at: --image-budget, --video-budget, --fps, --transparency.
#pragma once

#include <CLI/CLI.hpp>

#include "engine/prompt.h"

namespace facet::cli {

void AddMediaOptions(CLI::App& command, MediaOptions& media);
// --transparency, which is one of them.
void AddTransparency(CLI::App& command, media::Transparency& transparency);

}  // namespace facet::cli
