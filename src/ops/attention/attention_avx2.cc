#include "ops/attention/kernel.h"
#include "ops/simd/avx2.h"

namespace facet {

const AttentionKernels kAttentionAvx2 = attention::kKernels<simd::Avx2>;

}  // namespace facet
