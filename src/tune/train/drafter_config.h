// The shape of a new drafter, derived from its target's.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "model/config.h"

namespace facet::tune {

struct DrafterShape {
  int layers = 4;
  int width = 0, ffn = 0;  // 0: derived from the target
};

// config.json of a drafter for this model: heads as the model's keys ask for, its last layer full
// where the model has full layers, the others sliding. Width: a quarter of the model's, but at
// least 256 or the model's own where that is less; FFN: twice that.
nlohmann::ordered_json DeriveDrafterConfig(const ModelConfig& target, const DrafterShape& shape);

}  // namespace facet::tune
