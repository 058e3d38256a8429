#include "engine/fair_queue.h"

#include <algorithm>

namespace facet {
namespace {

// Beyond so many, tenants without requests are forgotten.
constexpr size_t kMostTenants = 4096;

template <typename List>
bool HasRequestOf(const List& sequences, const std::string& tenant) {
  return std::any_of(sequences.begin(), sequences.end(),
                     [&](const auto& s) { return s->request.tenant == tenant && !s->stalled; });
}

}  // namespace

void FairQueue::Push(std::unique_ptr<Sequence> sequence, const Sequences& running) {
  RaiseToLevel(sequence->request.tenant, running);
  waiting_.push_back(std::move(sequence));
}

void FairQueue::PutBack(std::unique_ptr<Sequence> sequence) {
  waiting_.push_front(std::move(sequence));
}

// Only waiting earns precedence: a tenant that is new, or comes back, starts level with those that
// were admitted last, however little it had until then.
void FairQueue::RaiseToLevel(const std::string& tenant, const Sequences& running) {
  if (HasRequestOf(waiting_, tenant)) return;
  if (served_.size() >= kMostTenants) {
    std::erase_if(served_, [&](const auto& entry) {
      return !HasRequestOf(running, entry.first) && !HasRequestOf(waiting_, entry.first);
    });
  }
  uint64_t& served = served_[tenant];
  served = std::max(served, level_);
}

std::unique_ptr<Sequence> FairQueue::Next(const std::function<bool(const Sequence&)>& may_start) {
  auto best = waiting_.end();
  uint64_t least = 0;
  for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
    const auto entry = served_.find((*it)->request.tenant);
    const uint64_t served = entry == served_.end() ? level_ : entry->second;
    if ((best != waiting_.end() && served >= least) || !may_start(**it)) continue;
    best = it;
    least = served;
  }
  if (best == waiting_.end()) return nullptr;
  level_ = std::max(level_, least);
  served_.try_emplace((*best)->request.tenant, least);
  std::unique_ptr<Sequence> next = std::move(*best);
  waiting_.erase(best);
  return next;
}

void FairQueue::EraseDone() {
  std::erase_if(waiting_, [](const auto& s) { return s->done; });
}

}  // namespace facet
