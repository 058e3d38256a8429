#include "ops/attention/dense.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/math.h"
#include "ops/dispatch.h"
#include "ops/elementwise/backward_kernels.h"
#include "ops/gemm/gemm.h"

namespace facet {
namespace {

// Queries and keys of a block. A block is one product on one thread; sums over blocks run in order,
// so that a result does not depend on the number of threads.
constexpr int64_t kQueries = 64, kKeys = 128;

const BackwardKernels& Kernels() {
  return FACET_DISPATCH(kBackward);
}

// Neighbouring queries and the keys that any of them sees.
struct QueryBlock {
  int64_t begin, count;
  KeyRange keys;
  int64_t key_count() const { return keys.end - keys.begin; }
};

std::vector<QueryBlock> MakeBlocks(std::span<const KeyRange> ranges) {
  std::vector<QueryBlock> blocks;
  const int64_t rows = static_cast<int64_t>(ranges.size());
  for (int64_t begin = 0; begin < rows; begin += kQueries) {
    QueryBlock block{begin, std::min(kQueries, rows - begin), ranges[begin]};
    for (const KeyRange& range : ranges.subspan(begin, block.count)) {
      assert(range.begin < range.end);
      block.keys = {std::min(block.keys.begin, range.begin), std::max(block.keys.end, range.end)};
    }
    blocks.push_back(block);
  }
  return blocks;
}

// One head's columns.
ConstMat Head(ConstMat x, int64_t head, int64_t dim) {
  return x.cols_at(head * dim, dim);
}
Mat Head(Mat x, int64_t head, int64_t dim) {
  return x.cols_at(head * dim, dim);
}

// A matrix of the calling thread; `slot` tells several apart.
Mat Scratch(int slot, int64_t rows, int64_t cols) {
  thread_local Buffer buffers[4];
  return buffers[slot].Resize(rows, cols);
}

// Scores of queries against keys [keys.begin, keys.end) as e^(score - log_sum), zero where a query
// does not see the key.
void Probabilities(const DenseAttention& x, const QueryBlock& block, int64_t head, KeyRange keys,
                   ConstMat log_sums, Mat p) {
  const int64_t kv = head / (x.heads / x.kv_heads);
  GemmHere(Plain(Head(x.q, head, x.head_dim).rows_at(block.begin, block.count)),
           Transposed(Head(x.k, kv, x.head_dim).rows_at(keys.begin, keys.end - keys.begin)), p,
           Sum::kStore);
  for (int64_t r = 0; r < block.count; ++r) {
    const KeyRange& seen = x.ranges[block.begin + r];
    const int64_t begin = std::clamp(seen.begin, keys.begin, keys.end) - keys.begin;
    const int64_t end = std::clamp(seen.end, keys.begin, keys.end) - keys.begin;
    float* row = p.row(r);
    std::fill(row, row + begin, 0.0f);
    Kernels().exp_scaled(row + begin, end - begin, log_sums(block.begin + r, head), 1.0f);
    std::fill(row + std::max(begin, end), row + p.cols(), 0.0f);
  }
}

void ForwardBlock(const DenseAttention& x, const QueryBlock& block, int64_t head, Mat out,
                  Mat log_sums) {
  const int64_t kv = head / (x.heads / x.kv_heads);
  const ConstMat keys = Head(x.k, kv, x.head_dim).rows_at(block.keys.begin, block.key_count());
  const ConstMat values = Head(x.v, kv, x.head_dim).rows_at(block.keys.begin, block.key_count());
  Mat p = Scratch(0, block.count, block.key_count());
  GemmHere(Plain(Head(x.q, head, x.head_dim).rows_at(block.begin, block.count)), Transposed(keys),
           p, Sum::kStore);
  for (int64_t r = 0; r < block.count; ++r) {
    const KeyRange& seen = x.ranges[block.begin + r];
    const int64_t begin = seen.begin - block.keys.begin, end = seen.end - block.keys.begin;
    float* row = p.row(r);
    float max = 0;
    const double sum = Kernels().exp_sum(row + begin, end - begin, &max);
    const float log_sum = static_cast<float>(max + std::log(sum));
    log_sums(block.begin + r, head) = log_sum;
    std::fill(row, row + begin, 0.0f);
    Kernels().exp_scaled(row + begin, end - begin, log_sum, 1.0f);
    std::fill(row + end, row + p.cols(), 0.0f);
  }
  GemmHere(Plain(p), Plain(values), Head(out, head, x.head_dim).rows_at(block.begin, block.count),
           Sum::kStore);
}

// p becomes the gradient of the scores: p (dout . v - delta), delta being dout . out of the query.
void ScoreGradient(const DenseAttention& x, const DenseAttentionOut& y, const QueryBlock& block,
                   int64_t head, KeyRange keys, ConstMat delta, Mat p) {
  const int64_t kv = head / (x.heads / x.kv_heads);
  Mat dp = Scratch(1, p.rows(), p.cols());
  GemmHere(Plain(Head(y.dout, head, x.head_dim).rows_at(block.begin, block.count)),
           Transposed(Head(x.v, kv, x.head_dim).rows_at(keys.begin, keys.end - keys.begin)), dp,
           Sum::kStore);
  for (int64_t r = 0; r < p.rows(); ++r) {
    const float d = delta(block.begin + r, head);
    float *to = p.row(r), *from = dp.row(r);
    for (int64_t i = 0; i < p.cols(); ++i) to[i] *= from[i] - d;
  }
}

// dq of a block of queries: one pass over all their keys.
void QueryGradient(const DenseAttention& x, const DenseAttentionOut& y, const QueryBlock& block,
                   int64_t head, ConstMat delta, Mat dq) {
  const int64_t kv = head / (x.heads / x.kv_heads);
  Mat p = Scratch(0, block.count, block.key_count());
  Probabilities(x, block, head, block.keys, y.log_sums, p);
  ScoreGradient(x, y, block, head, block.keys, delta, p);
  GemmHere(Plain(p), Plain(Head(x.k, kv, x.head_dim).rows_at(block.keys.begin, block.key_count())),
           Head(dq, head, x.head_dim).rows_at(block.begin, block.count), Sum::kStore);
}

// dk and dv of a block of keys: over the queries that see any of them, head after head.
void KeyGradient(const DenseAttention& x, const DenseAttentionOut& y,
                 std::span<const QueryBlock> blocks, KeyRange keys, int64_t kv, ConstMat delta,
                 Mat dk, Mat dv) {
  const int64_t group = x.heads / x.kv_heads, count = keys.end - keys.begin;
  Mat dkeys = Head(dk, kv, x.head_dim).rows_at(keys.begin, count);
  Mat dvalues = Head(dv, kv, x.head_dim).rows_at(keys.begin, count);
  for (int64_t r = 0; r < count; ++r) {
    std::fill_n(dkeys.row(r), x.head_dim, 0.0f);
    std::fill_n(dvalues.row(r), x.head_dim, 0.0f);
  }
  for (const QueryBlock& block : blocks) {
    if (block.keys.begin >= keys.end || block.keys.end <= keys.begin) continue;
    for (int64_t head = kv * group; head < (kv + 1) * group; ++head) {
      Mat p = Scratch(0, block.count, count);
      Probabilities(x, block, head, keys, y.log_sums, p);
      GemmHere(Transposed(p),
               Plain(Head(y.dout, head, x.head_dim).rows_at(block.begin, block.count)), dvalues,
               Sum::kAdd);
      ScoreGradient(x, y, block, head, keys, delta, p);
      GemmHere(Transposed(p), Plain(Head(x.q, head, x.head_dim).rows_at(block.begin, block.count)),
               dkeys, Sum::kAdd);
    }
  }
}

}  // namespace

void DenseAttentionForward(const DenseAttention& x, Mat out, Mat log_sums, ThreadPool& pool) {
  assert(x.q.rows() == static_cast<int64_t>(x.ranges.size()) && x.heads % x.kv_heads == 0);
  const std::vector<QueryBlock> blocks = MakeBlocks(x.ranges);
  pool.ParallelFor(static_cast<int64_t>(blocks.size()) * x.heads, [&](int64_t i) {
    ForwardBlock(x, blocks[i / x.heads], i % x.heads, out, log_sums);
  });
}

void DenseAttentionBackward(const DenseAttention& x, const DenseAttentionOut& y, Mat dq, Mat dk,
                            Mat dv, ThreadPool& pool) {
  const std::vector<QueryBlock> blocks = MakeBlocks(x.ranges);
  Buffer sums(x.q.rows(), x.heads);
  Mat delta = sums;
  pool.ParallelFor(x.q.rows(), [&](int64_t r) {
    for (int64_t head = 0; head < x.heads; ++head) {
      const float *a = y.out.row(r) + head * x.head_dim, *b = y.dout.row(r) + head * x.head_dim;
      double sum = 0;
      for (int64_t i = 0; i < x.head_dim; ++i) sum += double{a[i]} * b[i];
      delta(r, head) = static_cast<float>(sum);
    }
  });
  pool.ParallelFor(static_cast<int64_t>(blocks.size()) * x.heads, [&](int64_t i) {
    QueryGradient(x, y, blocks[i / x.heads], i % x.heads, delta, dq);
  });
  if (dk.data() == nullptr) return;
  const int64_t keys = x.k.rows(), key_blocks = DivideUp(keys, kKeys);
  pool.ParallelFor(key_blocks * x.kv_heads, [&](int64_t i) {
    const int64_t begin = i / x.kv_heads * kKeys;
    const KeyRange range{static_cast<int32_t>(begin),
                         static_cast<int32_t>(std::min(keys, begin + kKeys))};
    KeyGradient(x, y, blocks, range, i % x.kv_heads, delta, dk, dv);
  });
}

}  // namespace facet
