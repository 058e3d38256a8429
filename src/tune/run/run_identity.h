// What a resumed run must have in common with its checkpoint, so that it ends with the same bits.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tune/run/run.h"

namespace facet::tune {

// Data, order, schedule and method, by name.
nlohmann::ordered_json RunIdentity(const RunInputs& inputs, const TuneOptions& options);

// Error: the first name whose values differ, with both; `checkpoint` is where `then` was read.
Result<void> CheckRunIdentity(const nlohmann::ordered_json& now, const nlohmann::ordered_json& then,
                              const std::string& checkpoint);

}  // namespace facet::tune
