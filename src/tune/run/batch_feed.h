// The batches of a run as examples, built ahead of their use.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "tune/data/data.h"
#include "tune/data/order.h"
#include "tune/data/prefetcher.h"
#include "tune/train/processes.h"

namespace facet::tune {

class BatchFeed {
 public:
  // `processes` null: one process. Everything outlives this.
  BatchFeed(const DataSet& data, Plan& plan, const Processes* processes)
      : plan_(plan), processes_(processes), prefetch_(data) {}

  // The batches of a step that this process computes: every n-th of n processes'.
  std::vector<Batch> OwnBatches(const StepPlan& plan) const;

  // The examples of the next own batch. `step` is the one that is running: where a run begins or
  // resumes, prefetching starts there.
  Result<std::vector<std::shared_ptr<const Example>>> Fetch(const Batch& batch, int64_t step);

 private:
  void Order(int64_t step);

  Plan& plan_;
  const Processes* processes_;
  Prefetcher prefetch_;
  std::deque<uint32_t> ordered_;  // from the prefetcher, and not fetched yet
};

}  // namespace facet::tune
