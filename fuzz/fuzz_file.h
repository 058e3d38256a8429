// Gives a reader that opens paths the bytes of a fuzzer.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace facet {

// A file without a name that holds `bytes`; its path is valid as long as this object lives.
class FuzzFile {
 public:
  FuzzFile(const uint8_t* bytes, size_t size) : fd_(memfd_create("fuzz", 0)) {
    if (fd_ < 0 || write(fd_, bytes, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~FuzzFile() { close(fd_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace facet
