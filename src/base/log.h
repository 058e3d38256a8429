// Messages for the person at the terminal, on stderr; stdout belongs to results.
#pragma once

#include <spdlog/spdlog.h>

namespace facet {

// Sends the default logger to stderr, from level info on; spdlog::set_level changes that.
void InitLog();

}  // namespace facet
