#include "ops/matmul/packed_kernel.h"
#include "ops/simd/generic.h"

namespace facet {

const PackedKernels kPackedGeneric = packed::Kernels<simd::Generic>();

}  // namespace facet
