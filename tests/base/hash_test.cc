#include "base/hash.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace facet {
namespace {

TEST(Hash, IsThatOfTheStandards) {
  // FIPS 180-2, appendices A.1 and B.1.
  EXPECT_EQ(Hex(Sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Hex(Sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Hash sha1(Hash::Kind::kSha1);
  sha1.Add("abc", 3);
  EXPECT_EQ(sha1.Hex(), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST(Hash, DoesNotDependOnThePieces) {
  const std::string text(1000, 'x');
  Hash pieces;
  for (size_t at = 0; at < text.size(); at += 7)
    pieces.Add(text.data() + at, std::min<size_t>(7, text.size() - at));
  EXPECT_EQ(pieces.Finish(), Sha256(text));
}

}  // namespace
}  // namespace facet
