// The headers of base/ that are a few lines each.
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/byte_reader.h"
#include "base/math.h"
#include "base/os/os.h"
#include "base/random.h"
#include "base/text.h"

namespace facet {
namespace {

// The published test vector of SplitMix64 for the seed 1234567.
TEST(Random, IsSplitMix64) {
  uint64_t state = 1234567;
  for (const uint64_t expected :
       {6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u}) {
    EXPECT_EQ(SplitMix64(state), expected);
  }
  EXPECT_EQ(MixBits(1234567, 2), 9817491932198370423u);
}

TEST(Text, IsAsciiWhateverTheLocale) {
  EXPECT_EQ(ToLower("Content-TYPE \xc3\x84"), "content-type \xc3\x84");
  EXPECT_EQ(Trim("\t a b \r\n"), "a b");
  EXPECT_EQ(Trim(" \n"), "");
  EXPECT_EQ(Trim("xxaxx", "x"), "a");
  EXPECT_EQ(HexDigit('7') + HexDigit('a') + HexDigit('F'), 7 + 10 + 15);
  EXPECT_EQ(HexDigit('g'), -1);
  EXPECT_EQ(HexByte('f', '0'), 0xf0);
  EXPECT_EQ(HexByte('f', ' '), -1);
}

TEST(Math, RoundsUp) {
  EXPECT_EQ(DivideUp(0, 4), 0);
  EXPECT_EQ(DivideUp(1, 4), 1);
  EXPECT_EQ(AlignUp(size_t{64}, 64), 64u);
  EXPECT_EQ(AlignUp(int64_t{65}, 64), 128);
}

TEST(ByteReader, ReadsNothingBeyondTheEnd) {
  const unsigned char bytes[] = {1, 0, 2, 3, 4};
  ByteReader reader(std::as_bytes(std::span(bytes)));
  uint16_t word = 0;
  ASSERT_TRUE(reader.Read(word));
  EXPECT_EQ(word, 1);
  uint32_t wide = 7;
  EXPECT_FALSE(reader.Read(wide));  // four bytes of three
  EXPECT_EQ(wide, 7u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.position(), 2u);
  EXPECT_FALSE(reader.Skip(UINT64_MAX));
  EXPECT_EQ(reader.Get<uint8_t>(), 2);
  EXPECT_EQ(reader.GetBytes(2).size(), 2u);
  EXPECT_EQ(reader.left(), 0u);
  EXPECT_EQ(reader.Get<int>(), 0);
}

TEST(Os, KnowsTheProcess) {
  EXPECT_TRUE(std::filesystem::exists(ExecutablePath()));
  EXPECT_GE(AvailableCores(), 1);
  EXPECT_GT(PeakMemoryBytes(), int64_t{1} << 20);
  const std::string start = ProcessStartTime(getpid());
  EXPECT_FALSE(start.empty());
  EXPECT_EQ(start, ProcessStartTime(getpid()));
  EXPECT_EQ(ProcessStartTime(-1), "");
}

}  // namespace
}  // namespace facet
