// Runs a test body on every instruction set that this processor has.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ops/cpu.h"

namespace facet {

template <typename Body>
void ForEachIsa(const Body& body) {
  const Isa before = ActiveIsa();
  for (const Isa isa : kAllIsas) {
    if (!IsaSupported(isa)) continue;
    SCOPED_TRACE(std::string(IsaName(isa)));
    SetActiveIsa(isa);
    body();
  }
  SetActiveIsa(before);
}

// Thread counts worth testing: the plain loops are slow, and split by the same code.
inline std::vector<int> ThreadCounts() {
  if (ActiveIsa() == Isa::kGeneric) return {2};
  return {1, 2, 3, 4, 5, 6, 7, 8};
}

}  // namespace facet
