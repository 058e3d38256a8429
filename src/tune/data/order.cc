#include "tune/data/order.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/math.h"
#include "tune/data/prefetcher.h"
#include "tune/data/seed.h"

namespace facet::tune {
namespace {

enum Purpose : uint64_t { kOrder = 1, kSample = 2 };

}  // namespace

std::vector<uint32_t> EpochOrder(const DataSet& data, const std::vector<uint32_t>& examples,
                                 uint64_t seed, int epoch) {
  const uint64_t round = MixSeed(seed, static_cast<uint64_t>(epoch) << 8);
  std::vector<uint32_t> order;
  for (size_t file = 0; file < data.files().size(); ++file) {
    std::vector<uint32_t> own;
    for (const uint32_t index : examples) {
      if (data.entries()[index].file == file) own.push_back(index);
    }
    const double weight = data.files()[file].weight;
    const double whole = std::floor(weight);
    for (int copy = 0; copy < static_cast<int>(whole); ++copy)
      order.insert(order.end(), own.begin(), own.end());
    // The share that is left, summed up over the epochs: no file is rounded away for good.
    const double share = (weight - whole) * static_cast<double>(own.size());
    const auto rest =
        static_cast<size_t>(std::llround(share * (epoch + 1)) - std::llround(share * epoch));
    if (rest == 0) continue;
    Shuffle(own, MixSeed(round, kSample + (file << 8)));
    order.insert(order.end(), own.begin(), own.begin() + static_cast<std::ptrdiff_t>(rest));
  }
  Shuffle(order, MixSeed(round, kOrder));
  return order;
}

std::vector<Batch> MakeBatches(const DataSet& data, const std::vector<uint32_t>& order,
                               int max_tokens) {
  std::vector<Batch> batches;
  int64_t filled = std::numeric_limits<int64_t>::max() / 2;  // the first example opens a batch
  for (const uint32_t index : order) {
    const int64_t tokens = data.entries()[index].tokens;
    if (filled + tokens > max_tokens) {
      batches.emplace_back();
      filled = 0;
    }
    batches.back().push_back(index);
    filled += tokens;
  }
  return batches;
}

Result<void> ForEachBatch(const DataSet& data, const std::vector<uint32_t>& examples,
                          int max_tokens, const std::atomic<bool>* stop,
                          const std::function<Result<void>(std::span<const Example* const>)>& f) {
  Prefetcher prefetch(data);
  prefetch.Start(examples);
  for (const Batch& batch : MakeBatches(data, examples, std::max(max_tokens, data.longest()))) {
    if (stop != nullptr && stop->load()) return Error{"interrupted", ErrorKind::kCancelled};
    std::vector<std::shared_ptr<const Example>> held;
    std::vector<const Example*> pointers;
    for (size_t i = 0; i < batch.size(); ++i) {
      FACET_ASSIGN(auto example, prefetch.Next());
      pointers.push_back(example.get());
      held.push_back(std::move(example));
    }
    FACET_TRY(f(pointers));
  }
  return Ok();
}

Plan::Plan(const DataSet& data, std::vector<uint32_t> examples, const PlanOptions& options)
    : data_(data), examples_(std::move(examples)), options_(options) {
  double left = options.max_steps > 0 ? std::numeric_limits<double>::infinity() : options.epochs;
  // An epoch may be empty where weights are small; one of the next ones then is not.
  for (int epoch = 0; left > 0 && !examples_.empty(); ++epoch, left -= 1) {
    Load(epoch);
    const int64_t all = StepsOf(static_cast<int64_t>(batches_.size()));
    epoch_begin_.push_back(steps_);
    epoch_steps_.push_back(all);
    const double part = std::min(1.0, left);
    steps_ += static_cast<int64_t>(std::ceil(part * static_cast<double>(all) - 1e-9));
    if (options.max_steps == 0 || steps_ < options.max_steps) continue;
    steps_ = options.max_steps;
    break;
  }
}

bool Plan::EndsEpoch(int64_t step) const {
  for (size_t i = 0; i < epoch_begin_.size(); ++i) {
    if (step == epoch_begin_[i] + epoch_steps_[i]) return true;
  }
  return false;
}

int64_t Plan::StepsOf(int64_t batches) const {
  return DivideUp(batches, options_.accumulate);
}

void Plan::Load(int epoch) {
  if (epoch == loaded_) return;
  batches_ =
      MakeBatches(data_, EpochOrder(data_, examples_, options_.seed, epoch), options_.batch_tokens);
  loaded_ = epoch;
}

StepPlan Plan::Step(int64_t step) {
  const auto after = std::upper_bound(epoch_begin_.begin(), epoch_begin_.end(), step);
  const int epoch = static_cast<int>(after - epoch_begin_.begin()) - 1;
  Load(epoch);
  const int64_t in_epoch = step - epoch_begin_[epoch];
  StepPlan plan;
  plan.step = step;
  plan.epoch = epoch + static_cast<double>(in_epoch + 1) / static_cast<double>(epoch_steps_[epoch]);
  const int64_t begin = in_epoch * options_.accumulate;
  const int64_t end =
      std::min<int64_t>(begin + options_.accumulate, static_cast<int64_t>(batches_.size()));
  for (int64_t i = begin; i < end; ++i) {
    for (const uint32_t index : batches_[i]) {
      plan.tokens += data_.entries()[index].tokens;
      plan.labelled += data_.entries()[index].labelled;
    }
    plan.batches.push_back(batches_[i]);
  }
  return plan;
}

}  // namespace facet::tune
