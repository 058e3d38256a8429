#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/os/os.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBufferBytes = size_t{256} << 10;
// Some systems write less than 2 GiB at once.
constexpr size_t kMostAtOnce = size_t{64} << 20;

fs::path FolderOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

}  // namespace

Result<AtomicFile> AtomicFile::Create(const fs::path& path, mode_t mode) {
  static std::atomic<int> counter = 0;
  for (;;) {
    fs::path part = path.string() + Cat(".", getpid(), ".", counter.fetch_add(1), ".part");
    const int fd = open(part.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd >= 0) return AtomicFile(path, std::move(part), Descriptor(fd));
    // Left by a killed process that had our number: the next name is free.
    if (errno != EEXIST) return SystemError(errno, path.string());
  }
}

AtomicFile::~AtomicFile() {
  if (file_.valid()) unlink(part_.c_str());
}

Error AtomicFile::Failed(int value) {
  if (failure_ == 0) failure_ = value;
  return SystemError(failure_, path_.string());
}

Result<void> AtomicFile::WriteOut(std::span<const std::byte> bytes, uint64_t offset) {
  if (failure_ != 0) return Failed(failure_);
  while (!bytes.empty()) {
    const ssize_t n = pwrite(file_.get(), bytes.data(), std::min(bytes.size(), kMostAtOnce),
                             static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Failed(n < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return Ok();
}

Result<void> AtomicFile::EmptyBuffer() {
  FACET_TRY(WriteOut(buffer_, size_ - buffer_.size()));
  buffer_.clear();
  return Ok();
}

Result<void> AtomicFile::Write(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kBufferBytes) FACET_TRY(EmptyBuffer());
  if (bytes.size() > kBufferBytes) {
    FACET_TRY(WriteOut(bytes, size_));
  } else {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
  size_ += bytes.size();
  return Ok();
}

Result<void> AtomicFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  FACET_TRY(EmptyBuffer());
  return WriteOut(bytes, offset);
}

Result<void> AtomicFile::FlushPages() {
  FACET_TRY(EmptyBuffer());
  FlushRange(file_.get(), static_cast<int64_t>(flushed_), static_cast<int64_t>(size_ - flushed_));
  flushed_ = size_;
  return Ok();
}

Result<void> AtomicFile::Commit() {
  FACET_TRY(EmptyBuffer());
  if (!FlushToDevice(file_.get())) return Failed(errno);
  if (rename(part_.c_str(), path_.c_str()) != 0) return Failed(errno);
  file_.Close();
  return FlushPath(FolderOf(path_));
}

Result<void> WriteFile(const fs::path& path, std::string_view content) {
  FACET_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  FACET_TRY(file.Write(content));
  return file.Commit();
}

Result<void> MakeFolders(const fs::path& folder) {
  std::error_code code;
  if (folder.empty() || fs::is_directory(folder, code)) return Ok();
  FACET_TRY(MakeFolders(folder.parent_path()));
  if (mkdir(folder.c_str(), 0777) != 0) {
    const int failure = errno;
    if (fs::is_directory(folder, code)) return Ok();  // by another process, meanwhile
    return SystemError(failure, folder.string());
  }
  return FlushPath(FolderOf(folder));
}

Result<void> FlushPath(const fs::path& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid() && errno == EACCES) return Ok();  // a folder that one may write but not read
  if (!file.valid() || !FlushToDevice(file.get())) return SystemError(errno, path.string());
  return Ok();
}

Result<void> FlushTree(const fs::path& folder) {
  std::error_code code;
  for (fs::recursive_directory_iterator it(folder, code), end; !code && it != end;
       it.increment(code)) {
    if (!it->is_symlink(code)) FACET_TRY(FlushPath(it->path()));
  }
  if (code) return SystemError(code.value(), folder.string());
  return FlushPath(folder);
}

Result<void> RenameAndFlush(const fs::path& from, const fs::path& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return SystemError(errno, to.string());
  return FlushPath(FolderOf(to));
}

}  // namespace facet
