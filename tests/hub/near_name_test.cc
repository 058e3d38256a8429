#include "hub/near_name.h"

#include <gtest/gtest.h>

#include <vector>

namespace facet {
namespace {

TEST(NearName, FindsWhatWasMeant) {
  const std::vector<std::string> known = {"gemma4-12b", "gemma4-12b-q4", "gemma3-270m", "pebble"};
  EXPECT_EQ(NearestName("gemma4-12", known), "gemma4-12b");
  EXPECT_EQ(NearestName("Gemma-4-12B", known), "gemma4-12b");
  EXPECT_EQ(NearestName("gemma4-12b-q8", known), "gemma4-12b-q4");
  EXPECT_EQ(NearestName("peble", known), "pebble");
  EXPECT_EQ(NearestName("Hello", known), std::nullopt);
  EXPECT_EQ(NearestName("", known), std::nullopt);
  EXPECT_EQ(NearestName("llama", known), std::nullopt);
  EXPECT_EQ(NearestName("peble", {}), std::nullopt);
}

}  // namespace
}  // namespace facet
