#include "ops/matmul/packed_kernel.h"
#include "ops/simd/avx512.h"

namespace facet {

const PackedKernels kPackedAvx512 = packed::Kernels<simd::Avx512>();

}  // namespace facet
