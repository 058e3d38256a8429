#include "ops/cpu.h"

#include <atomic>
#include <cassert>
#include <cstdlib>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace facet {
namespace {

constexpr Isa kAll[] = {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512, Isa::kNeon};

Isa Choose() {
  Isa best = Isa::kGeneric;
  for (Isa isa : kAll) {
    if (IsaSupported(isa)) best = isa;
  }
  const char* wanted = std::getenv("FACET_ISA");
  if (wanted == nullptr) return best;
  for (Isa isa : kAll) {
    if (IsaName(isa) == wanted && IsaSupported(isa)) return isa;
  }
  return best;
}

std::atomic<Isa>& Active() {
  static std::atomic<Isa> active{Choose()};
  return active;
}

}  // namespace

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return "generic";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kNeon:
      return "neon";
  }
  return "?";
}

bool IsaSupported(Isa isa) {
  if (isa == Isa::kGeneric) return true;
#if defined(__x86_64__)
  // Every processor with AVX2 has F16C too; clang 14 cannot ask for it.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == Isa::kAvx2) return avx2;
  if (isa == Isa::kAvx512) {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
  }
#elif defined(__aarch64__)
  constexpr unsigned long kAsimdDotProduct = 1ul << 20;  // HWCAP_ASIMDDP
  if (isa == Isa::kNeon) return (getauxval(AT_HWCAP) & kAsimdDotProduct) != 0;
#endif
  return false;
}

Isa ActiveIsa() {
  return Active().load(std::memory_order_relaxed);
}

void SetActiveIsa(Isa isa) {
  assert(IsaSupported(isa));
  Active().store(isa, std::memory_order_relaxed);
}

}  // namespace facet
