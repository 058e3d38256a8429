// Read-only memory mapping of a whole file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/atomic_file.h"
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

// A whole file as a string. Errors name the path.
Result<std::string> ReadFile(const std::filesystem::path& path);

}  // namespace facet
