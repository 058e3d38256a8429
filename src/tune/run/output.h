// The model card beside trained weights.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "tune/run/run.h"
#include "tune/train/drafter_trainer.h"

namespace facet::tune {

struct ModelCard {
  std::string base;  // what was tuned, as the user named it
  bool full = false;
  LoraOptions lora;
  TuneOptions run;
  RunOutcome outcome;
  int64_t examples = 0, tokens = 0, labelled = 0;  // of the training data
  std::optional<DraftScore> drafter;               // it is a drafter, and guesses so well
  int drafts = 0;                                  // in a step, for `drafter`
};

// How to ask what was trained.
std::string TryCommand(const ModelCard& card);

// README.md with the fields that hubs read.
Result<void> WriteModelCard(const ModelCard& card);

}  // namespace facet::tune
