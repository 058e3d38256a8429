#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace facet {
namespace {

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins this often before sleeping: longer than the serial work between two loops of a small model's decode, shorter
// than what a person would notice on the battery.
constexpr int kSpins = 20000;

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> workers;
  std::atomic<uint32_t> round{0};  // moves on when a loop starts; workers sleep on it
  std::atomic<int> busy{0};        // workers that have not finished this round
  std::atomic<int64_t> next{0};
  int64_t count = 0;
  const std::function<void(int64_t)>* body = nullptr;
  std::atomic<bool> stop{false};
};

int AvailableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

ThreadPool::ThreadPool(int threads)
    : threads_(threads > 0 ? threads : AvailableCores()), state_(std::make_unique<State>()) {
  for (int t = 1; t < threads_; ++t) state_->workers.emplace_back([this] { Work(); });
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true);
  state_->round.fetch_add(1);
  state_->round.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

void ThreadPool::ParallelFor(int64_t count, const std::function<void(int64_t)>& body) {
  State& s = *state_;
  if (threads_ == 1 || count <= 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  s.count = count;
  s.body = &body;
  s.next.store(0, std::memory_order_relaxed);
  s.busy.store(threads_ - 1, std::memory_order_relaxed);
  s.round.fetch_add(1, std::memory_order_release);
  s.round.notify_all();
  for (int64_t i; (i = s.next.fetch_add(1, std::memory_order_relaxed)) < count;) body(i);
  for (int spin = 0; s.busy.load(std::memory_order_acquire) != 0; ++spin) {
    spin < kSpins ? Pause() : std::this_thread::yield();
  }
}

void ThreadPool::Work() {
  State& s = *state_;
  uint32_t seen = 0;
  for (;;) {
    for (int spin = 0; s.round.load(std::memory_order_acquire) == seen; ++spin) {
      spin < kSpins ? Pause() : s.round.wait(seen, std::memory_order_acquire);
    }
    ++seen;
    if (s.stop.load()) return;
    for (int64_t i; (i = s.next.fetch_add(1, std::memory_order_relaxed)) < s.count;) (*s.body)(i);
    s.busy.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace facet
