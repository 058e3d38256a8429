#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/descriptor.h"

namespace facet {
namespace {

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
  const Descriptor opened(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened.valid()) return SystemError(errno, path.string());
  struct stat info {};
  if (fstat(opened.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return Error{Cat(path.string(), ": not a regular file"), ErrorKind::kInvalid};
  }
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

Result<std::string> ReadFile(const std::filesystem::path& path) {
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) {
    return Error{Cat(path.string(), ": is a folder"), ErrorKind::kInvalid};
  }
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return SystemError(errno != 0 ? errno : EIO, path.string());
  std::ostringstream out;
  out << in.rdbuf();
  if (in.bad()) return Error{Cat(path.string(), ": cannot be read"), ErrorKind::kIo};
  return std::move(out).str();
}

}  // namespace facet
