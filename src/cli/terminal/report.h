// The one style in which commands report errors.
#pragma once

#include "base/result.h"

namespace facet::cli {

// Prints the error, if there is one, to stderr; the exit code of the command.
int Report(const Result<void>& result);

}  // namespace facet::cli
