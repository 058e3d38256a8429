#include "ops/matmul/packed_kernel.h"
#include "ops/simd/neon.h"

namespace facet {

const PackedKernels kPackedNeon = packed::Kernels<simd::Neon>();

}  // namespace facet
