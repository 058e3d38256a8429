// The `checkpoint-N` folders of a run: written whole or not at all, the last ones kept.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "tune/train/trainer.h"

namespace facet::tune {

// Where a run stands. trainer_state.json has it under the names of transformers.TrainerState.
struct RunState {
  int64_t step = 0, steps = 0;  // optimiser steps that are done, and of the whole run
  double epoch = 0, epochs = 0;
  std::optional<double> best_loss;  // lowest eval_loss
  int64_t best_step = 0;
  // What has been logged, in order: of steps, of evaluations.
  nlohmann::ordered_json log = nlohmann::ordered_json::array();
  // Loss and labelled tokens since the last logged step.
  double open_loss = 0;
  int64_t open_tokens = 0;
  // RunIdentity: data, order, schedule, method. A resumed run has to agree.
  nlohmann::ordered_json run;
};

nlohmann::ordered_json ToJson(const RunState& state);
// Errors name the file and the key: missing, of another type, or a step beyond the run's.
Result<RunState> ReadRunState(const std::filesystem::path& file);

std::filesystem::path CheckpointPath(const std::filesystem::path& out, int64_t step);
// Steps of the whole checkpoints in `out`, ascending.
std::vector<int64_t> ListCheckpoints(const std::filesystem::path& out);
// Removes what a killed process left half-written. The folder has to be locked: a running one
// writes such files.
void RemovePartialCheckpoints(const std::filesystem::path& out);

// Writes out/checkpoint-STEP: the trainer's state, trainer_state.json, and the exported model. On
// an error (a full disk) nothing new is there and older ones are as they were.
Result<void> SaveCheckpoint(const std::filesystem::path& out, const RunState& state,
                            const Trainer& trainer);
// Errors: those of ReadRunState, a state of another step than the folder's name says, a trainer's
// file that is not what SHA256SUMS says, the trainer's.
Result<RunState> LoadCheckpointState(const std::filesystem::path& checkpoint, Trainer& trainer);
// That trainer_state.json is what the run wrote. To be asked last: errors of its fields say more.
Result<void> VerifyState(const std::filesystem::path& checkpoint);

// Removes all but the `keep` last ones and the best.
void RemoveOldCheckpoints(const std::filesystem::path& out, int keep,
                          std::optional<int64_t> best_step);

}  // namespace facet::tune
