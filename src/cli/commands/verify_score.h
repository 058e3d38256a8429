// How well a model knows what it should: the likelihood that it gives to texts and answers.
#pragma once

#include <string>
#include <vector>

#include "formats/model_files.h"
#include "runtime/loaded_model.h"
#include "tune/data/example.h"

namespace facet::cli {

struct KnownTexts {
  std::string what;  // "310 tokens of English"
  std::vector<tune::Example> examples;
};

// What a model is verified by: the conversations of verify.jsonl beside it (as facet tune takes
// them; for models of pebble's shape pebble's own), else English, as it stands and, where there is
// a template, as an answer.
Result<std::vector<KnownTexts>> TextsToVerifyBy(const LoadedModel& model, const ModelFiles& files,
                                                bool like_pebble);

// The log-likelihood of each labelled token.
Result<std::vector<float>> ScoreTexts(Model& model, const KnownTexts& texts);

// The mean of -x.
double MeanLoss(const std::vector<float>& scores);

}  // namespace facet::cli
