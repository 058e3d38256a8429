#include "engine/fair_queue.h"

#include <gtest/gtest.h>

namespace facet {
namespace {

class FairQueueTest : public testing::Test {
 protected:
  std::unique_ptr<Sequence> Make(const std::string& tenant) {
    GenerationRequest request;
    request.prompt = std::make_shared<Prompt>();
    request.tenant = tenant;
    auto sequence = std::make_unique<Sequence>(std::move(request), nullptr);
    sequence->id = ++last_id_;
    return sequence;
  }
  void Push(const std::string& tenant) { queue_.Push(Make(tenant), running_); }
  // The id of the next one; 0: none.
  uint64_t Next() {
    const auto next = queue_.Next([](const Sequence&) { return true; });
    return next == nullptr ? 0 : next->id;
  }

  FairQueue queue_;
  Sequences running_;
  uint64_t last_id_ = 0;
};

TEST_F(FairQueueTest, OneTenantIsServedInTheOrderOfArrival) {
  for (int i = 0; i < 3; ++i) Push("a");
  EXPECT_EQ(queue_.size(), 3u);
  EXPECT_EQ(Next(), 1u);
  EXPECT_EQ(Next(), 2u);
  EXPECT_EQ(Next(), 3u);
  EXPECT_EQ(Next(), 0u);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(FairQueueTest, TheTenantWithFewestTokensComesFirst) {
  for (const char* tenant : {"a", "b", "a", "b"}) Push(tenant);
  queue_.Served("a", 100);
  queue_.Served("b", 10);
  EXPECT_EQ(Next(), 2u);
  queue_.Served("b", 200);
  EXPECT_EQ(Next(), 1u);
  queue_.Served("a", 300);
  EXPECT_EQ(Next(), 4u);
  EXPECT_EQ(Next(), 3u);
}

// Whoever had nothing until now has no right to catch up with what others had.
TEST_F(FairQueueTest, ANewcomerStartsAtTheCurrentLevel) {
  Push("old");
  EXPECT_EQ(Next(), 1u);
  queue_.Served("old", 1000);
  Push("old");
  EXPECT_EQ(Next(), 2u);  // admitted with 1000 tokens: that is the level now
  Push("old");
  Push("new");
  queue_.Served("new", 10);
  EXPECT_EQ(Next(), 3u);
  EXPECT_EQ(Next(), 4u);
}

TEST_F(FairQueueTest, WhatMayNotStartIsPassedOver) {
  for (const char* tenant : {"a", "a", "b"}) Push(tenant);
  queue_.Served("b", 5);
  const auto next = queue_.Next([](const Sequence& s) { return s.id != 1; });
  ASSERT_NE(next, nullptr);
  EXPECT_EQ(next->id, 2u);
  EXPECT_EQ(queue_.Next([](const Sequence&) { return false; }), nullptr);
  EXPECT_EQ(queue_.size(), 2u);
}

TEST_F(FairQueueTest, WhatWasPreemptedComesBackFirst) {
  Push("a");
  Push("a");
  queue_.PutBack(Make("a"));
  EXPECT_EQ(Next(), 3u);
  EXPECT_EQ(Next(), 1u);
}

TEST_F(FairQueueTest, WhatIsDoneIsErased) {
  Push("a");
  Push("a");
  (*queue_.begin())->done = true;
  queue_.EraseDone();
  EXPECT_EQ(queue_.size(), 1u);
  EXPECT_EQ(Next(), 2u);
}

// More tenants than are remembered: the level still holds for those that were forgotten.
TEST_F(FairQueueTest, ForgottenTenantsGainNothing) {
  Push("busy");
  EXPECT_EQ(Next(), 1u);
  queue_.Served("busy", 1000);
  Push("busy");
  EXPECT_EQ(Next(), 2u);
  for (int i = 0; i < 5000; ++i) {
    Push("tenant" + std::to_string(i));
    EXPECT_NE(Next(), 0u);
  }
  Push("busy");
  Push("tenant0");
  queue_.Served("tenant0", 1);
  EXPECT_EQ(Next(), 5003u);
}

}  // namespace
}  // namespace facet
