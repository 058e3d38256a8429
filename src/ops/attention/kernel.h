// Attention of a block of query vectors that share a kv head, written once over the lanes of
// ops/simd. The arithmetic is that of plain.cc, step by step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "ops/attention/attention.h"
#include "ops/quant/quant.h"
#include "ops/simd/math.h"

namespace facet {

// Running softmax of some query vectors.
struct AttentionState {
  float* max;    // (vectors) largest score so far
  float* sum;    // (vectors) of weights relative to it
  float* value;  // (vectors, value_dim) weighted values
};

// Floats from one record of the scratch to the next: a power of two would put all records of a tile
// into a few sets of the cache.
constexpr int RecordStride(int record_dim) {
  return record_dim + 16;
}

// A stretch of positions within one segment, seen by `tokens` rows of one sequence. Query vector t
// * group + g is head g of the group in row t.
struct AttentionTask {
  const KvShape* shape;
  int head, group, tokens;
  const AttentionRow* rows;
  const float* q;  // of row 0, head 0 of the group; (tokens, group, key_dim), rows q_stride apart
  int64_t q_stride;
  int32_t begin, end;
  AttentionState state;
  float* records;  // scratch (kTile, RecordStride(record_dim))
  float* scores;   // scratch (vectors, kTile)
  float* decay;    // scratch (vectors)

