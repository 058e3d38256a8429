#include "ops/matmul/packed_kernel.h"
#include "ops/simd/avx2.h"

namespace facet {

const PackedKernels kPackedAvx2 = packed::Kernels<simd::Avx2>();

}  // namespace facet
