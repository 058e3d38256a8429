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

 private:
  explicit FolderLock(Descriptor locked) : locked_(std::move(locked)) {}
  Descriptor locked_;  // closing it releases the lock
};

}  // namespace facet::tune
