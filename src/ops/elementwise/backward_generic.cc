#include "ops/elementwise/backward_kernels.h"
#include "ops/simd/generic.h"

namespace facet {

const BackwardKernels kBackwardGeneric = elementwise::kBackwardKernels<simd::Generic>;

}  // namespace facet
