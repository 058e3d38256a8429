// Which instruction set the kernels use. Every set gives the same bits; they differ in speed alone.
#pragma once

#include <string_view>

namespace facet {

enum class Isa { kGeneric, kAvx2, kAvx512, kNeon };

std::string_view IsaName(Isa isa);

// True where this build has kernels for the set and this processor runs them. kAvx2 includes FMA
// and F16C; kAvx512 includes BW, VL, DQ and VNNI; kNeon includes the dot-product instructions.
bool IsaSupported(Isa isa);

// The best supported set, or the one that the environment variable FACET_ISA names (generic, avx2,
// avx512, neon), where it is supported. Read once.
Isa ActiveIsa();

// For tests and benchmarks: kernels called from now on use `isa`, which must be supported. Not for
// use while kernels run.
void SetActiveIsa(Isa isa);

}  // namespace facet
