// From the options of `facet tune` to those of the library: the trainer and the run.
#pragma once

#include <memory>
#include <string>

#include "cli/options/tune_options.h"
#include "tune/run/run.h"
#include "tune/run/session.h"
#include "tune/train/drafter_trainer.h"

namespace facet::cli {

struct SessionTrainer {
  std::unique_ptr<tune::Trainer> trainer;
  tune::DrafterTrainer* drafter = nullptr;  // the same one, where it trains a drafter
};

// Takes the session's checkpoint.
Result<SessionTrainer> MakeTrainer(const TuneFlags& flags, tune::Session& session,
                                   ThreadPool& pool);

// Errors name an option, or an example that is longer than a batch.
Result<tune::TuneOptions> MakeTuneOptions(const TuneFlags& flags, const tune::Session& session);

// What is likely to go wrong with a run of so many steps; empty for nothing.
std::string WarningOfRun(const TuneFlags& flags, const tune::Session& session,
                         const tune::TuneOptions& run, int64_t steps);

}  // namespace facet::cli