  int vectors() const { return tokens * group; }
  const float* query(int v) const { return q + v / group * q_stride + v % group * shape->key_dim; }
};

struct AttentionKernels {
  // Adds the positions of the task to its state, tile by tile. key_dim and value_dim are multiples
  // of 16.
  void (*add)(const AttentionTask& task);
  // total = total and then segment, for `vectors` vectors.
  void (*combine)(const AttentionState& segment, const AttentionState& total, int vectors,
                  int value_dim);
};

extern const AttentionKernels kAttentionGeneric, kAttentionAvx2, kAttentionAvx512, kAttentionNeon;

namespace attention {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

// e^(from - to); 0 for the empty sum.
template <typename V>
float Weight(float from, float to) {
  float lanes[16];
  V::Store(lanes, simd::Exp<V>(V::Set(from - to)));
  return lanes[0];
}

// --- Tiles to float32 ---

inline float HalfAt(const std::byte* p) {
  uint16_t half;
  std::memcpy(&half, p, sizeof(half));
  return HalfToFloat(half);
}

template <typename V>
void ReadHalfs(const std::byte* codes, int n, float* x) {
  for (int i = 0; i < n; i += 16) V::Store(x + i, V::LoadHalfs(codes + 2 * i));
}

template <typename V>
void ReadQ8(const std::byte* codes, const std::byte* scales, int n, float* x) {
  static_assert(kScaleBlock == 16);
  for (int first = 0, all = (n + 15) / 16; first < all; first += 16) {
    const int count = std::min(16, all - first);
    float scale[16];
    if (count == 16) {
      V::Store(scale, V::LoadHalfs(scales + 2 * first));
    } else {
      for (int i = 0; i < count; ++i) scale[i] = HalfAt(scales + 2 * (first + i));
    }
    for (int i = 0; i < count; ++i) {
      const int at = 16 * (first + i);
      V::Store(x + at, V::Mul(V::Set(scale[i]), V::FromInt8(codes + at)));
    }
  }
}

// Records of one key head of a tile in float32: (kTile, record_dim), `stride` floats apart.
struct Records {
  const float* data;
  int stride;
};

// Records of slots [begin, end) of tile `t`, of the task's head; the others are not filled. float32
// ones are used where they lie. Meanwhile the next tile of the task is fetched: tiles lie anywhere,
// so the processor cannot guess it.
template <typename V>
Records ReadTile(const AttentionTask& task, int32_t t, int begin, int end) {
  const KvShape& shape = *task.shape;
  const int n = shape.record_dim();
  const std::byte* const* tiles = task.rows[0].tiles;
  const size_t head_at = task.head * shape.head_bytes(), share = shape.head_bytes() / kTile;
  const std::byte* part = tiles[t] + head_at;
  const std::byte* next = (t + 1) * kTile < task.end ? tiles[t + 1] + head_at : part;
  if (shape.type == CacheType::kF32) {
    return {reinterpret_cast<const float*>(part), n};
  }
  for (int slot = begin; slot < end; ++slot) {
    for (size_t i = 0; i < share; i += 64) __builtin_prefetch(next + slot * share + i, 0, 2);
    float* record = task.records + slot * RecordStride(n);
    if (shape.type == CacheType::kF16) {
      ReadHalfs<V>(part + slot * n * 2, n, record);
    } else {
      ReadQ8<V>(part + slot * n, part + kTile * n + slot * shape.record_scales() * 2, n, record);
    }
  }
  return {task.records, RecordStride(n)};
}

// --- Scores ---

// Scores of vectors [v, v + R) and slots [slot, slot + 16 / R), to task.scores: one chain of 16
// lanes along the elements each. R is 1, 2 or 4, so that 16 sums stay in registers.
template <typename V, int R>
void ScoreBlock(const AttentionTask& task, const Records& records, int v, int slot) {
  constexpr int K = 16 / R;
  const int stride = records.stride, n = task.shape->key_dim;
  const float* q[R];
  for (int r = 0; r < R; ++r) q[r] = task.query(v + r);
  const float* k = records.data + slot * stride;
  typename V::F sums[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) sums[i] = V::Set(0.0f);
  for (int d = 0; d < n; d += 16) {
    typename V::F a[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) a[r] = V::Load(q[r] + d);
#pragma GCC unroll 16
    for (int key = 0; key < K; ++key) {
      const auto b = V::Load(k + key * stride + d);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sums[r * K + key] = V::Fma(a[r], b, sums[r * K + key]);
    }
  }
  float lanes[16];
  V::Store(lanes, V::SumEach(sums));
  for (int r = 0; r < R; ++r) {
    std::copy_n(lanes + r * K, K, task.scores + (v + r) * kTile + slot);
  }
}

// Scores of every vector for the slots [begin, end), rounded out to whole blocks where all of the
// tile can be read.
template <typename V>
void Scores(const AttentionTask& task, const Records& records, int begin, int end) {
  const int n = task.vectors(), fours = n / 4 * 4;
  for (int slot = begin / 4 * 4; slot < end; slot += 4) {
    for (int v = 0; v < fours; v += 4) ScoreBlock<V, 4>(task, records, v, slot);
  }
  int v = fours;
  if (n - v >= 2) {
    for (int slot = begin / 8 * 8; slot < end; slot += 8) ScoreBlock<V, 2>(task, records, v, slot);
    v += 2;
  }
  if (v < n) {
    for (int slot = begin / 16 * 16; slot < end; slot += 16) {
      ScoreBlock<V, 1>(task, records, v, slot);
    }
  }
}

// Scores to weights relative to the new largest score; what the sums so far are worth goes to
// `decay`.
template <typename V>
void Softmax(const AttentionTask& task, int32_t tile_begin) {
  for (int v = 0; v < task.vectors(); ++v) {
    const AttentionRow& row = task.rows[v / task.group];
    float* scores = task.scores + v * kTile;
    const int first = std::clamp(std::max(row.begin, task.begin) - tile_begin, 0, kTile);
    const int last = std::clamp(std::min(row.end, task.end) - tile_begin, 0, kTile);
    std::fill(scores, scores + std::min(first, last), kNothing);
    std::fill(scores + last, scores + kTile, kNothing);
    const auto a = V::Load(scores), b = V::Load(scores + 16);
    float& max = task.state.max[v];
    const float largest = std::max(max, V::MaxLane(V::Max(a, b)));
    task.decay[v] = largest == max ? 1.0f : Weight<V>(max, largest);
    // A row that has seen no position yet: all weights are zero, whatever they are relative to.
    const auto to = V::Set(largest == kNothing ? 0.0f : largest);
    const auto p = simd::Exp<V>(V::Sub(a, to)), r = simd::Exp<V>(V::Sub(b, to));
    V::Store(scores, p);
    V::Store(scores + 16, r);
    const auto sum = V::Set(task.state.sum[v]);
    float lanes[16];
    V::Store(lanes, V::Fma(sum, V::Set(task.decay[v]), V::Set(V::Sum(V::Add(p, r)))));
    task.state.sum[v] = lanes[0];
    max = largest;
  }
}

// --- Values ---

// Adds slots [begin, end) to elements [d, d + 16 * D) of the values (vectors, value_dim) of vectors
// [v, v + R).
template <typename V, int R, int D>
void ValueBlock(const AttentionTask& task, const Records& records, int v, int d, int begin,
                int end) {
  const int dim = task.shape->value_dim;
  const float* x_at = records.data + task.shape->value_offset + d;
  const float* weights = task.scores + v * kTile;
  float* out = task.state.value + v * dim + d;
  typename V::F sums[R][D];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    const auto decay = V::Set(task.decay[v + r]);
#pragma GCC unroll 4
    for (int i = 0; i < D; ++i) sums[r][i] = V::Mul(V::Load(out + r * dim + 16 * i), decay);
  }
  for (int slot = begin; slot < end; ++slot) {
    typename V::F x[D];
#pragma GCC unroll 4
    for (int i = 0; i < D; ++i) x[i] = V::Load(x_at + slot * records.stride + 16 * i);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const auto weight = V::Set(weights[r * kTile + slot]);
#pragma GCC unroll 4
      for (int i = 0; i < D; ++i) sums[r][i] = V::Fma(weight, x[i], sums[r][i]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < D; ++i) V::Store(out + r * dim + 16 * i, sums[r][i]);
  }
}

template <typename V, int D>
void ValueColumns(const AttentionTask& task, const Records& records, int d, int begin, int end) {
  const int n = task.vectors();
  int v = 0;
  for (; v + 4 <= n; v += 4) ValueBlock<V, 4, D>(task, records, v, d, begin, end);
  for (; v + 2 <= n; v += 2) ValueBlock<V, 2, D>(task, records, v, d, begin, end);
  for (; v < n; ++v) ValueBlock<V, 1, D>(task, records, v, d, begin, end);
}

template <typename V>
void Values(const AttentionTask& task, const Records& records, int begin, int end) {
  int d = 0;
  for (; d + 64 <= task.shape->value_dim; d += 64) ValueColumns<V, 4>(task, records, d, begin, end);
  for (; d < task.shape->value_dim; d += 16) ValueColumns<V, 1>(task, records, d, begin, end);
}

template <typename V>
void Add(const AttentionTask& task) {
  for (int32_t tile = task.begin / kTile; tile * kTile < task.end; ++tile) {
    const int32_t base = tile * kTile;
    const int begin = std::max(task.begin - base, 0), end = std::min(task.end - base, kTile);
    const Records records = ReadTile<V>(task, tile, begin, end);
    Scores<V>(task, records, begin, end);
    Softmax<V>(task, base);
    Values<V>(task, records, begin, end);
  }
}

template <typename V>
void Combine(const AttentionState& segment, const AttentionState& total, int vectors,
             int value_dim) {
  for (int v = 0; v < vectors; ++v) {
    const float largest = std::max(total.max[v], segment.max[v]);
    const auto before = V::Set(Weight<V>(total.max[v], largest));
    const auto now = V::Set(Weight<V>(segment.max[v], largest));
    const auto add = [&](float* to, const float* from) {
      V::Store(to, V::Fma(V::Load(to), before, V::Mul(V::Load(from), now)));
    };
    for (int i = 0; i < value_dim; i += 16) {
      add(total.value + v * value_dim + i, segment.value + v * value_dim + i);
    }
    float lanes[16] = {total.sum[v]}, part[16] = {segment.sum[v]};
    add(lanes, part);
    total.sum[v] = lanes[0];
    total.max[v] = largest;
  }
}

template <typename V>
constexpr AttentionKernels kKernels = {Add<V>, Combine<V>};

}  // namespace attention
}  // namespace facet
