// Options of a command in a JSON file: long names as keys, as on the command line.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"

namespace CLI {
class App;
}

namespace facet::cli {

// Sets the options that the command line has not set. Flags are true or false; options that may
// stand several times take lists. Errors name `where` and the key: unknown, or a value that the
// option does not take.
Result<void> ApplyJsonOptions(CLI::App& command, const nlohmann::json& options,
                              const std::string& where);

// The options that are set, in the same form.
nlohmann::ordered_json JsonOptions(const CLI::App& command);

}  // namespace facet::cli
