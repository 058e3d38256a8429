// Threads that fetch and decode media, so that other requests are answered meanwhile, and the
// memory that decoded media may take.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>

#include "engine/prompt.h"

namespace facet::serve {

class MediaWorkers {
 public:
  MediaWorkers(int threads, size_t memory)
      : memory_(std::make_shared<MediaMemory>(memory)), threads_(threads) {}
  ~MediaWorkers() { Finish(); }

  // Runs `task` on one of the threads; it must not throw.
  void Run(std::function<void()> task);
  // Returns when all tasks have ended; later ones never run.
  void Finish() { threads_.join(); }
  const std::shared_ptr<MediaMemory>& memory() const { return memory_; }

 private:
  const std::shared_ptr<MediaMemory> memory_;
  boost::asio::thread_pool threads_;
};

}  // namespace facet::serve
