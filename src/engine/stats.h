// Numbers about an engine's work, for /metrics and logs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace facet {

// Counts of values in fixed buckets, as Prometheus has them.
class Histogram {
 public:
  static constexpr std::array<double, 16> kBounds = {
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};
  void Add(double value) {
    size_t i = 0;
    while (i < kBounds.size() && value > kBounds[i]) ++i;
    ++counts_[i];
    ++count_;
    sum_ += value;
  }
  std::span<const uint64_t> counts() const { return counts_; }  // the last one: above all bounds
  uint64_t count() const { return count_; }
  double sum() const { return sum_; }

 private:
  std::array<uint64_t, kBounds.size() + 1> counts_{};
  uint64_t count_ = 0;
  double sum_ = 0;
};

struct EngineStats {
  int running = 0, waiting = 0;
  size_t cache_bytes = 0, cache_budget = 0, snapshots = 0;
  uint64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;  // totals
  uint64_t prefix_queries = 0, prefix_hits = 0;  // requests, those that found something
  uint64_t finished_stop = 0, finished_length = 0, finished_cancelled = 0, finished_error = 0;
  uint64_t drafted = 0, accepted = 0, steps = 0, evictions = 0, preemptions = 0;
  Histogram first_token, inter_token, queue, prefill, decode, whole;  // seconds
};

}  // namespace facet
