// Examples of a data set, built ahead of their use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tune/data/data.h"

namespace facet::tune {

// Builds examples in the background, in a given order. Those that were built stay in memory for the
// next epoch as long as there is room.
class Prefetcher {
 public:
  struct Limits {
    size_t ahead = 32;                       // examples
    size_t ahead_bytes = size_t{256} << 20;  // of media that wait
    size_t cache_bytes = size_t{256} << 20;
  };
  Prefetcher(const DataSet& data, Limits limits);
  explicit Prefetcher(const DataSet& data) : Prefetcher(data, Limits()) {}
  ~Prefetcher();

  // Drops what is waiting and continues with this order.
  void Start(std::vector<uint32_t> order);
  // The next example of the order; the caller asks as often as the order is long.
  Result<std::shared_ptr<const Example>> Next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace facet::tune
