// Threads that compile the forms of answers, so that a form that takes long keeps nobody waiting
// but others that ask for one. What is compiled has limits of its own (text-core).
#pragma once

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>

namespace facet::serve {

class ConstraintWorkers {
 public:
  explicit ConstraintWorkers(int threads) : threads_(threads) {}
  ~ConstraintWorkers() { Finish(); }

  // Runs `task`, which must not throw, on one of the threads. False: too many wait.
  bool Run(std::function<void()> task) {
    if (++waiting_ > kMaxWaiting) {
      --waiting_;
      return false;
    }
    boost::asio::post(threads_, [this, task = std::move(task)] {
      task();
      --waiting_;
    });
    return true;
  }
  // Returns when all tasks have ended; later ones never run.
  void Finish() { threads_.join(); }

 private:
  static constexpr int kMaxWaiting = 256;
  std::atomic<int> waiting_{0};
  boost::asio::thread_pool threads_;
};

}  // namespace facet::serve
