#include "runtime/data_folder.h"

#include <cstdlib>

#include "base/os/os.h"

namespace facet {

namespace fs = std::filesystem;

std::vector<fs::path> DataFolders() {
  std::vector<fs::path> folders;
  if (const char* given = std::getenv("FACET_DATA_DIR"); given != nullptr && *given != 0)
    folders.emplace_back(given);
  const fs::path program = ExecutablePath();
  if (program.empty()) return folders;
  const fs::path beside = program.parent_path();
  folders.push_back(beside.parent_path() / "share" / "facet");
  folders.push_back(beside / "share" / "facet");
  return folders;
}

Result<fs::path> FindData(std::string_view relative) {
  std::string looked;
  for (const fs::path& folder : DataFolders()) {
    std::error_code code;
    fs::path path = folder / relative;
    if (fs::exists(path, code)) return path;
    looked += Cat(looked.empty() ? "" : ", ", folder.string());
  }
  return Error{
      Cat(relative, " is not among the files that come with this program (looked in ", looked, ")"),
      ErrorKind::kNotFound};
}

}  // namespace facet
