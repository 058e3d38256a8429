// What a call of `facet tune` has read before its first step: the model, and the data as that model
// reads them.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/scratch_folder.h"
#include "chat/chat_template.h"
#include "cli/options/tune_options.h"
#include "formats/model_files.h"
#include "model/weights.h"
#include "text/tokenizer.h"
#include "tune/data/data.h"
#include "tune/run/processes.h"

namespace facet::cli {

// Everything that is known of a run before its first step.
struct Session {
  std::optional<ScratchFolder> scratch;  // of a call that only shows something
  ModelFiles files;
  Checkpoint checkpoint;
  ModelConfig config;  // the checkpoint goes to the trainer
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;
  std::unique_ptr<tune::Renderer> renderer;
  std::unique_ptr<tune::DataSet> train, validation;  // validation null: a part of train
  tune::Split split;
  std::filesystem::path adapter;  // to go on from
  std::filesystem::path drafter;  // to train, as it is at the start
  int64_t parameters = 0;
};

// The model that is named, gone on from or made from nothing; with --drafter, the drafter's
// beginning too. Errors name the option or the file.
Result<void> LoadModel(const TuneFlags& flags, tune::Processes& processes, Session& session);

// Reads, checks and splits --data and --validation. With --drafter the model's own answers take the
// place of those of the data, unless this is a dry run.
Result<void> LoadData(const TuneFlags& flags, const std::atomic<bool>* stop, Session& session);

}  // namespace facet::cli
