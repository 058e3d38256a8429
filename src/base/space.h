// What this machine has room for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace facet {

// Bytes that this user may still write where `path` is or would be created.
Result<int64_t> FreeDiskBytes(const std::filesystem::path& path);

// Memory that programs may use here: the machine's, or less where a container has a limit. 0 where
// unknown.
int64_t MemoryBytes();

// "7.3 GB" (powers of ten, as hubs and disks count).
std::string HumanBytes(int64_t bytes);

}  // namespace facet
