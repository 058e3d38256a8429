#include "ops/attention/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "ops/isa_test.h"
#include "ops/random.h"

namespace facet {
namespace {

// A sequence's cache: whole tiles, what was never written is poisoned.
class Cache {
 public:
  Cache(const KvShape& shape, int32_t positions, uint32_t seed) : shape_(shape) {
    const int tiles = (positions + kTile - 1) / kTile;
    bytes_.assign(tiles * shape.tile_bytes(), std::byte{0xff});  // NaN in every type of number
    for (int t = 0; t < tiles; ++t) tiles_.push_back(bytes_.data() + t * shape.tile_bytes());
    records_ = RandomMatrix(positions, shape.kv_heads * shape.record_dim(), 0.5f, seed);
    for (int32_t p = 0; p < positions; ++p) {
      WriteRecord(shape, bytes_.data() + p / kTile * shape.tile_bytes(), p % kTile,
                  records_.view().row(p));
    }
  }
  const std::byte* const* tiles() const { return tiles_.data(); }
  std::vector<const std::byte*>& tile_list() { return tiles_; }
  // What the cache holds at a position: (kv_heads, record_dim).
  std::vector<float> Read(int32_t position) const {
    std::vector<float> record(shape_.kv_heads * shape_.record_dim());
    ReadRecord(shape_, tiles_[position / kTile], position % kTile, record.data());
    return record;
  }
  ConstMat written() const { return records_.view(); }

 private:
  KvShape shape_;
  std::vector<std::byte> bytes_;
  std::vector<const std::byte*> tiles_;
  Buffer records_;
};

constexpr CacheType kTypes[] = {CacheType::kF32, CacheType::kF16, CacheType::kQ8_0};

TEST(Record, ComesBackWithinItsTypesPrecision) {
  for (CacheType type : kTypes) {
    for (int dim : {16, 40, 64}) {
      const KvShape shape{3, dim, dim, dim / 2, type};
      const Cache cache(shape, 70, 1);
      const float tolerance = type == CacheType::kF32 ? 0 : type == CacheType::kF16 ? 1e-3f : 1e-2f;
      for (int32_t p : {0, 31, 32, 69}) {
        const std::vector<float> got = cache.Read(p);
        for (size_t i = 0; i < got.size(); ++i) {
          EXPECT_NEAR(got[i], cache.written()(p, i), tolerance) << p << " " << i;
        }
      }
    }
  }
}

struct Case {
  KvShape shape;
  int heads;
};
std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (CacheType type : kTypes) {
    cases.push_back({{2, 32, 32, 32, type}, 2});     // one head each
    cases.push_back({{1, 64, 64, 64, type}, 3});     // an odd group
    cases.push_back({{2, 256, 256, 256, type}, 4});  // sliding layers
    cases.push_back({{1, 512, 512, 128, type}, 6});  // compact full layers
    cases.push_back({{1, 20, 12, 20, type}, 2});     // no multiple of a lane
    cases.push_back({{1, 48, 80, 48, type}, 5});
  }
  return cases;
}

void ExpectIsSoftmax(const Case& c, const Cache& cache, ConstMat q, const AttentionRow& row,
                     std::span<const float> out) {
  const KvShape& s = c.shape;
  for (int h = 0; h < c.heads; ++h) {
    const int kv = h / (c.heads / s.kv_heads);
    double largest = -1e300, sum = 0;
    std::vector<double> scores, value(s.value_dim);
    for (int32_t p = row.begin; p < row.end; ++p) {
      const std::vector<float> record = cache.Read(p);
      double score = 0;
      for (int i = 0; i < s.key_dim; ++i) {
        score += double{q(0, h * s.key_dim + i)} * record[kv * s.record_dim() + i];
      }
      scores.push_back(score);
      largest = std::max(largest, score);
    }
    for (int32_t p = row.begin; p < row.end; ++p) {
      const std::vector<float> record = cache.Read(p);
      const double weight = std::exp(scores[p - row.begin] - largest);
      sum += weight;
      for (int i = 0; i < s.value_dim; ++i) {
        value[i] += weight * record[kv * s.record_dim() + s.value_offset + i];
      }
    }
    for (int i = 0; i < s.value_dim; ++i) {
      ASSERT_NEAR(out[h * s.value_dim + i], value[i] / sum, 2e-5) << h << " " << i;
    }
  }
}

TEST(AttentionPlain, IsSoftmaxOverTheRange) {
  ThreadPool pool(2);
  for (const Case& c : Cases()) {
    Cache cache(c.shape, 90, 3);
    const std::vector<AttentionRow> rows = {{cache.tiles(), 0, 1},
                                            {cache.tiles(), 0, 90},
                                            {cache.tiles(), 33, 64},
                                            {cache.tiles(), 31, 33}};
    const Buffer q = RandomMatrix(4, c.heads * c.shape.key_dim, 0.5f, 4);
    Buffer out(4, c.heads * c.shape.value_dim);
    AttentionPlain(c.shape, c.heads, q, rows, out, pool);
    for (int r = 0; r < 4; ++r) {
      ExpectIsSoftmax(c, cache, q.view().rows_at(r, 1), rows[r], out.view().row_span(r));
    }
  }
}

TEST(Attention, GivesThePlainBitsForAnyGroupingThreadsAndInstructionSet) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(testing::Message() << c.heads << " heads of " << c.shape.key_dim << " type "
                                    << static_cast<int>(c.shape.type));
    Cache cache(c.shape, 150, 5);
    constexpr int64_t kRows = 21;
    // A prompt's causal rows with a window of 60, then odd ranges.
    std::vector<AttentionRow> rows;
    for (int32_t r = 0; r < 17; ++r)
      rows.push_back({cache.tiles(), std::max(0, r + 40 - 60), r + 41});
    for (auto [begin, end] : {std::pair{149, 150}, {0, 150}, {95, 96}, {64, 97}}) {
      rows.push_back({cache.tiles(), begin, end});
    }
    const Buffer q = RandomMatrix(kRows, c.heads * c.shape.key_dim, 1.0f, 6);
    ThreadPool one(1);
    Buffer want(kRows, c.heads * c.shape.value_dim);
    AttentionPlain(c.shape, c.heads, q, rows, want, one);
    ForEachIsa([&] {
      for (int threads : ThreadCounts()) {
        ThreadPool pool(threads);
        for (int64_t count : {1, 2, 7, 21}) {
          if (threads != 2 && count != 21) continue;  // a loop for each part takes its time
          Buffer out(kRows, want.cols());
          for (int64_t r = 0; r < kRows; r += count) {
            const int64_t n = std::min(count, kRows - r);
            Attention(c.shape, c.heads, q.view().rows_at(r, n), std::span(rows).subspan(r, n),
                      out.view().rows_at(r, n), pool);
          }
          ASSERT_TRUE(SameBits(want, out)) << threads << " " << count;
        }
      }
    });
  }
}

