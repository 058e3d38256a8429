#include "tune/run/folder_lock.h"

#include <fcntl.h>

#include "base/atomic_file.h"
#include "base/os/os.h"

namespace facet::tune {

Result<std::unique_ptr<FolderLock>> FolderLock::Take(const std::filesystem::path& folder) {
  FACET_TRY(MakeFolders(folder));
  Descriptor opened(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.valid()) return SystemError(errno, folder.string());
  if (LockFile(opened.get(), LockWait::kNo) != LockOutcome::kLocked)
    return Error{Cat(folder.string(), ": another run is writing there"), ErrorKind::kResource};
  return std::unique_ptr<FolderLock>(new FolderLock(std::move(opened)));
}

}  // namespace facet::tune
