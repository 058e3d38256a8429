// One run writes into a folder at a time.
#pragma once

#include <filesystem>
#include <memory>

#include "base/descriptor.h"
#include "base/result.h"

namespace facet::tune {

// Held until it is destroyed, or the process ends in whatever way.
class FolderLock {
 public:
  // Makes the folder where it is not there. Error (kResource): another process, or another lock of
  // this one, has it.
  static Result<std::unique_ptr<FolderLock>> Take(const std::filesystem::path& folder);
  // Removes the folder again where this lock made it and nothing was put into it.
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  FolderLock(std::filesystem::path path, Descriptor folder, bool made)
      : path_(std::move(path)), folder_(std::move(folder)), made_(made) {}
  std::filesystem::path path_;
  Descriptor folder_;
  bool made_ = false;
};

}  // namespace facet::tune
