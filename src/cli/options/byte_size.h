// Options that take a number of bytes with a unit.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace facet::cli {

// "2.5GB", "800 MiB", "1000000": units from b to eb, in any case, with or without the b. kB is 1000
// bytes and KiB 1024, and so on.
Result<uint64_t> ParseByteSize(std::string_view text);

// An option that takes such a number.
CLI::Option* AddByteSize(CLI::App& command, const char* option, uint64_t& bytes, const char* help);

}  // namespace facet::cli
