// Names of files as people type, paste and drop them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace facet::cli {

// A name as it stands where such a file exists; else as a shell reads it: quotes, backslashes, ~
// and ~user, and file:// addresses, which some terminals drop.
std::filesystem::path TypedPath(std::string_view typed);

// The ways in which `typed` can go on, in the same spelling; folders end in a slash.
std::vector<std::string> CompletePath(std::string_view typed);

}  // namespace facet::cli
