#include "ops/matmul/plain_kernel.h"
#include "ops/simd/neon.h"

namespace facet {

void PlainProductNeon(const PlainProduct& p) {
  plain::Product<simd::Neon>(p);
}

}  // namespace facet
