#include "engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace facet {
namespace {

// Remembers what it "computed", so that a hit can be compared with what was asked for.
class FakeState : public SequenceState {
 public:
  explicit FakeState(std::vector<CacheKey> keys, int window = 1 << 30)
      : SequenceState(Pool()), keys_(std::move(keys)), window_(window) {
    lowest_ = std::max(0, length() - window_);
  }
  int length() const override { return static_cast<int>(keys_.size()); }
  std::unique_ptr<SequenceState> Copy() const override {
    return std::make_unique<FakeState>(*this);
  }
  bool CanRewind(int length) const override {
    return length >= lowest_ && length <= this->length();
  }
  Result<void> Rewind(int length) override {
    if (!CanRewind(length)) return Error{"no"};
    keys_.resize(length);
    return Ok();
  }
  void Commit(int) override {}
  const std::vector<CacheKey>& keys() const { return keys_; }

 private:
  static KvPool& Pool() {
    static KvPool pool{CacheLayout()};
    return pool;
  }

  std::vector<CacheKey> keys_;
  int window_, lowest_;
};

std::vector<CacheKey> Range(int begin, int end) {
  std::vector<CacheKey> keys;
  for (int i = begin; i < end; ++i) keys.push_back(i);
  return keys;
}
const auto kAnywhere = [](int) { return true; };

void Put(PrefixCache& cache, const std::vector<CacheKey>& keys, int window = 8,
         const std::string& scope = "a") {
  cache.Insert(scope, keys, FakeState(keys, window), false);
}

TEST(PrefixCache, FindsTheNearestStateBelowTheCommonPrefix) {
  PrefixCache cache;
  const auto path = Range(0, 100);
  for (int length : {16, 32, 64, 100}) Put(cache, std::vector(path.begin(), path.begin() + length));
  auto asked = path;
  asked[70] = 999;
  const auto hit = cache.Find("a", asked, 99, kAnywhere);
  EXPECT_EQ(hit.length, 64);
  ASSERT_NE(hit.state, nullptr);
  EXPECT_EQ(static_cast<FakeState&>(*hit.state).keys(), Range(0, 64));
  EXPECT_EQ(cache.Common("a", asked), 70);
  EXPECT_EQ(cache.Find("b", asked, 99, kAnywhere).length, 0);
  EXPECT_EQ(cache.Find("a", path, 99, kAnywhere).length, 99);  // the state at 100 goes back by one
  EXPECT_EQ(cache.Find("a", path, 50, kAnywhere).length, 32);
  EXPECT_EQ(cache.Find("a", Range(5, 20), 14, kAnywhere).length, 0);
}

TEST(PrefixCache, NeverResumesInsideAPicture) {
  PrefixCache cache;
  const auto path = Range(0, 100);
  for (int length = 10; length <= 100; length += 10)
    Put(cache, std::vector(path.begin(), path.begin() + length));
  const auto hit =
      cache.Find("a", path, 65, [](int length) { return length <= 35 || length >= 80; });
  EXPECT_EQ(hit.length, 35);  // the state at 40 goes back to where the picture begins
}

TEST(PrefixCache, SplitsAndBranches) {
  PrefixCache cache;
  auto one = Range(0, 50), two = Range(0, 30), three = Range(0, 30);
  for (int i = 0; i < 20; ++i) two.push_back(1000 + i), three.push_back(2000 + i);
  Put(cache, Range(0, 20));
  Put(cache, one);
  Put(cache, two);
  Put(cache, three);
  for (const auto& path : {one, two, three}) {
    auto longer = path;
    longer.push_back(7);
    EXPECT_EQ(cache.Find("a", longer, 1000, kAnywhere).length, 50);
  }
  auto other = Range(0, 30);
  other.push_back(5);
  EXPECT_EQ(cache.Find("a", other, 1000, kAnywhere).length, 20);
  EXPECT_TRUE(cache.Contains("a", two));
  EXPECT_FALSE(cache.Contains("a", Range(0, 30)));
}

TEST(PrefixCache, EvictsWhatIsCheapFirstAndTheLargestScopeFirst) {
  PrefixCache cache;
  const auto path = Range(0, 1000);
  Put(cache, path);  // far from everything: dear
  for (int length = 10; length <= 100; length += 10)
    Put(cache, std::vector(path.begin(), path.begin() + length));
  Put(cache, Range(0, 10), 8, "small");
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(cache.EvictOne());
  EXPECT_TRUE(cache.Contains("a", path));
  EXPECT_TRUE(cache.Contains("small", Range(0, 10)));
  EXPECT_EQ(cache.snapshots(), 3u);
  while (cache.EvictOne()) {
  }
  EXPECT_EQ(cache.snapshots(), 0u);
  EXPECT_EQ(cache.Find("a", path, 999, kAnywhere).length, 0);
}

TEST(PrefixCache, ManyScopesOfOneOwnerPushOutTheirOwn) {
  PrefixCache cache;
  const auto path = Range(0, 100);
  for (int length = 10; length <= 100; length += 10)
    Put(cache, std::vector(path.begin(), path.begin() + length), 8, "agent\nadapter\n");
  const auto salted = [](int i) { return "salts\nadapter\n" + std::to_string(i); };
  for (int i = 0; i < 15; ++i) {
    for (int length : {50, 100})
      Put(cache, std::vector(path.begin(), path.begin() + length), 8, salted(i));
  }
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(cache.EvictOne());
  for (int length = 10; length <= 100; length += 10)
    EXPECT_TRUE(cache.Contains("agent\nadapter\n", Range(0, length))) << length;
  int left = 0;
  for (int i = 0; i < 15; ++i) {
    for (int length : {50, 100}) left += cache.Contains(salted(i), Range(0, length));
  }
  EXPECT_EQ(left, 10);
  EXPECT_EQ(cache.Find(salted(99), path, 99, kAnywhere).length, 0);  // scopes still never meet
  while (cache.EvictOne()) {
  }
  EXPECT_EQ(cache.snapshots(), 0u);
}

TEST(PrefixCache, NumberOfSnapshotsIsBounded) {
  PrefixCache cache(50);
  for (int i = 0; i < 500; ++i) Put(cache, Range(i * 1000, i * 1000 + 20));
  EXPECT_LE(cache.snapshots(), 50u);
}

// Against a plain list of everything that was stored.
TEST(PrefixCache, AgreesWithALinearSearch) {
  std::mt19937 random(1);
  PrefixCache cache(1 << 20);
  std::vector<std::vector<CacheKey>> stored;
  for (int round = 0; round < 3000; ++round) {
    std::vector<CacheKey> keys;
    if (!stored.empty() && random() % 4 != 0) {
      keys = stored[random() % stored.size()];
      keys.resize(random() % (keys.size() + 1));
    }
    for (int n = random() % 12; n > 0; --n) keys.push_back(random() % 3);
    if (keys.empty()) continue;
    if (random() % 2 == 0) {
      Put(cache, keys, 0);
      stored.push_back(keys);
    } else {
      const int limit = static_cast<int>(random() % (keys.size() + 1));
      int want = 0;
      for (const auto& s : stored) {
        const int length = static_cast<int>(s.size());
        if (length <= limit && length > want && std::equal(s.begin(), s.end(), keys.begin()))
          want = length;
      }
      const auto hit = cache.Find("a", keys, limit, kAnywhere);
      ASSERT_EQ(hit.length, want);
      if (want > 0) {
        ASSERT_EQ(static_cast<FakeState&>(*hit.state).keys(),
                  std::vector(keys.begin(), keys.begin() + want));
      }
    }
  }
}

}  // namespace
}  // namespace facet
