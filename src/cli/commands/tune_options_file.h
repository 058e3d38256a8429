// tune.json: the options of a run beside its results, so that --resume needs nothing else.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/options/tune_options.h"

namespace facet::cli {

// Writes OUT/tune.json with absolute paths: a run may be resumed from another folder.
Result<void> SaveTuneOptions(const TuneFlags& flags, nlohmann::ordered_json options);

// --resume: sets all options from the file of the folder `given` (of --out, where it is empty),
// except those of the command line. Where there is no such file but a model is named, the run
// begins. Error: there is no run to resume.
Result<void> ResumeTune(CLI::App& command, const std::string& given, TuneFlags& flags);

}  // namespace facet::cli
