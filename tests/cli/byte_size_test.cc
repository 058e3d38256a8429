#include "cli/options/byte_size.h"

#include <gtest/gtest.h>

namespace facet::cli {
namespace {

TEST(ByteSize, CountsInThousandsAndIn1024s) {
  const auto bytes = [](const char* text) {
    const auto size = ParseByteSize(text);
    EXPECT_TRUE(size.ok()) << text;
    return size.ok() ? *size : 0;
  };
  EXPECT_EQ(bytes("12345"), 12345u);
  EXPECT_EQ(bytes("18446744073709551615"), 18446744073709551615u);
  EXPECT_EQ(bytes("7 b"), 7u);
  EXPECT_EQ(bytes("12GB"), 12'000'000'000u);
  EXPECT_EQ(bytes("12g"), 12'000'000'000u);
  EXPECT_EQ(bytes("12GiB"), uint64_t{12} << 30);
  EXPECT_EQ(bytes("2.5GB"), 2'500'000'000u);
  EXPECT_EQ(bytes("0.5 ki"), 512u);
  EXPECT_EQ(bytes(".5k"), 500u);
}

TEST(ByteSize, RefusesWhatIsNone) {
  for (const char* text : {"", "GB", "-1", "+1", "1e3", "1.2.3", "1 2", "12x", "12kbb", "0x10",
                           "18446744073709551616", "99EB", "inf", ".", "1 GB x"}) {
    EXPECT_FALSE(ParseByteSize(text).ok()) << text;
  }
}

}  // namespace
}  // namespace facet::cli
