#include "cli/terminal/report.h"

#include <cstdio>

#include "cli/commands.h"

namespace facet::cli {

int Report(const Result<void>& result) {
  if (result.ok()) return 0;
  std::fprintf(stderr, "facet: %s\n", result.error().message.c_str());
  return result.error().kind == ErrorKind::kCancelled ? kInterrupted : kFailed;
}

}  // namespace facet::cli
