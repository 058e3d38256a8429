// A folder of its own for one test, removed with it.
#pragma once

#include <gtest/gtest.h>

#include "base/scratch_folder.h"

namespace facet {

class TempFolder : public ScratchFolder {
 public:
  TempFolder() { EXPECT_FALSE(path().empty()) << "no folder could be made for the test"; }
};

}  // namespace facet
