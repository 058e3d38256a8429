// JSON files of a checkpoint, read with limits that keep a damaged or hostile one harmless.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/result.h"

namespace facet {

// Errors name `where`: malformed, nested deeper than 64, a key twice in one object.
Result<nlohmann::json> ParseJson(std::string_view text, std::string_view where);

// The same for a file of at most 256 MB.
Result<nlohmann::json> ReadJson(const std::filesystem::path& path);
// With keys in the order of the file.
Result<nlohmann::ordered_json> ReadOrderedJson(const std::filesystem::path& path);

}  // namespace facet
