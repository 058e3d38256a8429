#include "ops/elementwise/backward_kernels.h"
#include "ops/simd/avx512.h"

namespace facet {

const BackwardKernels kBackwardAvx512 = elementwise::kBackwardKernels<simd::Avx512>;

}  // namespace facet
