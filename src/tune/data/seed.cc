#include "tune/data/seed.h"

#include <cstddef>
#include <utility>

#include "base/random.h"

namespace facet::tune {

uint64_t MixSeed(uint64_t seed, uint64_t purpose) {
  uint64_t state = seed ^ (purpose * 0xd1342543de82ef95ULL);
  return SplitMix64(state);
}

void Shuffle(std::vector<uint32_t>& values, uint64_t seed) {
  uint64_t state = seed;
  for (size_t left = values.size(); left > 1; --left) {
    // The bias of % is below 2^-32 here.
    std::swap(values[left - 1], values[SplitMix64(state) % left]);
  }
}

}  // namespace facet::tune
