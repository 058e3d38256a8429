#include "ops/cpu.h"
#include "support/paths.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

namespace facet {
namespace {

CpuFeatures All(Isa isa) {
  CpuFeatures out = 0;
  for (const CpuFeature& feature : FeaturesOf(isa)) out |= feature.bit;
  return out;
}

TEST(Cpu, ASetNeedsEachOfItsFeatures) {
  EXPECT_TRUE(Runs(Isa::kGeneric, 0));
  for (const Isa isa : kAllIsas) {
    EXPECT_TRUE(Runs(isa, All(isa))) << IsaName(isa);
    for (const CpuFeature& missing : FeaturesOf(isa))
      EXPECT_FALSE(Runs(isa, ~missing.bit)) << IsaName(isa) << " without " << missing.name;
  }
}

TEST(Cpu, TakesTheBestThatRuns) {
  EXPECT_EQ(ChooseIsa(0, ""), Isa::kGeneric);
  EXPECT_EQ(ChooseIsa(All(Isa::kAvx2), ""), Isa::kAvx2);
  EXPECT_EQ(ChooseIsa(All(Isa::kAvx512), ""), Isa::kAvx512);
  EXPECT_EQ(ChooseIsa(All(Isa::kNeon), ""), Isa::kNeon);
  EXPECT_EQ(ChooseIsa(All(Isa::kI8mm), ""), Isa::kI8mm);
  // Skylake-X: AVX-512 without VNNI.
  for (const CpuFeature& feature : FeaturesOf(Isa::kAvx512)) {
    if (feature.name == "avx512vnni") {
      EXPECT_EQ(ChooseIsa(All(Isa::kAvx512) & ~feature.bit, ""), Isa::kAvx2);
    }
  }
}

TEST(Cpu, TakesTheOneThatIsWantedWhereItRuns) {
  EXPECT_EQ(ChooseIsa(All(Isa::kAvx512), "avx2"), Isa::kAvx2);
  EXPECT_EQ(ChooseIsa(All(Isa::kAvx512), "generic"), Isa::kGeneric);
  EXPECT_EQ(ChooseIsa(All(Isa::kAvx2), "avx512"), Isa::kAvx2);
  EXPECT_EQ(ChooseIsa(All(Isa::kAvx2), "fast"), Isa::kAvx2);
  EXPECT_EQ(ChooseIsa(All(Isa::kI8mm), "neon"), Isa::kNeon);
}

// Where the tests run on an emulated processor, what that one has is known.
TEST(Cpu, ChoosesWhatTheProcessorIsKnownToHave) {
  const char* known = std::getenv("FACET_KNOWN_ISA");
  if (known == nullptr) GTEST_SKIP() << "FACET_KNOWN_ISA is not set";
  EXPECT_EQ(IsaName(ChooseIsa(FeaturesHere(), "")), known);
}

TEST(Cpu, RunsWhatItChooses) {
  EXPECT_TRUE(Runs(ActiveIsa(), FeaturesHere()));
  EXPECT_TRUE(IsaSupported(ActiveIsa()));
}

// The features that the build compiles a set's units for, from its compiler options.
std::set<std::string> Compiled(Isa isa) {
  std::ifstream file(TestsDir() + "/../cmake/isa.cmake");
  std::set<std::string> out;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.find("MATCHES") != std::string::npos)
      inside = line.find("\"_" + std::string(IsaName(isa)) + "\\\\.cc$\"") != std::string::npos;
    if (!inside || line.find("\"-m") == std::string::npos) continue;
    const size_t begin = line.find("\"-m") + 1;
    std::istringstream options(line.substr(begin, line.find('"', begin) - begin));
    for (std::string option; std::getline(options, option, ';');) {
      if (!option.starts_with("-m") || option.starts_with("-mprefer")) continue;
      std::istringstream names(option.substr(option.starts_with("-march=") ? 7 : 2));
      for (std::string name; std::getline(names, name, '+');) out.insert(name);
    }
  }
  return out;
}

TEST(Cpu, AsksForAllThatTheUnitsAreCompiledFor) {
  for (const Isa isa : kAllIsas) {
    std::set<std::string> asked;
    for (const CpuFeature& feature : FeaturesOf(isa)) asked.emplace(feature.name);
    EXPECT_EQ(asked, Compiled(isa)) << IsaName(isa);
  }
}

}  // namespace
}  // namespace facet
