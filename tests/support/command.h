// The program run as a person would: its arguments as a line of a shell, and what came of it.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "base/mapped_file.h"
#include "support/paths.h"
#include "support/temp_folder.h"
#include "support/vocabularies.h"

namespace facet {

struct Finished {
  std::string out, err;
  int code = -1;
};

class CommandTest : public testing::Test {
 protected:
  CommandTest() { UseTestCache(); }

  Finished Run(const std::string& arguments, const std::string& input = "") const {
    const auto in = folder_.path() / "in", err = folder_.path() / "err";
    std::ofstream(in, std::ios::binary | std::ios::trunc) << input;
    const std::string command =
        FacetBinary() + " " + arguments + " < " + in.string() + " 2> " + err.string();
    Finished finished;
    FILE* pipe = popen(command.c_str(), "r");
    char buffer[4096];
    for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;)
      finished.out.append(buffer, n);
    finished.code = WEXITSTATUS(pclose(pipe));
    finished.err = *ReadFile(err);
    return finished;
  }

  TempFolder folder_;
};

}  // namespace facet
