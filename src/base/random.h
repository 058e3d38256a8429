// SplitMix64 (Steele, Lea, Flood 2014): random numbers that are a function of a seed and a place,
// the same on every machine.
#pragma once

#include <cstdint>

namespace facet {

constexpr uint64_t kSplitMixGamma = 0x9e3779b97f4a7c15ULL;

// SplitMix64's output function: a bijection whose every output bit depends on every input bit.
// Mix64(0) is 0; to hash a counter, use MixBits.
constexpr uint64_t Mix64(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// The next number of the sequence that `state` began as a seed.
constexpr uint64_t SplitMix64(uint64_t& state) {
  return Mix64(state += kSplitMixGamma);
}

// Number `counter` (from 0) of the sequence with the seed `key`, without computing those before it.
constexpr uint64_t MixBits(uint64_t key, uint64_t counter) {
  return Mix64(key + (counter + 1) * kSplitMixGamma);
}

}  // namespace facet
