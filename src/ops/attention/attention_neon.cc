#include "ops/attention/kernel.h"
#include "ops/simd/neon.h"

namespace facet {

const AttentionKernels kAttentionNeon = attention::kKernels<simd::Neon>;

}  // namespace facet
