// A folder of its own under the system's temporary folder, removed when this goes.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace facet {

class ScratchFolder {
 public:
  ScratchFolder() {
    std::error_code code;
    const auto root = std::filesystem::temp_directory_path(code);
    std::string name = (root / "facet-XXXXXX").string();
    if (!code && mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~ScratchFolder() {
    std::error_code code;
    if (!path_.empty()) std::filesystem::remove_all(path_, code);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  // Empty where none could be made: writing into it is an error then.
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace facet
