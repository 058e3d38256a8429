#include "ops/elementwise/kernels.h"
#include "ops/simd/neon.h"

namespace facet {

const ElementwiseKernels kElementwiseNeon = elementwise::kKernels<simd::Neon>;

}  // namespace facet
