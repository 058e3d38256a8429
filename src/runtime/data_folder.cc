#include "runtime/data_folder.h"

#include <algorithm>
#include <cstdlib>

#include "base/os/os.h"

namespace facet {

namespace fs = std::filesystem;

namespace {

std::vector<fs::path>& FurtherFolders() {
  static std::vector<fs::path> folders;
  return folders;
}

}  // namespace

void AddDataFolder(const fs::path& folder) {
  FurtherFolders().push_back(folder);
}

std::vector<fs::path> DataFolders() {
  std::vector<fs::path> folders;
  if (const char* given = std::getenv("FACET_DATA_DIR"); given != nullptr && *given != 0)
    folders.emplace_back(given);
  const auto add = [&](const fs::path& folder) {
    if (std::find(folders.begin(), folders.end(), folder) == folders.end())
      folders.push_back(folder);
  };
  if (const fs::path program = ExecutablePath(); !program.empty()) {
    const fs::path beside = program.parent_path();
    add(beside.parent_path() / "share" / "facet");
    add(beside / "share" / "facet");
  }
  // A program that was copied to another place.
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    add(fs::path(home) / ".local/share/facet");
  for (const char* folder : {"/usr/local/share/facet", "/usr/share/facet"}) add(folder);
  for (const fs::path& folder : FurtherFolders()) add(folder);
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
