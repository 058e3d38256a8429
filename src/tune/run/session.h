// What a run has read before its first step: the model, and the data as that model reads them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "chat/chat_template.h"
#include "formats/model_files.h"
#include "model/weights.h"
#include "text/tokenizer.h"
#include "tune/data/data.h"
#include "tune/run/estimate.h"

namespace facet::tune {

struct Session {
  ModelFiles files;
  Checkpoint checkpoint;  // until the trainer takes it
  ModelConfig config;     // the checkpoint's, which outlive it
  CheckpointSize size;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;  // none: a base model, which takes plain rows only
  std::unique_ptr<Renderer> renderer;
  std::unique_ptr<DataSet> train, validation;  // validation null: a part of train
  Split split;
  std::filesystem::path adapter;  // a PEFT folder to continue from; empty: none
  std::filesystem::path drafter;  // the folder of the drafter to train, as it is at the start

  // The data that split.validation indexes.
  const DataSet& validation_data() const { return validation ? *validation : *train; }
};

// Reads the checkpoint of session.files.
Result<void> LoadSessionWeights(Session& session);
// Reads its vocabulary and template.
Result<void> LoadSessionVocabulary(Session& session);

// Which examples are for training and which for validation: all of session.validation, or where
// there is none a `share` of the rows of session.train, chosen by `seed`.
Result<void> SplitSession(Session& session, double share, uint64_t seed);

// Leaves out examples without a draft (answers of a single token): there is nothing in them that a
// drafter could learn. Error: no example is left.
Result<void> DropExamplesWithoutDrafts(Session& session);

}  // namespace facet::tune
