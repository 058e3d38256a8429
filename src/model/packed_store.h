// The one copy of the weights that the fast kernels read (docs/decisions.md, 6).
//
// The first start packs every matrix into memory, dropping the source's pages on the way, and a
// thread writes the packed form to a disposable file in the cache folder meanwhile. Later starts
// map that file.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "base/mapped_file.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "model/weights.h"

namespace facet {

// The name of the file with the packed weights of a checkpoint with this identity. Another layout
// has another name, so that weights packed by an older program are never read.
std::string PackedFileName(std::string_view identity);

// Names a checkpoint without reading it whole: every tensor's name, type, shape and first and last
// bytes, and size and time of its files.
std::string CheckpointIdentity(const Checkpoint& checkpoint);

class PackedStore {
 public:
  // Sets `packed` of every Linear of the checkpoint. `keep`: use and write the file in the cache
  // folder (small models are packed anew each time, which is faster than looking). Errors: a weight
  // that is NaN or infinite, by tensor and row; no memory.
  static Result<std::unique_ptr<PackedStore>> Create(Checkpoint& checkpoint, bool keep,
                                                     ThreadPool& pool);
  ~PackedStore();
  PackedStore(const PackedStore&) = delete;
  PackedStore& operator=(const PackedStore&) = delete;

  size_t bytes() const { return bytes_; }
  // True where the weights came from the cache file.
  bool mapped() const { return !file_.bytes().empty(); }
  // Waits until the cache file is written; true where there is one.
  bool WaitForFile();

 private:
  PackedStore() = default;
  Result<void> Allocate(size_t bytes);
  // False where there is no such file, or it is not one of packed weights.
  bool MapPackedFile(const std::filesystem::path& path, size_t bytes);
  void WriteInBackground(const std::filesystem::path& path);

  // The weights lie in one of these.
  MappedFile file_;
  std::byte* memory_ = nullptr;
  size_t bytes_ = 0;
  std::filesystem::path path_;
  std::jthread writer_;
};

}  // namespace facet
