#include "ops/attention/kernel.h"
#include "ops/simd/avx512.h"

namespace facet {

const AttentionKernels kAttentionAvx512 = attention::kKernels<simd::Avx512>;

}  // namespace facet
