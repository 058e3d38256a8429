// The files that make up one model on disk.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace facet {

struct ModelFiles {
  std::string name;                              // as the server and the listing show it
  std::filesystem::path model;                   // a checkpoint folder or a GGUF
  std::optional<std::filesystem::path> mmproj;   // projector of a GGUF
  std::optional<std::filesystem::path> drafter;  // folder or GGUF
};

}  // namespace facet
