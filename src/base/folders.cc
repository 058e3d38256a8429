#include "base/folders.h"

#include <cstdlib>

namespace facet {

std::filesystem::path CacheFolder() {
  const auto absolute = [](const char* name) -> std::filesystem::path {
    const char* value = std::getenv(name);
    if (value == nullptr || value[0] != '/') return {};
    return value;
  };
  if (const auto cache = absolute("XDG_CACHE_HOME"); !cache.empty()) return cache / "facet";
  if (const auto home = absolute("HOME"); !home.empty()) return home / ".cache" / "facet";
  return {};
}

}  // namespace facet
