#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace facet {
namespace {

TEST(ThreadPool, EveryIndexRunsOnceInEveryLoop) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    std::vector<std::atomic<int>> hits(97);
    for (int loop = 0; loop < 3000; ++loop) {
      const int64_t count = loop % 98;
      pool.ParallelFor(count, [&](int64_t i) { hits[i].fetch_add(1, std::memory_order_relaxed); });
    }
    for (int64_t i = 0; i < 97; ++i) {
      int want = 0;
      for (int loop = 0; loop < 3000; ++loop) want += i < loop % 98;
      ASSERT_EQ(hits[i].load(), want) << threads << " threads, index " << i;
    }
  }
}

TEST(ThreadPool, ALoopSeesWhatTheLoopBeforeItWrote) {
  ThreadPool pool(4);
  std::vector<int64_t> values(64, 0);
  for (int loop = 0; loop < 2000; ++loop) {
    pool.ParallelFor(64, [&](int64_t i) { values[i] += 1; });
    pool.ParallelFor(64, [&](int64_t i) { values[(i + 31) % 64] += 1; });
  }
  for (const int64_t v : values) EXPECT_EQ(v, 4000);
}

// A worker that looks just before the end comes must not wait for what never follows.
TEST(ThreadPool, EndsAtAnyMoment) {
  for (int round = 0; round < 3000; ++round) {
    ThreadPool pool(4);
    std::atomic<int> calls{0};
    for (int loop = 0; loop < round % 3; ++loop) pool.ParallelFor(8, [&](int64_t) { ++calls; });
    EXPECT_EQ(calls.load(), 8 * (round % 3));
  }
}

}  // namespace
}  // namespace facet
