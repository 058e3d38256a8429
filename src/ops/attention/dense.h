// Attention of training: keys and values of a whole batch lie in matrices, and what each query sees
// is one stretch of rows. Forward and backward.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "base/thread_pool.h"

namespace facet {

// Rows [begin, end) of keys and values.
struct KeyRange {
  int32_t begin = 0, end = 0;
};

struct DenseAttention {
  int heads = 0, kv_heads = 0, head_dim = 0;
  std::span<const KeyRange> ranges;  // by query row; never empty
  ConstMat q;                        // (queries, heads * head_dim), scaled
  ConstMat k, v;                     // (keys, kv_heads * head_dim)
};

// out (queries, heads * head_dim) = softmax(q . k) v; log_sums (queries, heads) is the logarithm of
// each softmax's denominator, for the backward.
void DenseAttentionForward(const DenseAttention& x, Mat out, Mat log_sums, ThreadPool& pool);

// What the forward gave, and the gradient of it.
struct DenseAttentionOut {
  ConstMat out, log_sums, dout;
};
// Stores dq, dk and dv; dk and dv without data: not wanted.
void DenseAttentionBackward(const DenseAttention& x, const DenseAttentionOut& y, Mat dq, Mat dk,
                            Mat dv, ThreadPool& pool);

}  // namespace facet
