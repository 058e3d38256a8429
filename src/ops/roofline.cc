#include "ops/roofline.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/math.h"
#include "base/os/os.h"
#include "ops/cpu.h"

namespace facet {
namespace {

double Seconds() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

std::atomic<uint64_t> sink;

// The best of a few passes: the first may begin while threads are still waking up.
template <typename Pass>
double Best(Pass pass) {
  double best = 0;
  for (int i = 0; i < 4; ++i) best = std::max(best, pass());
  return best;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) void ReadPart(const std::byte* p, size_t bytes) {
  __m256i sum = _mm256_setzero_si256();
  for (size_t i = 0; i < bytes; i += 256) {
    for (int line = 0; line < 256; line += 64) __builtin_prefetch(p + i + 2048 + line);
    for (int part = 0; part < 256; part += 32) {
      sum =
          _mm256_xor_si256(sum, _mm256_load_si256(reinterpret_cast<const __m256i*>(p + i + part)));
    }
  }
  sink += static_cast<uint64_t>(_mm256_extract_epi64(sum, 0));
}

__attribute__((target("avx512f,avx512vnni"))) void DotLoop(int64_t rounds) {
  __m512i sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = _mm512_set1_epi32(i);
  const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
  }
  for (int i = 1; i < 12; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  sink += static_cast<uint64_t>(_mm512_cvtsi512_si32(sums[0]));
}

// Without a dot-product instruction: pairs of products, summed in 16 bits.
__attribute__((target("avx2"))) void PairLoop(int64_t rounds) {
  __m256i sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = _mm256_set1_epi16(static_cast<int16_t>(i));
  const __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) {
      __m256i pairs = _mm256_maddubs_epi16(a, b);
      asm volatile("" : "+x"(pairs));  // or it would be computed once
      sums[i] = _mm256_add_epi16(sums[i], pairs);
    }
  }
  for (int i = 1; i < 12; ++i) sums[0] = _mm256_add_epi16(sums[0], sums[i]);
  sink += static_cast<uint64_t>(_mm256_extract_epi64(sums[0], 0));
}

__attribute__((target("avx512f"))) void FmaLoop(int64_t rounds) {
  __m512 sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = _mm512_set1_ps(i);
  const __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sums[i] = _mm512_fmadd_ps(sums[i], a, b);
  }
  for (int i = 1; i < 12; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  sink += static_cast<uint64_t>(_mm512_cvtss_f32(sums[0]));
}

// Operations a second of `parts` calls of loop(rounds), each of 12 instructions a round.
template <typename Loop>
double Rate(ThreadPool& pool, double operations, Loop loop) {
  constexpr int64_t kRounds = 20000;
  const int64_t parts = 16 * pool.threads();
  return Best([&] {
    const double begin = Seconds();
    pool.ParallelFor(parts, [&](int64_t) { loop(kRounds); });
    return parts * kRounds * 12 * operations / (Seconds() - begin);
  });
}
#else
void ReadPart(const std::byte* p, size_t bytes) {
  uint64_t sum = 0, word;
  for (size_t i = 0; i < bytes; i += 8) {
    std::memcpy(&word, p + i, 8);
    sum ^= word;
  }
  sink += sum;
}
#endif

}  // namespace

PatternedMemory::PatternedMemory(size_t bytes) {
  constexpr size_t kHuge = size_t{2} << 20;
  size_ = AlignUp(bytes, kHuge);
  data_ = static_cast<std::byte*>(std::aligned_alloc(kHuge, size_));
  if (data_ == nullptr) std::abort();
  UseHugePages(data_, size_);
  for (size_t i = 0; i < size_; ++i) data_[i] = static_cast<std::byte>(i * 37 >> 3);
}

PatternedMemory::~PatternedMemory() {
  std::free(data_);
}

double ReadBandwidth(ThreadPool& pool) {
  static const PatternedMemory memory(size_t{256} << 20);
  constexpr int64_t kParts = 64;
  const size_t part = memory.size() / kParts;
  return Best([&] {
    const double begin = Seconds();
    pool.ParallelFor(kParts, [&](int64_t i) { ReadPart(memory.data() + i * part, part); });
    return memory.size() / (Seconds() - begin);
  });
}

double Int8Peak(ThreadPool& pool) {
#if defined(__x86_64__)
  if (IsaSupported(Isa::kAvx512)) return Rate(pool, 128, DotLoop);
  if (IsaSupported(Isa::kAvx2)) return Rate(pool, 64, PairLoop);
#endif
  (void)pool;
  return 0;
}

double FloatPeak(ThreadPool& pool) {
#if defined(__x86_64__)
  if (IsaSupported(Isa::kAvx512)) return Rate(pool, 32, FmaLoop);
#endif
  (void)pool;
  return 0;
}

}  // namespace facet
