// Ctrl-C as a flag, so that a command can stop at a good place; a second Ctrl-C ends the program at
// once, unless the command wants to be asked each time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>

namespace facet::cli {

// Signals are taken by a thread of their own, and blocked in the one that makes the flag and in
// threads that it starts: oneDNN's matrix products use the stack pointer for other things, and a
// handler that runs on their threads writes into the heap.
class InterruptFlag {
 public:
  enum class Second { kEndsProgram, kSetsTheFlag };
  explicit InterruptFlag(Second second = Second::kEndsProgram);  // takes SIGINT and SIGTERM
  ~InterruptFlag();  // gives them back, on the thread that made it
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  const std::atomic<bool>* flag() const;
  // Which signal came last; 0 for none.
  int signal() const;
  // Forgets what came.
  void Reset();

 private:
  void Wait();

  sigset_t blocked_before_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool done_ = false;
  std::thread taker_;
};

}  // namespace facet::cli
