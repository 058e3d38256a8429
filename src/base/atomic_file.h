// Files that are whole or not there: written beside their name, flushed to the device, renamed.
// After a success a power cut leaves the new content, before it the old.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "base/descriptor.h"
#include "base/result.h"

namespace facet {

// A file in the making. Destroyed without a Commit, it leaves nothing behind.
class AtomicFile {
 public:
  // Creates `path.PID.N.part`, exclusively, with these permissions (less the umask).
  static Result<AtomicFile> Create(const std::filesystem::path& path, mode_t mode = 0666);
  AtomicFile(AtomicFile&& other) noexcept = default;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  // Appends. Small pieces are collected. Once it failed, all that follows fails in the same way.
  Result<void> Write(std::span<const std::byte> bytes);
  Result<void> Write(std::string_view text) { return Write(std::as_bytes(std::span(text))); }
  // Overwrites what was appended before, as a header that is known at the end.
  Result<void> WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  // Bytes appended so far.
  uint64_t size() const { return size_; }

  // Hands everything to the system and drops it from the page cache, so that a large file does not
  // displace what others read.
  Result<void> FlushPages();

  // Flushes the content to the device, gives the file its name, and flushes the folder. Once.
  Result<void> Commit();

  // Where it is written.
  const std::filesystem::path& part() const { return part_; }

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path part, Descriptor file)
      : path_(std::move(path)), part_(std::move(part)), file_(std::move(file)) {}
  Result<void> EmptyBuffer();
  Result<void> WriteOut(std::span<const std::byte> bytes, uint64_t offset);
  Error Failed(int value);

  std::filesystem::path path_, part_;
  Descriptor file_;  // closed after Commit, and in what was moved from
  std::vector<std::byte> buffer_;
  uint64_t size_ = 0, flushed_ = 0;
  int failure_ = 0;  // errno of the first failure
};

// The whole content at once.
Result<void> WriteFile(const std::filesystem::path& path, std::string_view content);

// Creates a folder and those above it that are not there yet.
Result<void> MakeFolders(const std::filesystem::path& folder);

// Returns when a file's content, or a folder's names, would survive a power cut.
Result<void> FlushPath(const std::filesystem::path& path);
// The same for a folder with everything in it.
Result<void> FlushTree(const std::filesystem::path& folder);
// Renames a file or folder whose content is flushed, and flushes the folder of the new name.
Result<void> RenameAndFlush(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace facet
