#include "model/estimate.h"

#include <gtest/gtest.h>

#include "model/packed_store.h"
#include "support/paths.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

const fs::path kTiny = TestsDir() + "/reference/tiny";

TEST(EstimateDrafter, CountsWhatIsPacked) {
  ThreadPool pool(1);
  for (const char* name : {"checkpoint-assistant", "gguf/assistant-f32.gguf"}) {
    const auto estimate = EstimateDrafter(kTiny / name, 1);
    ASSERT_TRUE(estimate.ok()) << estimate.error().message;
    auto checkpoint = LoadCheckpoint(kTiny / name, std::nullopt);
    ASSERT_TRUE(checkpoint.ok());
    const auto packed = PackedStore::Create(*checkpoint, false, pool);
    ASSERT_TRUE(packed.ok());
    // Each matrix begins a page, and so does the first.
    const size_t pages = AllLinears(checkpoint->weights).size() + 1;
    EXPECT_LE(estimate->weights, (*packed)->bytes() + (size_t{16} << 10)) << name;
    EXPECT_GE(estimate->weights + pages * 4096, (*packed)->bytes()) << name;
  }
}

TEST(EstimateDrafter, EveryConversationHasAStateAndScores) {
  const auto one = EstimateDrafter(kTiny / "checkpoint-assistant", 1);
  const auto four = EstimateDrafter(kTiny / "checkpoint-assistant", 4);
  ASSERT_TRUE(one.ok() && four.ok());
  const auto checkpoint = LoadCheckpoint(kTiny / "checkpoint-assistant", std::nullopt);
  EXPECT_GT(one->state, checkpoint->config.text.vocab * sizeof(float));
  EXPECT_EQ(four->state, 4 * one->state);
  EXPECT_EQ(four->weights, one->weights);
  EXPECT_EQ(four->total(), four->weights + four->state);
}

TEST(EstimateDrafter, RefusesAModelThatIsNone) {
  const auto estimate = EstimateDrafter(kTiny / "checkpoint", 1);
  ASSERT_FALSE(estimate.ok());
  EXPECT_NE(estimate.error().message.find("is not a drafter"), std::string::npos);
  EXPECT_FALSE(EstimateDrafter(kTiny / "nowhere", 1).ok());
}

}  // namespace
}  // namespace facet
