#include "model/kv_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <optional>

namespace facet {
namespace {

// Two sliding layers and a full one, window 40.
TextConfig Config() {
  TextConfig config;
  config.window = 40;
  config.value_norm = true;
  config.rope_sliding.rotated_pairs = 8;
  config.rope_full.rotated_pairs = 4;
  config.layers = {{true, 4, 2, 16, false}, {true, 4, 2, 16, false}, {false, 4, 1, 32, true}};
  return config;
}

// Writes positions [length, length + rows) of every layer with values that name them, and commits.
void Fill(KvSequence& sequence, int rows, float mark) {
  ASSERT_TRUE(sequence.Reserve(rows).ok());
  const CacheLayout& layout = sequence.pool().layout();
  for (int p = sequence.length(); p < sequence.length() + rows; ++p) {
    for (int layer = 0; layer < 3; ++layer) {
      const KvShape& shape = layout.layers[layer].shape;
      const std::vector<float> record(shape.kv_heads * shape.record_dim(), mark + p);
      WriteRecord(shape, sequence.WritableTile(layer, p), p % kTile, record.data());
    }
  }
  sequence.Commit(rows);
}

float At(const KvSequence& sequence, int layer, int position) {
  std::vector<const std::byte*> tiles;
  sequence.TilePointers(layer, tiles);
  const KvShape& shape = sequence.pool().layout().layers[layer].shape;
  std::vector<float> record(shape.kv_heads * shape.record_dim());
  ReadRecord(shape, tiles[position / kTile], position % kTile, record.data());
  return record[0];
}

TEST(KvCache, CompactLayersKeepTheRotatedQuarterOfTheKey) {
  const CacheLayout plain = CacheLayout::Create(Config(), CacheType::kF32, false);
  const CacheLayout compact = CacheLayout::Create(Config(), CacheType::kF32, true);
  EXPECT_EQ(plain.layers[2].shape.record_dim(), 64);
  EXPECT_EQ(compact.layers[2].shape.record_dim(), 32 + 8);  // 37.5 % less
  EXPECT_EQ(compact.layers[0].shape.record_dim(), 32);
}

TEST(KvCache, PagesBehindTheWindowAreReleasedAndFullLayersStay) {
  KvPool pool(CacheLayout::Create(Config(), CacheType::kF32, true));
  KvSequence sequence(pool);
  Fill(sequence, 300, 0);
  std::vector<const std::byte*> tiles;
  sequence.TilePointers(0, tiles);
  const int first = (300 - 40 + 1) / kTile;
  for (int t = 0; t < static_cast<int>(tiles.size()); ++t)
    EXPECT_EQ(tiles[t] != nullptr, t >= first) << t;
  sequence.TilePointers(2, tiles);
  for (const std::byte* tile : tiles) EXPECT_NE(tile, nullptr);
  EXPECT_EQ(At(sequence, 2, 5), 5.0f);
  EXPECT_EQ(At(sequence, 0, 299), 299.0f);
  EXPECT_EQ(pool.bytes_in_use(), sequence.bytes());
}

TEST(KvCache, ACopySharesPagesUntilOneOfTheTwoWrites) {
  KvPool pool(CacheLayout::Create(Config(), CacheType::kF32, true));
  KvSequence a(pool);
  Fill(a, 45, 0);
  const size_t before = pool.bytes_in_use();
  KvSequence b = a;
  EXPECT_EQ(pool.bytes_in_use(), before);
  Fill(a, 3, 1000);  // writes into the page of positions 32..63, which b shares
  Fill(b, 3, 2000);
  EXPECT_EQ(At(a, 0, 46), 1046.0f);
  EXPECT_EQ(At(b, 0, 46), 2046.0f);
  EXPECT_EQ(At(a, 1, 44), 44.0f);
  EXPECT_EQ(At(b, 1, 44), 44.0f);
}

TEST(KvCache, RewindingDropsWhatCameLater) {
  KvPool pool(CacheLayout::Create(Config(), CacheType::kF32, true));
  KvSequence sequence(pool);
  Fill(sequence, 70, 0);
  ASSERT_TRUE(sequence.CanRewind(66));
  ASSERT_TRUE(sequence.Rewind(66).ok());
  Fill(sequence, 2, 500);
  EXPECT_EQ(At(sequence, 0, 65), 65.0f);
  EXPECT_EQ(At(sequence, 0, 67), 567.0f);
  Fill(sequence, 200, 0);
  EXPECT_FALSE(sequence.CanRewind(100));
  EXPECT_FALSE(sequence.Rewind(100).ok());
}

TEST(KvCache, ReservedRowsThatAreNotCommittedLeaveNoTrace) {
  KvPool pool(CacheLayout::Create(Config(), CacheType::kF32, true));
  KvSequence sequence(pool);
  Fill(sequence, 60, 0);
  ASSERT_TRUE(sequence.Reserve(8).ok());
  EXPECT_EQ(sequence.length(), 60);
  Fill(sequence, 4, 0);
  for (int p = 30; p < 64; ++p) EXPECT_EQ(At(sequence, 0, p), static_cast<float>(p));
}

TEST(KvCache, TheBudgetIsAnErrorThatNamesItAndPagesComeBack) {
  CacheLayout layout = CacheLayout::Create(Config(), CacheType::kF32, true);
  const size_t page = layout.page_bytes[0] + layout.page_bytes[1];
  KvPool pool(std::move(layout), 3 * page);
  {
    KvSequence sequence(pool);
    Fill(sequence, 3 * kTile, 0);
    const Result<void> more = sequence.Reserve(1);
    // The sliding group has released one page by now; the full one has not.
    ASSERT_FALSE(sequence.Reserve(3 * kTile).ok());
    EXPECT_EQ(sequence.Reserve(3 * kTile).error().kind, ErrorKind::kResource);
    EXPECT_EQ(At(sequence, 2, 90), 90.0f);
    (void)more;
  }
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

TEST(KvCache, TheEstimateEqualsWhatASequenceHolds) {
  for (const int tokens : {1, 31, 40, 200, 1000}) {
    KvPool pool(CacheLayout::Create(Config(), CacheType::kQ8_0, true));
    KvSequence sequence(pool);
    for (int done = 0; done < tokens; done += std::min(16, tokens - done))
      Fill(sequence, std::min(16, tokens - done), 0);
    const auto held = static_cast<double>(sequence.bytes()),
               estimate = static_cast<double>(pool.layout().BytesFor(tokens));
    EXPECT_LE(std::abs(held - estimate), pool.layout().page_bytes[0]) << tokens;
  }
}

TEST(KvCache, TheLongestSequenceFitsOnItsWayThere) {
  const CacheLayout layout = CacheLayout::Create(Config(), CacheType::kF32, true);
  const size_t page = layout.page_bytes[0] + layout.page_bytes[1];
  EXPECT_EQ(layout.TokensIn(0, 5000), 5000);
  EXPECT_EQ(layout.TokensIn(page - 1, 5000), 0);
  EXPECT_EQ(layout.TokensIn(size_t{1} << 30, 5000), 5000);
  for (const size_t bytes : {4 * page, 13 * page, 20 * page, 50 * page}) {
    const int tokens = layout.TokensIn(bytes, 1 << 20);
    ASSERT_GT(tokens, 0);
    EXPECT_LE(layout.PeakBytes(tokens), bytes);
    EXPECT_GT(layout.PeakBytes(tokens + 1), bytes);
    KvPool pool(layout, bytes);
    KvSequence sequence(pool);
    for (int step = 7; step > 0; step = std::min(kStepReserve, tokens - sequence.length())) {
      std::optional<KvSequence> snapshot(sequence);  // shares the page that is written next
      ASSERT_TRUE(sequence.Reserve(step).ok()) << sequence.length() << " of " << tokens;
      snapshot.reset();
      sequence.Commit(step);
    }
    EXPECT_EQ(sequence.length(), tokens);
  }
}

}  // namespace
}  // namespace facet
