// What the plain and the fast attention share so that their sums have the same order.
#pragma once

#include <cstdint>

#include "ops/attention/attention.h"
#include "ops/simd/generic.h"
#include "ops/simd/math.h"

namespace facet {

// Positions of a segment. Segments lie at absolute positions; each is summed on its own and they
// are combined in order, so that a long row can be shared among threads without changing its
// result.
constexpr int32_t kSegment = 64 * kTile;

// e^(from - to): what a sum relative to the largest score `from` is worth relative to `to`; 0 for
// the empty sum.
inline float Weight(float from, float to) {
  using V = simd::Generic;
  return simd::Exp<V>(V::Set(from - to)).v[0];
}

}  // namespace facet
