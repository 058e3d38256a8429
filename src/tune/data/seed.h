// Random numbers that are functions of a run's seed, the same on every machine.
#pragma once

#include <cstdint>
#include <vector>

namespace facet::tune {

// A seed of its own for each purpose of a run.
uint64_t MixSeed(uint64_t seed, uint64_t purpose);

// Fisher and Yates.
void Shuffle(std::vector<uint32_t>& values, uint64_t seed);

}  // namespace facet::tune
