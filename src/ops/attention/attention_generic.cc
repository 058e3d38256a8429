#include "ops/attention/kernel.h"
#include "ops/simd/generic.h"

namespace facet {

const AttentionKernels kAttentionGeneric = attention::kKernels<simd::Generic>;

}  // namespace facet
