// Which instruction set the kernels use. Every set gives the same bits; they differ in speed alone.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace facet {

enum class Isa { kGeneric, kAvx2, kAvx512, kNeon, kI8mm };

// All sets, better ones of an architecture later.
constexpr Isa kAllIsas[] = {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512, Isa::kNeon, Isa::kI8mm};

std::string_view IsaName(Isa isa);

// What a processor can do beyond its architecture's base, one bit each. Names are those of the
// compiler's options.
using CpuFeatures = uint32_t;
struct CpuFeature {
  std::string_view name;
  CpuFeatures bit;
};

// All that the units of a set are compiled for (cmake/isa.cmake): the compiler may use each of it
// anywhere in them.
std::span<const CpuFeature> FeaturesOf(Isa isa);

// True where a processor with `features` runs the kernels of the set.
bool Runs(Isa isa, CpuFeatures features);

// What this processor can do, and its operating system lets programs use.
CpuFeatures FeaturesHere();

// True where this build has kernels for the set and this processor runs them.
bool IsaSupported(Isa isa);

// The set that the kernels use with `features`: the best of those that run, or the one that
// `wanted` names, where it runs.
Isa ChooseIsa(CpuFeatures features, std::string_view wanted);

// The best supported set, or the one that the environment variable FACET_ISA names (generic, avx2,
// avx512, neon, i8mm), where it is supported. Read once.
Isa ActiveIsa();

// For tests and benchmarks: kernels called from now on use `isa`, which must be supported. Not for
// use while kernels run.
void SetActiveIsa(Isa isa);

}  // namespace facet
