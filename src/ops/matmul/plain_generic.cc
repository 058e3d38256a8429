#include "ops/matmul/plain_kernel.h"
#include "ops/simd/generic.h"

namespace facet {

void PlainProductGeneric(const PlainProduct& p) {
  plain::Product<simd::Generic>(p);
}

}  // namespace facet
