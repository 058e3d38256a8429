// TensorBoard's files: bytes that its own writer would give, and its own reader where it is there.
#include "tune/run/events.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/mapped_file.h"
#include "support/temp_folder.h"

namespace facet::tune {
namespace {

std::string Hex(const std::string& bytes) {
  std::string out;
  char text[3];
  for (const char c : bytes) {
    std::snprintf(text, sizeof(text), "%02x", static_cast<uint8_t>(c));
    out += text;
  }
  return out;
}

TEST(Events, ChecksumIsCastagnolis) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);  // RFC 3720, B.4
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
}

TEST(Events, MessagesAreProtobuf) {
  // wall_time 1.5 | file_version
  EXPECT_EQ(Hex(VersionEvent(1.5)), "09000000000000f83f1a0d" + Hex("brain.Event:2"));
  // wall_time | step 300 | summary { value { tag "a/b", simple_value 0.5 } }
  EXPECT_EQ(Hex(ScalarEvent(1.5, 300, "a/b", 0.5f)),
            "09000000000000f83f10ac022a0c0a0a0a03" + Hex("a/b") + "150000003f");
}

TEST(Events, RecordsAreFramed) {
  const std::string record = TfRecord("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(Hex(record.substr(0, 8)), "0300000000000000");
  EXPECT_EQ(record.substr(12, 3), "abc");
  EXPECT_EQ(Hex(record.substr(8, 4)), "b099490e");
  EXPECT_EQ(Hex(record.substr(15, 4)), "6e57f121");
}

// Reads the folder as TensorBoard does. Skipped where Python lacks it (FACET_PYTHON names one that
// has it).
TEST(Events, TensorBoardReadsThem) {
  const char* set = std::getenv("FACET_PYTHON");
  const std::string python = set == nullptr ? "python3" : set;
  if (std::system((python + " -c 'import tensorboard' 2> /dev/null").c_str()) != 0)
    GTEST_SKIP() << "no tensorboard";
  TempFolder folder;
  {
    const auto first = EventWriter::Create(folder.path(), 0);
    ASSERT_TRUE(first.ok());
    for (int step = 1; step <= 5; ++step)
      ASSERT_TRUE((*first)->Add(step, "train/loss", 10.0 / step).ok());
    ASSERT_TRUE((*first)->Add(5, "eval/loss", 0.25).ok());
    ASSERT_TRUE((*first)->Flush().ok());
    // Gone on with from step 3: what the first file says of 4 and 5 is void.
    const auto second = EventWriter::Create(folder.path(), 4);
    ASSERT_TRUE((*second)->Add(4, "train/loss", 1).ok());
    ASSERT_TRUE((*second)->Flush().ok());
  }
  std::ofstream(folder.path() / "read.py") << R"(
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
print([(e.step, round(e.value, 4)) for e in events.Scalars("train/loss")])
)";
  const std::string out = (folder.path() / "out").string();
  ASSERT_EQ(std::system((python + " " + (folder.path() / "read.py").string() + " " +
                         folder.path().string() + " > " + out + " 2> /dev/null")
                            .c_str()),
            0);
  EXPECT_EQ(*ReadFile(out), "[(1, 10.0), (2, 5.0), (3, 3.3333), (4, 1.0)]\n");
}

}  // namespace
}  // namespace facet::tune
