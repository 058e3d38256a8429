#include "cli/terminal/report.h"

#include <iostream>

#include "cli/commands.h"

namespace facet::cli {

int Report(const Result<void>& result) {
  if (result.ok()) return 0;
  std::cerr << "facet: " << result.error().message << std::endl;
  return result.error().kind == ErrorKind::kCancelled ? kInterrupted : kFailed;
}

}  // namespace facet::cli
