#include "ops/matmul/plain_kernel.h"
#include "ops/simd/avx2.h"

namespace facet {

void PlainProductAvx2(const PlainProduct& p) {
  plain::Product<simd::Avx2>(p);
}

}  // namespace facet
