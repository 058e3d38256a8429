// The row codecs, compiled for AVX2.
#define FACET_QUANT_NAMESPACE quant_avx2
#include "ops/quant/quant_rows.h"
