// Prometheus text: counters and gauges of each engine, labelled by model alone: no prompts, no
// keys.
#pragma once

#include <string>

#include "runtime/model_pool.h"

namespace facet::serve {

// /metrics in the Prometheus text format.
std::string MetricsText(const ModelPool& models);

}  // namespace facet::serve
