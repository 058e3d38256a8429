#include "ops/cpu.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include "base/os/os.h"
#endif

namespace facet {
namespace {

constexpr CpuFeature kAvx2{"avx2", 1 << 0}, kFma{"fma", 1 << 1}, kF16c{"f16c", 1 << 2},
    kAvx512F{"avx512f", 1 << 3}, kAvx512Bw{"avx512bw", 1 << 4}, kAvx512Vl{"avx512vl", 1 << 5},
    kAvx512Dq{"avx512dq", 1 << 6}, kAvx512Vnni{"avx512vnni", 1 << 7};
// armv8.2-a is crc, atomics (lse) and rdm.
constexpr CpuFeature kArmV82{"armv8.2-a", 1 << 8}, kDotProduct{"dotprod", 1 << 9},
    kI8mm{"i8mm", 1 << 10};

constexpr CpuFeature kAvx2Set[] = {kAvx2, kFma, kF16c};
constexpr CpuFeature kAvx512Set[] = {kAvx2,     kFma,      kF16c,     kAvx512F,
                                     kAvx512Bw, kAvx512Vl, kAvx512Dq, kAvx512Vnni};
constexpr CpuFeature kNeonSet[] = {kArmV82, kDotProduct};
constexpr CpuFeature kI8mmSet[] = {kArmV82, kDotProduct, kI8mm};

std::atomic<Isa>& Active() {
  static std::atomic<Isa> active{[] {
    const char* wanted = std::getenv("FACET_ISA");
    return ChooseIsa(FeaturesHere(), wanted == nullptr ? "" : wanted);
  }()};
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
    case Isa::kI8mm:
      return "i8mm";
  }
  return "?";
}

std::span<const CpuFeature> FeaturesOf(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      break;
    case Isa::kAvx2:
      return kAvx2Set;
    case Isa::kAvx512:
      return kAvx512Set;
    case Isa::kNeon:
      return kNeonSet;
    case Isa::kI8mm:
      return kI8mmSet;
  }
  return {};
}

bool Runs(Isa isa, CpuFeatures features) {
  const auto wanted = FeaturesOf(isa);
  return std::all_of(wanted.begin(), wanted.end(),
                     [&](const CpuFeature& f) { return (features & f.bit) != 0; });
}

CpuFeatures FeaturesHere() {
  CpuFeatures found = 0;
  const auto add = [&](const CpuFeature& feature, bool there) { found |= there ? feature.bit : 0; };
#if defined(__x86_64__)
  // These ask the operating system too, whether it keeps the wide registers.
  add(kAvx2, __builtin_cpu_supports("avx2"));
  add(kFma, __builtin_cpu_supports("fma"));
  add(kAvx512F, __builtin_cpu_supports("avx512f"));
  add(kAvx512Bw, __builtin_cpu_supports("avx512bw"));
  add(kAvx512Vl, __builtin_cpu_supports("avx512vl"));
  add(kAvx512Dq, __builtin_cpu_supports("avx512dq"));
  add(kAvx512Vnni, __builtin_cpu_supports("avx512vnni"));
  // Clang 14 cannot be asked for F16C by name. It uses the registers of AVX.
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  add(kF16c, f16c && __builtin_cpu_supports("avx"));
#elif defined(__aarch64__)
  const ArmFeatures arm = FindArmFeatures();
  add(kArmV82, arm.crc32 && arm.atomics && arm.rdm);
  add(kDotProduct, arm.dot_product);
  add(kI8mm, arm.int8_matrix_product);
#else
  (void)add;
#endif
  return found;
}

bool IsaSupported(Isa isa) {
  return Runs(isa, FeaturesHere());
}

Isa ChooseIsa(CpuFeatures features, std::string_view wanted) {
  Isa best = Isa::kGeneric;
  for (const Isa isa : kAllIsas) {
    if (!Runs(isa, features)) continue;
    if (IsaName(isa) == wanted) return isa;
    best = isa;
  }
  return best;
}

Isa ActiveIsa() {
  return Active().load(std::memory_order_relaxed);
}

void SetActiveIsa(Isa isa) {
  assert(IsaSupported(isa));
  Active().store(isa, std::memory_order_relaxed);
}

}  // namespace facet
