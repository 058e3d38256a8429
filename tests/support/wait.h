// Waiting for what another thread or process does, without a guess at how long that takes.
#pragma once

#include <chrono>
#include <thread>

namespace facet {

// True as soon as `predicate` is; false after `most`, far beyond what a busy machine needs:
// ASSERT_TRUE(WaitFor([&] { return server.idle(); })).
template <typename Predicate>
[[nodiscard]] bool WaitFor(Predicate predicate,
                           std::chrono::milliseconds most = std::chrono::seconds(60)) {
  const auto end = std::chrono::steady_clock::now() + most;
  while (!predicate()) {
    if (std::chrono::steady_clock::now() > end) return predicate();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace facet
