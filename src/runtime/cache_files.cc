#include "runtime/cache_files.h"

#include <algorithm>

#include "base/folders.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

// NAME.PID.part and the like: a file in the making, or what a killed process left of it.
std::string_view WithoutPart(std::string_view name) {
  if (!name.ends_with(".part")) return name;
  for (const std::string_view suffix : {".packed.", ".bin."}) {
    if (const size_t at = name.find(suffix); at != name.npos)
      return name.substr(0, at + suffix.size() - 1);
  }
  return name;
}

// As model/packed_store.cc and text/vocabulary_cache.cc name their files.
bool IsOwnName(const fs::path& path) {
  const std::string full = path.filename().string();
  const std::string_view name = WithoutPart(full);
  return name.ends_with(".packed") || (name.starts_with("vocabulary-") && name.ends_with(".bin"));
}

void AddFile(const fs::directory_entry& entry, std::vector<CacheFile>& out) {
  std::error_code code;
  if (entry.is_symlink(code) || !entry.is_regular_file(code)) return;
  const uintmax_t bytes = entry.file_size(code);
  if (!code) out.push_back({entry.path(), static_cast<int64_t>(bytes)});
}

// Of all files below `folder`, those that `wanted` accepts.
template <typename F>
void AddTree(const fs::path& folder, std::vector<CacheFile>& out, F wanted) {
  std::error_code code;
  for (fs::recursive_directory_iterator it(folder, code), end; !code && it != end;
       it.increment(code)) {
    if (wanted(it->path())) AddFile(*it, out);
  }
}

}  // namespace

std::vector<CacheFile> CacheFiles() {
  std::vector<CacheFile> out;
  const fs::path folder = CacheFolder();
  if (folder.empty()) return out;
  std::error_code code;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    if (IsOwnName(it->path())) AddFile(*it, out);
  }
  // `--cache-dir` of facet serve, and `./dev demo`.
  AddTree(folder / "prefixes", out, [](const fs::path&) { return true; });
  AddTree(folder / "demo", out, [](const fs::path& path) {
    return path.filename().string().find(".gguf") != std::string::npos;
  });
  std::sort(out.begin(), out.end(),
            [](const CacheFile& a, const CacheFile& b) { return a.path < b.path; });
  return out;
}

}  // namespace facet
