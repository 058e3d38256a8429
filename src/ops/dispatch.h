// Chooses among the tables of kernels that the translation units of the instruction sets define.
#pragma once

#include "ops/cpu.h"

namespace facet {

#if defined(__x86_64__)
#define FACET_DISPATCH(name)                  \
  (ActiveIsa() == Isa::kAvx512 ? name##Avx512 \
   : ActiveIsa() == Isa::kAvx2 ? name##Avx2   \
                               : name##Generic)
#elif defined(__aarch64__)
// All but the packed products, which choose for themselves, are the same for i8mm.
#define FACET_DISPATCH(name) (ActiveIsa() == Isa::kGeneric ? name##Generic : name##Neon)
#else
#define FACET_DISPATCH(name) (name##Generic)
#endif

}  // namespace facet
