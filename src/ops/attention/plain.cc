// Attention in plain loops, row by row and position by position: what kernel.h is compared with, to
// the bit.
#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>
#include <vector>

#include "ops/attention/attention.h"
#include "ops/attention/online_softmax.h"
#include "ops/simd/generic.h"
#include "ops/simd/math.h"

namespace facet {
namespace {

using V = simd::Generic;

// Sixteen lanes along the dimensions, one chain, the tree of V::Sum.
float Dot(const float* a, const float* b, int n) {
  V::F sum = V::Set(0.0f);
  for (int i = 0; i < n; i += 16) {
    V::F x = V::Set(0.0f), y = x;
    const size_t bytes = std::min(16, n - i) * sizeof(float);
    std::memcpy(x.v, a + i, bytes);
    std::memcpy(y.v, b + i, bytes);
    sum = V::Fma(x, y, sum);
  }
  return V::Sum(sum);
}

// The state of one head after a segment: largest score, sum of weights, weighted values.
struct State {
  float max = -std::numeric_limits<float>::infinity(), sum = 0;
  std::vector<float> value;
};

// Adds slots [begin, end) of a tile whose records are `record_dim` floats each.
void AddTile(const KvShape& shape, const float* records, int begin, int end, const float* q,
             State& state) {
  float scores[kTile];
  for (float& s : scores) s = -std::numeric_limits<float>::infinity();
  float largest = state.max;
  for (int slot = begin; slot < end; ++slot) {
    scores[slot] = Dot(q, records + slot * shape.record_dim(), shape.key_dim);
    largest = std::max(largest, scores[slot]);
  }
  const float old = Weight(state.max, largest);
  V::F sum = V::Set(0.0f);
  for (int half = 0; half < kTile; half += 16) {
    const V::F weights = simd::Exp<V>(V::Sub(V::Load(scores + half), V::Set(largest)));
    V::Store(scores + half, weights);
    sum = V::Add(sum, weights);
  }
  state.sum = std::fma(state.sum, old, V::Sum(sum));
  state.max = largest;
  for (int i = 0; i < shape.value_dim; ++i) {
    float value = state.value[i] * old;
    for (int slot = begin; slot < end; ++slot) {
      const float* record = records + slot * shape.record_dim() + shape.value_offset;
      value = std::fma(scores[slot], record[i], value);
    }
    state.value[i] = value;
  }
}

// Adds a finished segment to what came before it.
void Combine(const State& segment, State& total) {
  const float largest = std::max(total.max, segment.max);
  const float before = Weight(total.max, largest), now = Weight(segment.max, largest);
  total.sum = std::fma(total.sum, before, segment.sum * now);
  for (size_t i = 0; i < total.value.size(); ++i) {
    total.value[i] = std::fma(total.value[i], before, segment.value[i] * now);
  }
  total.max = largest;
}

// The records of one kv head of a tile in float32: (kTile, record_dim).
void ReadTile(const KvShape& shape, const std::byte* tile, int head, int begin, int end,
              float* records) {
  KvShape one = shape;
  one.kv_heads = 1;
  for (int slot = begin; slot < end; ++slot) {
    ReadRecord(one, tile + head * shape.head_bytes(), slot, records + slot * shape.record_dim());
  }
}

void AttendRow(const KvShape& shape, int group, const float* q, const AttentionRow& row, int head,
               float* out) {
  std::vector<float> records(kTile * shape.record_dim());
  std::vector<State> totals(group), parts(group);
  for (State& s : totals) s.value.assign(shape.value_dim, 0.0f);
  for (int32_t begin = row.begin; begin < row.end;) {
    const int32_t segment_end = std::min(row.end, (begin / kSegment + 1) * kSegment);
    for (State& s : parts) s = {.value = std::vector<float>(shape.value_dim, 0.0f)};
    while (begin < segment_end) {
      const int32_t tile = begin / kTile, first = begin % kTile;
      const int32_t last = std::min(segment_end - tile * kTile, kTile);
      ReadTile(shape, row.tiles[tile], head, first, last, records.data());
      for (int g = 0; g < group; ++g) {
        AddTile(shape, records.data(), first, last, q + g * shape.key_dim, parts[g]);
      }
      begin = tile * kTile + last;
    }
    for (int g = 0; g < group; ++g) Combine(parts[g], totals[g]);
  }
  for (int g = 0; g < group; ++g) {
    for (int i = 0; i < shape.value_dim; ++i) {
      // Adding zero makes -0 positive: masked positions of the fast kernel do so on the way.
      out[g * shape.value_dim + i] = totals[g].value[i] / totals[g].sum + 0.0f;
    }
  }
}

}  // namespace

void AttentionPlain(const KvShape& shape, int heads, ConstMat q, std::span<const AttentionRow> rows,
                    Mat out, ThreadPool& pool) {
  assert(heads % shape.kv_heads == 0 && q.cols() == heads * shape.key_dim);
  assert(out.cols() == heads * shape.value_dim && q.rows() == static_cast<int64_t>(rows.size()));
  const int group = heads / shape.kv_heads;
  pool.ParallelFor(q.rows() * shape.kv_heads, [&](int64_t i) {
    const int64_t r = i / shape.kv_heads, head = i % shape.kv_heads;
    assert(rows[r].begin < rows[r].end);
    AttendRow(shape, group, q.row(r) + head * group * shape.key_dim, rows[r], head,
              out.row(r) + head * group * shape.value_dim);
  });
}

}  // namespace facet
