// --cache-type: how keys and values are kept.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "ops/attention/attention.h"

namespace facet::cli {

// An option that takes f32, f16 or q8_0 into `name`, whose value is the default.
void AddCacheType(CLI::App& command, const std::string& option, std::string& name);

// What AddCacheType let through.
CacheType CacheTypeOf(const std::string& name);

}  // namespace facet::cli
