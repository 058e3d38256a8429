// A fixed group of threads that run one loop together. Work is split by index only: which thread
// runs which index never changes a result.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace facet {

class ThreadPool {
 public:
  // `threads` >= 1 counts the caller; 0 means one for each core that this process may use.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls body(i) once for every i in [0, count), from all threads, and returns when all calls have
  // returned. Not reentrant: body must not call ParallelFor of the same pool.
  void ParallelFor(int64_t count, const std::function<void(int64_t)>& body);

 private:
  struct State;
  void Work();
  int threads_;
  uint64_t round_ = 0;
  std::unique_ptr<State> state_;
};

}  // namespace facet
