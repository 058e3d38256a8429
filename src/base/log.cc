#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

namespace facet {

void InitLog() {
  auto logger = std::make_shared<spdlog::logger>(
      "facet", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern("%^%l%$: %v");
  logger->set_level(spdlog::level::info);
  spdlog::set_default_logger(logger);
}

}  // namespace facet
