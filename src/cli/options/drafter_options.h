// The options of `facet tune MODEL --drafter`.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "base/result.h"
#include "tune/train/drafter_config.h"

namespace CLI {
class App;
}

namespace facet::cli {

struct DrafterFlags {
  bool on = false;          // --drafter
  bool given_text = false;  // the data's answers, in place of the model's own
  tune::DrafterShape shape;
  int drafts = 4;
  int64_t prompts = 0;
  int answer_tokens = 256;
  std::optional<double> temperature;
};

void AddDrafterOptions(CLI::App& command, DrafterFlags& flags);
// Errors name the option: one that does not go with --drafter, or one that needs it.
Result<void> CheckDrafterOptions(const CLI::App& command, const DrafterFlags& flags);
// What has to be the same when a run is resumed.
nlohmann::ordered_json DescribeDrafterMethod(const DrafterFlags& flags);

}  // namespace facet::cli
