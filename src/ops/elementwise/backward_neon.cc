#include "ops/elementwise/backward_kernels.h"
#include "ops/simd/neon.h"

namespace facet {

const BackwardKernels kBackwardNeon = elementwise::kBackwardKernels<simd::Neon>;

}  // namespace facet
