#include "tune/run/folder_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/os/os.h"

namespace facet::tune {
namespace {

// Whether the path still leads to the folder that was opened: the lock's last holder may have
// removed it between our opening and our locking, and another run made it anew.
bool IsStillThere(const std::filesystem::path& path, const Descriptor& folder) {
  struct stat named {
  }, opened{};
  return stat(path.c_str(), &named) == 0 && fstat(folder.get(), &opened) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

}  // namespace

Result<std::unique_ptr<FolderLock>> FolderLock::Take(const std::filesystem::path& path) {
  for (;;) {
    std::error_code code;
    const bool made = std::filesystem::create_directories(path, code);
    if (code) return Error{Cat(path.string(), ": ", code.message()), ErrorKind::kIo};
    Descriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.valid() && errno == ENOENT) continue;  // its last holder has removed it
    if (!folder.valid()) return SystemError(errno, path.string());
    const LockOutcome locked = LockFile(folder.get(), LockWait::kNo);
    if (locked == LockOutcome::kHeldElsewhere)
      return Error{Cat(path.string(), ": another run is writing there"), ErrorKind::kResource};
    if (locked == LockOutcome::kUnsupported)
      return Error{Cat(path.string(), ": cannot be locked"), ErrorKind::kResource};
    if (!IsStillThere(path, folder)) continue;
    return std::unique_ptr<FolderLock>(new FolderLock(path, std::move(folder), made));
  }
}

FolderLock::~FolderLock() {
  // Still locked, so no other run writes there. rmdir leaves a folder that is not empty.
  if (made_) rmdir(path_.c_str());
}

}  // namespace facet::tune
