// Files that come with the program: vocabularies, chat templates, the model that ships with it.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace facet {

// Where they may be, first choice first: $FACET_DATA_DIR, then ../share/facet beside the program's
// folder (installed), then share/facet in it (a build tree); for a program that was copied away,
// where installations lie, and what AddDataFolder named.
std::vector<std::filesystem::path> DataFolders();

// One more, to be looked in last. Before there are threads.
void AddDataFolder(const std::filesystem::path& folder);

// The first of the folders that holds `relative` ("vocab/gemma4.gguf", "models/pebble"). kNotFound
// names the places looked in.
Result<std::filesystem::path> FindData(std::string_view relative);

}  // namespace facet
