// A file descriptor with an owner.
#pragma once

#include <unistd.h>

#include <utility>

namespace facet {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { Close(); }

  int get() const { return fd_; }
  // False where opening failed, or after Close and Release.
  bool valid() const { return fd_ >= 0; }

  // False where the system reports that something written before did not arrive.
  bool Close() { return fd_ < 0 || close(std::exchange(fd_, -1)) == 0; }
  // The descriptor, which the caller closes from now on.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

}  // namespace facet
