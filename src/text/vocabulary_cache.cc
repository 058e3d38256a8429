#include "text/vocabulary_cache.h"

#include <cstring>
#include <iomanip>

#include "base/folders.h"
#include "base/log.h"
#include "base/os/os.h"
#include "text/vocabulary_layout.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

// What identifies a file's content without reading it.
std::string StampOf(const fs::path& path) {
  const auto info = IdentifyFile(path);
  if (!info) return Cat(path.string(), " absent\n");
  return Cat(path.string(), " ", info->bytes, " ", info->inode, " ", info->modified.tv_sec, ".",
             info->modified.tv_nsec, " ", info->changed.tv_sec, ".", info->changed.tv_nsec, "\n");
}

struct VocabularyFile {
  fs::path path;
  bool gguf = false;
  std::string stamp;
};

Result<bool> IsGguf(const fs::path& path) {
  FACET_ASSIGN(const MappedFile file, MappedFile::Open(path));
  return file.bytes().size() >= 4 && std::memcmp(file.bytes().data(), "GGUF", 4) == 0;
}

Result<VocabularyFile> Locate(const fs::path& path) {
  std::error_code code;
  VocabularyFile file;
  file.path = fs::is_directory(path, code) ? path / "tokenizer.json" : path;
  file.path = fs::absolute(file.path, code).lexically_normal();
  FACET_ASSIGN(file.gguf, IsGguf(file.path));
  file.stamp = StampOf(file.path);
  if (!file.gguf) file.stamp += StampOf(file.path.parent_path() / "tokenizer_config.json");
  return file;
}

fs::path EntryPath(const fs::path& source) {
  const fs::path folder = CacheFolder();
  if (folder.empty()) return {};
  std::ostringstream name;
  name << "vocabulary-" << std::hex << std::setw(16) << std::setfill('0')
       << vocabulary_layout::Checksum(std::as_bytes(std::span(source.native())), 0) << ".bin";
  return folder / name.str();
}

// Failing to keep the compiled form costs time at the next start, nothing else.
void KeepCompiled(const fs::path& entry, std::string_view block) {
  if (entry.empty()) return;
  Result<void> kept = MakeFolders(entry.parent_path());
  if (kept.ok()) kept = WriteFile(entry, block);
  if (!kept.ok()) spdlog::debug("compiled vocabulary not kept: {}", kept.error().message);
}

}  // namespace

Result<Vocabulary> LoadVocabulary(const fs::path& path) {
  FACET_ASSIGN(const VocabularyFile file, Locate(path));
  const fs::path entry = EntryPath(file.path);
  if (!entry.empty()) {
    auto kept = Vocabulary::Map(entry);
    if (kept.ok() && kept->stamp() == file.stamp) return kept;
  }
  auto source = file.gguf ? ReadGgufVocabulary(file.path) : ReadTokenizerJson(file.path);
  if (!source.ok()) return source.error().In(file.path.string());
  auto block = CompileVocabulary(*source, file.stamp);
  if (!block.ok()) return block.error().In(file.path.string());
  KeepCompiled(entry, *block);
  return Vocabulary::FromMemory(std::move(*block));
}

}  // namespace facet
