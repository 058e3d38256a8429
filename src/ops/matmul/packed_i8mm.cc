#include "ops/matmul/packed_kernel.h"
#include "ops/simd/i8mm.h"

namespace facet {

const PackedKernels kPackedI8mm = packed::Kernels<simd::I8mm>();

}  // namespace facet
