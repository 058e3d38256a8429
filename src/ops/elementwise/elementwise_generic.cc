#include "ops/elementwise/kernels.h"
#include "ops/simd/generic.h"

namespace facet {

const ElementwiseKernels kElementwiseGeneric = elementwise::kKernels<simd::Generic>;

}  // namespace facet
