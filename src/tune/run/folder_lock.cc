#include "tune/run/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace facet::tune {

Result<std::unique_ptr<FolderLock>> FolderLock::Take(const std::filesystem::path& folder) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code) return Error{Cat(folder.string(), ": ", code.message()), ErrorKind::kIo};
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Error{Cat(folder.string(), ": cannot be opened"), ErrorKind::kIo};
  auto lock = std::unique_ptr<FolderLock>(new FolderLock(fd));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0)
    return Error{Cat(folder.string(), ": another run is writing there"), ErrorKind::kResource};
  return lock;
}

FolderLock::~FolderLock() {
  close(fd_);
}

}  // namespace facet::tune
