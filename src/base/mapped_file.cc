#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

namespace facet {
namespace {

Error SystemError(const std::filesystem::path& path, int code) {
  const ErrorKind kind = code == ENOENT || code == ENOTDIR ? ErrorKind::kNotFound
                         : code == EACCES || code == EPERM ? ErrorKind::kPermission
                                                           : ErrorKind::kIo;
  return {Cat(path.string(), ": ", std::strerror(code)), kind};
}

// madvise wants whole pages: the pages that lie entirely inside `part`.
void Advise(std::span<const std::byte> part, int advice) {
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}

}  // namespace

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

Result<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError(path, errno);
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return Error{Cat(path.string(), ": not a regular file"), ErrorKind::kInvalid};
  }
  MappedFile file;
  file.path_ = path;
  file.size_ = static_cast<size_t>(info.st_size);
  if (file.size_ > 0) {
    void* data = mmap(nullptr, file.size_, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
      const int code = errno;
      close(fd);
      file.size_ = 0;
      return SystemError(path, code);
    }
    file.data_ = static_cast<const std::byte*>(data);
  }
  close(fd);
  return file;
}

void MappedFile::Drop(std::span<const std::byte> part) const {
  Advise(part, MADV_DONTNEED);
}
void MappedFile::WillNeed(std::span<const std::byte> part) const {
  Advise(part, MADV_WILLNEED);
}

Result<std::string> ReadFile(const std::filesystem::path& path) {
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) {
    return Error{Cat(path.string(), ": is a folder"), ErrorKind::kInvalid};
  }
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return SystemError(path, errno != 0 ? errno : EIO);
  std::ostringstream out;
  out << in.rdbuf();
  if (in.bad()) return Error{Cat(path.string(), ": cannot be read"), ErrorKind::kIo};
  return std::move(out).str();
}

Result<void> WriteFile(const std::filesystem::path& path, std::string_view content) {
  static std::atomic<int> counter = 0;
  const std::filesystem::path temporary =
      path.string() + Cat(".", getpid(), ".", counter.fetch_add(1), ".part");
  errno = 0;
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  std::error_code code;
  if (!out) {
    const Error error = SystemError(path, errno != 0 ? errno : EIO);
    std::filesystem::remove(temporary, code);
    return error;
  }
  std::filesystem::rename(temporary, path, code);
  if (code) {
    const Error error{Cat(path.string(), ": ", code.message()), ErrorKind::kIo};
    std::filesystem::remove(temporary, code);
    return error;
  }
  return Ok();
}

}  // namespace facet
