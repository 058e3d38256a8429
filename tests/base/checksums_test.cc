#include "base/checksums.h"

#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

class Checksums : public testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFile(folder_.path() / name, text).ok());
  }
  bool Verified(const std::string& name) { return VerifyChecksum(folder_.path(), name).ok(); }
  TempFolder folder_;
};

TEST_F(Checksums, AreThoseOfSha256sum) {
  Write("a", "abc");
  ASSERT_TRUE(WriteChecksums(folder_.path(), {"a"}).ok());
  EXPECT_EQ(*ReadFile(folder_.path() / kChecksumFile),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n");
  EXPECT_TRUE(Verified("a"));
}

TEST_F(Checksums, FindEveryChange) {
  const std::string text(100000, 'x');
  Write("a", text);
  Write("b", "");
  ASSERT_TRUE(WriteChecksums(folder_.path(), {"a", "b"}).ok());
  EXPECT_TRUE(Verified("a"));
  EXPECT_TRUE(Verified("b"));
  for (const size_t at : {size_t{0}, size_t{50000}, text.size() - 1}) {
    std::string changed = text;
    changed[at] ^= 1;
    Write("a", changed);
    const auto verified = VerifyChecksum(folder_.path(), "a");
    ASSERT_FALSE(verified.ok());
    EXPECT_NE(verified.error().message.find((folder_.path() / "a").string()), std::string::npos);
    EXPECT_NE(verified.error().message.find(kChecksumFile), std::string::npos);
  }
  Write("a", text.substr(1));
  EXPECT_FALSE(Verified("a"));
  EXPECT_TRUE(Verified("b"));
}

TEST_F(Checksums, WhatOthersWroteIsTaken) {
  Write("a", "abc");
  EXPECT_TRUE(Verified("a"));  // there are none
  Write("b", "abc");
  ASSERT_TRUE(WriteChecksums(folder_.path(), {"b"}).ok());
  EXPECT_TRUE(Verified("a"));  // none of this file
  ASSERT_TRUE(RemoveChecksums(folder_.path(), {"b", "c"}).ok());
  Write("b", "other");
  EXPECT_TRUE(Verified("b"));
}

TEST_F(Checksums, DamagedOnesAreAnErrorUntilTheyAreWrittenAgain) {
  Write("a", "abc");
  for (const char* text : {"nonsense", "00  a",
                           "zz7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a"}) {
    Write(kChecksumFile, text);
    EXPECT_FALSE(Verified("a")) << text;
  }
  ASSERT_TRUE(RemoveChecksums(folder_.path(), {"a"}).ok());
  EXPECT_TRUE(Verified("a"));
}

}  // namespace
}  // namespace facet
