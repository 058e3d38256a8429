#include "tune/run/batch_feed.h"

#include <algorithm>

namespace facet::tune {
namespace {

constexpr int64_t kAhead = 64;  // steps that are ordered from the prefetcher at once

}  // namespace

std::vector<Batch> BatchFeed::OwnBatches(const StepPlan& plan) const {
  if (processes_ == nullptr || processes_->alone()) return plan.batches;
  std::vector<Batch> own;
  for (size_t i = 0; i < plan.batches.size(); ++i) {
    if (static_cast<int>(i) % processes_->count() == processes_->rank())
      own.push_back(plan.batches[i]);
  }
  return own;
}

Result<std::vector<std::shared_ptr<const Example>>> BatchFeed::Fetch(const Batch& batch,
                                                                     int64_t step) {
  std::vector<std::shared_ptr<const Example>> examples;
  for (const uint32_t index : batch) {
    if (ordered_.empty() || ordered_.front() != index) Order(step);
    FACET_ASSIGN(auto example, prefetch_.Next());
    ordered_.pop_front();
    examples.push_back(std::move(example));
  }
  return examples;
}

// All that is still to come of this step and the next ones.
void BatchFeed::Order(int64_t step) {
  ordered_.clear();
  const int64_t end = std::min(step + kAhead, plan_.steps());
  for (; step < end; ++step) {
    for (const Batch& batch : OwnBatches(plan_.Step(step)))
      ordered_.insert(ordered_.end(), batch.begin(), batch.end());
  }
  prefetch_.Start({ordered_.begin(), ordered_.end()});
}

}  // namespace facet::tune
