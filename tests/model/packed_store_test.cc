#include "model/packed_store.h"

#include <gtest/gtest.h>

#include "ops/matmul/packed_layout.h"

namespace facet {
namespace {

// A program with another layout must not find this one's file: nothing else would tell that the
// bytes mean something else.
TEST(PackedStore, NamesItsFileByTheLayout) {
  EXPECT_EQ(PackedFileName("identity"), Cat("identity-p", kPackedLayoutVersion, ".packed"));
}

}  // namespace
}  // namespace facet
