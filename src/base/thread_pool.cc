#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <csignal>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/os/os.h"

namespace facet {
namespace {

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins this often before sleeping: longer than the serial work between two loops of a small
// model's decode, too short to matter for the battery.
constexpr int kSpins = 20000;

}  // namespace

// A loop and how far it is handed out, in one word, so that a thread that comes late can tell a
// loop that is over from the one that has begun since: [round : 16][count : 24][next index : 24].
struct Ticket {
  static constexpr int kBits = 24;
  static constexpr int64_t kMask = (int64_t{1} << kBits) - 1;
  static uint64_t Make(uint64_t round, int64_t count) {
    return round << (2 * kBits) | static_cast<uint64_t>(count) << kBits;
  }
  static int64_t Count(uint64_t ticket) { return static_cast<int64_t>(ticket >> kBits) & kMask; }
  static int64_t Next(uint64_t ticket) { return static_cast<int64_t>(ticket) & kMask; }
  static bool Open(uint64_t ticket) { return Next(ticket) < Count(ticket); }
};

struct ThreadPool::State {
  std::vector<std::thread> workers;
  std::atomic<uint64_t> ticket{0};
  std::atomic<int64_t> done{0};  // calls that have returned
  std::atomic<const std::function<void(int64_t)>*> body{nullptr};
  std::atomic<bool> stop{false};

  // Takes indices and runs them until none is left. Nobody waits for a thread that holds no index:
  // a worker that was scheduled away delays nothing.
  void Drain() {
    uint64_t seen = ticket.load(std::memory_order_acquire);
    while (Ticket::Open(seen)) {
      if (!ticket.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) continue;
      (*body.load(std::memory_order_acquire))(Ticket::Next(seen));
      done.fetch_add(1, std::memory_order_release);
      seen = ticket.load(std::memory_order_acquire);
    }
  }
};

ThreadPool::ThreadPool(int threads)
    : threads_(threads > 0 ? threads : AvailableCores()), state_(std::make_unique<State>()) {
  for (int t = 1; t < threads_; ++t) {
    state_->workers.emplace_back([this] {
      // Handlers run elsewhere: not all that is computed here leaves them a stack
      // (cli/terminal/interrupt.h).
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, nullptr);
      Work();
    });
  }
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true);
  state_->ticket.store(Ticket::Make(~uint64_t{0}, 0));
  state_->ticket.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

void ThreadPool::ParallelFor(int64_t count, const std::function<void(int64_t)>& body) {
  State& s = *state_;
  if (threads_ == 1 || count <= 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  assert(count <= Ticket::kMask);
  s.done.store(0, std::memory_order_relaxed);
  s.body.store(&body, std::memory_order_relaxed);
  s.ticket.store(Ticket::Make(++round_ & 0x7fff, count), std::memory_order_release);
  s.ticket.notify_all();
  s.Drain();
  for (int spin = 0; s.done.load(std::memory_order_acquire) != count; ++spin) {
    spin < kSpins ? Pause() : std::this_thread::yield();
  }
}

void ThreadPool::Work() {
  State& s = *state_;
  while (!s.stop.load(std::memory_order_acquire)) {
    s.Drain();
    const uint64_t seen = s.ticket.load(std::memory_order_acquire);
    // The last ticket comes with `stop`: nothing follows it that would end the wait below.
    if (Ticket::Open(seen) || s.stop.load(std::memory_order_acquire)) continue;
    for (int spin = 0; s.ticket.load(std::memory_order_acquire) == seen; ++spin) {
      spin < kSpins ? Pause() : s.ticket.wait(seen, std::memory_order_acquire);
    }
  }
}

}  // namespace facet
