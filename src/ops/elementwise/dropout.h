// Dropout whose choices follow from a key and an element's place alone, so that a recomputed layer
// and a resumed run drop the same elements.
#pragma once

#include <cstdint>

#include "base/matrix.h"
#include "base/thread_pool.h"

namespace facet {

struct DropoutMask {
  uint64_t key = 0;
  // In [0, 1): share of elements that become 0; the others grow by 1 / (1 - rate).
  float rate = 0;
};

// y (rows, cols) = x with the mask's elements dropped; its own gradient is the same call on dy. x
// and y may be the same.
void Dropout(const DropoutMask& mask, ConstMat x, Mat y, ThreadPool& pool);

}  // namespace facet
