#include "cli/terminal/interrupt.h"

#include <csignal>

namespace facet::cli {
namespace {

std::atomic<bool> interrupted = false, ends_program = true;
std::atomic<int> last_signal = 0;
// Usable in a signal handler.
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

void OnSignal(int signal) {
  last_signal = signal;
  interrupted = true;
  if (ends_program) std::signal(signal, SIG_DFL);
}

sigset_t Interrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

InterruptFlag::InterruptFlag(Second second) {
  Reset();
  ends_program = second == Second::kEndsProgram;
  std::signal(SIGINT, &OnSignal);
  std::signal(SIGTERM, &OnSignal);
  taker_ = std::thread([this] { Wait(); });
  const sigset_t signals = Interrupts();
  pthread_sigmask(SIG_BLOCK, &signals, &blocked_before_);
}

InterruptFlag::~InterruptFlag() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  ended_.notify_one();
  taker_.join();
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  pthread_sigmask(SIG_SETMASK, &blocked_before_, nullptr);
}

// Exists so that signal handlers have a thread to run on.
void InterruptFlag::Wait() {
  const sigset_t signals = Interrupts();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return done_; });
}

const std::atomic<bool>* InterruptFlag::flag() const {
  return &interrupted;
}

int InterruptFlag::signal() const {
  return last_signal;
}

void InterruptFlag::Reset() {
  interrupted = false;
  last_signal = 0;
}

}  // namespace facet::cli
