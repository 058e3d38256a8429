// From the options of `facet tune` to what the run reads before its first step.
#pragma once

#include <atomic>
#include <optional>

#include "base/scratch_folder.h"
#include "cli/options/tune_options.h"
#include "tune/run/session.h"
#include "tune/train/processes.h"

namespace facet::cli {

struct TuneSession : tune::Session {
  std::optional<ScratchFolder> scratch;  // of a call that only shows something
};

// The model that is named, continued from or made from nothing; with --drafter, the drafter's
// beginning too. Errors name the option or the file.
Result<void> LoadModel(const TuneFlags& flags, tune::Processes& processes, TuneSession& session);

// Reads, checks and splits --data and --validation. With --drafter the model's own answers take the
// place of those of the data, unless this is a dry run.
Result<void> LoadData(const TuneFlags& flags, const std::atomic<bool>* stop, TuneSession& session);

}  // namespace facet::cli
