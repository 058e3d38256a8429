// Fair queueing by tokens computed per tenant: the one that was served least comes first, and a
// newcomer starts at the current level.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "engine/sequence.h"

namespace facet {

class FairQueue {
 public:
  // After all others; `running` are those that have a place already.
  void Push(std::unique_ptr<Sequence> sequence, const Sequences& running);
  // One that was preempted: before all others.
  void PutBack(std::unique_ptr<Sequence> sequence);
  // Takes the oldest request of the tenant that was served least, of those that may start. Null:
  // there is none.
  std::unique_ptr<Sequence> Next(const std::function<bool(const Sequence&)>& may_start);
  // So many tokens were computed for this tenant.
  void Served(const std::string& tenant, int tokens) { served_[tenant] += tokens; }
  void EraseDone();
  void Clear() { waiting_.clear(); }

  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }
  auto begin() const { return waiting_.begin(); }
  auto end() const { return waiting_.end(); }

 private:
  void RaiseToLevel(const std::string& tenant, const Sequences& running);

  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::map<std::string, uint64_t> served_;  // tokens computed for each tenant
  uint64_t level_ = 0;                      // the most of them that a tenant had when admitted
};

}  // namespace facet
