#include "ops/elementwise/kernels.h"
#include "ops/simd/avx512.h"

namespace facet {

const ElementwiseKernels kElementwiseAvx512 = elementwise::kKernels<simd::Avx512>;

}  // namespace facet
