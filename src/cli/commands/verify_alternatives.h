// Whether a model would be better if one of its parts were otherwise. A model that was trained is
// the best of its neighbours; where another one is clearly better, the file has that part wrong.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/commands/verify_score.h"

namespace facet::cli {

struct Alternative {
  std::string what;  // "norms before attention less 1"
  double gain;       // nats a token, of those that were tried
  double certainty;  // gain in its standard errors
};

// Tries them all; those that are clearly better, best first. `model` is as before afterwards.
// `progress` is told how many of how many are done.
Result<std::vector<Alternative>> BetterAlternatives(
    Model& model, const KnownTexts& texts,
    const std::function<void(size_t done, size_t all)>& progress);

}  // namespace facet::cli
