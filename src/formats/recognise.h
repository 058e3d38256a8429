// What kind of model a path is, told from its first bytes, and clear words for what this program
// does not read.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace facet {

enum class ModelFormat {
  kGguf,
  kSafetensors,  // one file, an index, or a folder with either
};

// Errors name the path: not found; a LiteRT-LM file or a folder of them, with the same model in a
// format that works; anything else, with what it looks like (pointer file, web page, archive,
// pickle, ...).
Result<ModelFormat> RecogniseModel(const std::filesystem::path& path);

// Refuses a hub repository that offers only `.litertlm` among its `files`, naming the same model in
// a format that works. Call it before anything is downloaded, and with the wanted file where the
// user named one.
Result<void> CheckRepository(std::string_view repo, const std::vector<std::string>& files);

}  // namespace facet
