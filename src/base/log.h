// Messages for the person at the terminal, on stderr; stdout belongs to results.
#pragma once

#include <spdlog/spdlog.h>

namespace facet {

// Sends the default logger to stderr; `verbose` adds debug messages.
void InitLog(bool verbose);

}  // namespace facet
