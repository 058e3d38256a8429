#include "ops/elementwise/kernels.h"
#include "ops/simd/avx2.h"

namespace facet {

const ElementwiseKernels kElementwiseAvx2 = elementwise::kKernels<simd::Avx2>;

}  // namespace facet
