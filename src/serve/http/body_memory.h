// How much the bodies of all requests hold together: of those that are still arriving, and of those
// that wait for a handler or are in its hands.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace facet::serve {

class BodyMemory {
 public:
  explicit BodyMemory(size_t limit) : limit_(limit) {}
  // False: so much is not left.
  bool Take(size_t bytes) {
    size_t held = held_.load();
    do {
      if (bytes > limit_ - held) return false;
    } while (!held_.compare_exchange_weak(held, held + bytes));
    return true;
  }
  void Give(size_t bytes) { held_ -= bytes; }

 private:
  const size_t limit_;
  std::atomic<size_t> held_{0};
};

// What one body holds of it.
class BodyLease {
 public:
  explicit BodyLease(std::shared_ptr<BodyMemory> memory) : memory_(std::move(memory)) {}
  ~BodyLease() { memory_->Give(bytes_); }
  BodyLease(const BodyLease&) = delete;
  BodyLease& operator=(const BodyLease&) = delete;

  // False: so much is not left; it keeps what it had.
  bool GrowTo(size_t bytes) {
    if (bytes <= bytes_) return true;
    if (!memory_->Take(bytes - bytes_)) return false;
    bytes_ = bytes;
    return true;
  }

 private:
  const std::shared_ptr<BodyMemory> memory_;
  size_t bytes_ = 0;
};

}  // namespace facet::serve
