// A sequence state that is pages of the model's cache and nothing else.
#pragma once

#include "engine/executor.h"
#include "model/kv_cache.h"

namespace facet {

class PagedState : public SequenceState {
 public:
  explicit PagedState(KvPool& pool) : sequence(pool) {}
  int length() const override { return sequence.length(); }
  std::unique_ptr<SequenceState> Copy() const override {
    auto copy = std::make_unique<PagedState>(*this);
    // Pages that were reserved behind the length belong to the original alone.
    (void)copy->sequence.Rewind(copy->length());
    return copy;
  }
  bool CanRewind(int length) const override { return sequence.CanRewind(length); }
  Result<void> Rewind(int length) override { return sequence.Rewind(length); }
  void Commit(int rows) override { sequence.Commit(rows); }

  KvSequence sequence;
};

}  // namespace facet
