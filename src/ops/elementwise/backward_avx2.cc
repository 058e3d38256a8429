#include "ops/elementwise/backward_kernels.h"
#include "ops/simd/avx2.h"

namespace facet {

const BackwardKernels kBackwardAvx2 = elementwise::kBackwardKernels<simd::Avx2>;

}  // namespace facet
