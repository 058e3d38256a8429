#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

namespace facet {
namespace {

// madvise wants whole pages: the pages that lie entirely inside `part`.
void Advise(std::span<const std::byte> part, int advice) {
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}

Result<void> CheckMode(mode_t mode, const std::filesystem::path& path) {
  if (S_ISREG(mode)) return Ok();
  const char* what = S_ISDIR(mode) ? "folder" : S_ISFIFO(mode) ? "pipe" : "device or socket";
  return Error{Cat(path.string(), ": not a regular file, but a ", what), ErrorKind::kInvalid};
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
  FACET_ASSIGN(const Descriptor opened, OpenFile(path));
  struct stat info {};
  if (fstat(opened.get(), &info) != 0) return SystemError(errno, path.string());
  MappedFile file;
  file.path_ = path;
  const size_t size = static_cast<size_t>(info.st_size);
  if (size == 0) return file;
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, opened.get(), 0);
  if (data == MAP_FAILED) return SystemError(errno, path.string());
  file.data_ = static_cast<const std::byte*>(data);
  file.size_ = size;
  return file;
}

void MappedFile::Drop(std::span<const std::byte> part) const {
  Advise(part, MADV_DONTNEED);
}
void MappedFile::WillNeed(std::span<const std::byte> part) const {
  Advise(part, MADV_WILLNEED);
}

Result<Descriptor> OpenFile(const std::filesystem::path& path) {
  // Not blocking: opening a pipe would wait until somebody writes to it.
  Descriptor opened(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!opened.valid()) return SystemError(errno, path.string());
  struct stat info {};
  if (fstat(opened.get(), &info) != 0) return SystemError(errno, path.string());
  FACET_TRY(CheckMode(info.st_mode, path));
  return opened;
}

Result<void> CheckIsFile(const std::filesystem::path& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return Ok();
  return CheckMode(info.st_mode, path);
}

Result<std::string> ReadFile(const std::filesystem::path& path) {
  FACET_ASSIGN(const Descriptor opened, OpenFile(path));
  std::string text;
  std::vector<char> part(1 << 16);
  for (;;) {
    const ssize_t n = read(opened.get(), part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError(errno, path.string());
    if (n == 0) return text;
    text.append(part.data(), static_cast<size_t>(n));
    // A small file costs one read; a large one few.
    if (text.size() >= part.size() && part.size() < (4 << 20)) part.resize(part.size() * 4);
  }
}

}  // namespace facet
