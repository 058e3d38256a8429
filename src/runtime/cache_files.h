// The files that this program keeps in its cache folder to start faster. Each can be made again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace facet {

struct CacheFile {
  std::filesystem::path path;
  int64_t bytes = 0;
};

// Packed weights, compiled vocabularies, kept prefixes, and the demo's model, by path. Other files
// in the folder are somebody else's, and are left out.
std::vector<CacheFile> CacheFiles();

}  // namespace facet