TEST(Attention, LongRowsAreSharedAmongThreadsWithoutChangingABit) {
  const KvShape shape{1, 32, 32, 16, CacheType::kF16};
  Cache cache(shape, 5000, 7);
  const std::vector<AttentionRow> rows = {{cache.tiles(), 0, 5000}, {cache.tiles(), 2040, 4999}};
  const Buffer q = RandomMatrix(2, 2 * 32, 1.0f, 8);
  Buffer want(2, 64), out(2, 64);
  ThreadPool one(1);
  AttentionPlain(shape, 2, q, rows, want, one);
  ForEachIsa([&] {
    for (int threads : {1, 2, 3, 8}) {
      ThreadPool pool(threads);
      Attention(shape, 2, q, rows, out, pool);
      EXPECT_TRUE(SameBits(want, out)) << threads;
    }
  });
}

TEST(Attention, NeverTouchesTilesOutsideTheRange) {
  const KvShape shape{2, 32, 32, 32, CacheType::kQ8_0};
  Cache cache(shape, 200, 9);
  ThreadPool pool(2);
  const Buffer q = RandomMatrix(2, 4 * 32, 1.0f, 10);
  Buffer want(2, 128), out(2, 128);
  const std::vector<AttentionRow> rows = {{cache.tiles(), 64, 100}, {cache.tiles(), 70, 128}};
  Attention(shape, 4, q, rows, want, pool);
  for (int tile : {0, 1, 4, 5, 6}) cache.tile_list()[tile] = nullptr;
  Attention(shape, 4, q, rows, out, pool);
  EXPECT_TRUE(SameBits(want, out));
}

TEST(Attention, RowsOfSeveralSequencesInOneCall) {
  const KvShape shape{1, 32, 32, 32, CacheType::kF32};
  Cache a(shape, 50, 11), b(shape, 40, 12);
  ThreadPool pool(2);
  const Buffer q = RandomMatrix(3, 32, 1.0f, 13);
  Buffer want(3, 32), out(3, 32);
  const std::vector<AttentionRow> rows = {
      {a.tiles(), 0, 50}, {b.tiles(), 0, 39}, {b.tiles(), 0, 40}};
  AttentionPlain(shape, 1, q, rows, want, pool);
  Attention(shape, 1, q, rows, out, pool);
  EXPECT_TRUE(SameBits(want, out));
}

}  // namespace
}  // namespace facet
