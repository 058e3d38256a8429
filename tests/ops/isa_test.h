// Runs a test body on every instruction set that this processor has.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "ops/cpu.h"

namespace facet {

template <typename Body>
void ForEachIsa(const Body& body) {
  const Isa before = ActiveIsa();
  for (Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512, Isa::kNeon}) {
    if (!IsaSupported(isa)) continue;
    SCOPED_TRACE(std::string(IsaName(isa)));
    SetActiveIsa(isa);
    body();
  }
  SetActiveIsa(before);
}

}  // namespace facet
