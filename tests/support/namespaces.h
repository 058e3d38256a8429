// Whether this machine lets programs have what a sandbox is made of. Tests of the sandbox are left
// out where it does not; where it does, a sandbox that cannot be had is a failure.
#pragma once

#include <gtest/gtest.h>

#include "sandbox/process.h"

namespace facet {

inline bool NamespacesWork() {
  const auto code = sandbox::RunCommand(
      {.words = {"bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc",
                 "--unshare-uts", "--ro-bind", "/", "/", "--proc", "/proc", "true"},
       .input = {},
       .output = {},
       .quiet = true});
  return code.ok() && *code == 0;
}

// At the beginning of SetUp.
#define FACET_NEEDS_NAMESPACES() \
  if (!NamespacesWork()) GTEST_SKIP() << "bubblewrap makes no namespaces here"

}  // namespace facet
