// What this machine can do at all, the best of a few passes, measured in turn with the kernels:
// shared machines drift by 20 % within minutes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/thread_pool.h"

namespace facet {

// Memory in huge pages where the system gives them, filled with a pattern.
class PatternedMemory {
 public:
  explicit PatternedMemory(size_t bytes);
  ~PatternedMemory();
  PatternedMemory(const PatternedMemory&) = delete;
  PatternedMemory& operator=(const PatternedMemory&) = delete;
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_;
  size_t size_;
};

// Bytes a second that all threads together read from memory, each its own stretch, with
// prefetching.
double ReadBandwidth(ThreadPool& pool);

// 8-bit operations (two for a multiply-add) a second of all threads, from registers: VPDPBUSD with
// AVX-512 VNNI, VPMADDUBSW and a 16-bit sum with AVX2; 0 without either.
double Int8Peak(ThreadPool& pool);

// float32 operations (two for a fused multiply-add) a second of all threads, from registers; 0
// without AVX-512.
double FloatPeak(ThreadPool& pool);

}  // namespace facet
