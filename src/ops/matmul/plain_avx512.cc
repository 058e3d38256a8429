#include "ops/matmul/plain_kernel.h"
#include "ops/simd/avx512.h"

namespace facet {

void PlainProductAvx512(const PlainProduct& p) {
  plain::Product<simd::Avx512>(p);
}

}  // namespace facet
