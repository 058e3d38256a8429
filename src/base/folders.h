// Where files of this program belong (XDG base directories).
#pragma once

#include <filesystem>

namespace facet {

// $XDG_CACHE_HOME/facet or ~/.cache/facet: everything in it can be made again. Empty where the
// environment names neither.
std::filesystem::path CacheFolder();

}  // namespace facet
