// Read-only memory mapping of a whole file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/atomic_file.h"
#include "base/descriptor.h"
#include "base/result.h"

namespace facet {

class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  // Errors: not found, not a regular file, permission, out of address space. An empty file maps to
  // an empty span.
  static Result<MappedFile> Open(const std::filesystem::path& path);

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  // Tells the kernel that these bytes will not be read again soon, so that their pages stop
  // counting.
  void Drop(std::span<const std::byte> part) const;
  // Tells the kernel to read these bytes ahead.
  void WillNeed(std::span<const std::byte> part) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::filesystem::path path_;
};

// Opens a file for reading. Folders, pipes and devices are refused, and never waited for.
Result<Descriptor> OpenFile(const std::filesystem::path& path);

// Refuses what is there and no file, before something is written to it. What is not there is fine.
Result<void> CheckIsFile(const std::filesystem::path& path);

// A whole file as a string, one of OpenFile's kind. Errors name the path.
Result<std::string> ReadFile(const std::filesystem::path& path);

}  // namespace facet
