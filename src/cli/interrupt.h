// Ctrl-C as a flag, so that a command can stop at a good place; a second Ctrl-C ends the program at
// once.
#pragma once

#include <atomic>

namespace facet::cli {

class InterruptFlag {
 public:
  InterruptFlag();   // takes SIGINT and SIGTERM
  ~InterruptFlag();  // gives them back
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  const std::atomic<bool>* flag() const;
};

}  // namespace facet::cli
