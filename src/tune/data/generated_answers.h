// What a model itself answers to the prompts of a data set (self-generated training data), kept in
// a file so that nothing is generated twice.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>

#include "formats/model_files.h"
#include "model/model.h"
#include "tune/data/data.h"

namespace facet::tune {

struct GeneratedAnswersOptions {
  std::filesystem::path file;  // of JSON lines: one that says what the answers are of, then answers
  int64_t prompts = 0;         // examples whose prompts are answered, chosen by `seed`; 0: all
  int max_tokens = 256;        // of an answer
  int example_tokens = 0;      // of prompt and answer; 0: the model's context
  std::optional<double> temperature = std::nullopt;  // none: as generation_config.json has it
  uint64_t seed = 0;
  std::vector<TokenId> ends = {};                                // any of these ends an answer
  std::function<void(int64_t done, int64_t all)> progress = {};  // examples
  const std::atomic<bool>* cancelled = nullptr;
};

// Every labelled run of an example is an answer; what precedes it is its prompt, with the data's
// own history. The data set's examples become those prompts with the model's answers.
// Answers that the file has are taken from it, the others are added to it one by one; the same
// options give the same answers, over however many calls. Answers shorter than two tokens are left
// out: there is nothing to draft in them. Errors: a file of other data, another model or other
// options (names what differs); kCancelled, with the answers so far in the file.
Result<void> UseGeneratedAnswers(Model& model, const Tokenizer& tokenizer,
                                 const GeneratedAnswersOptions& options, DataSet& data);

// The same by a model that is loaded for it.
Result<void> GenerateAnswers(const ModelFiles& files, const Tokenizer& tokenizer,
                             const GeneratedAnswersOptions& options, ThreadPool& pool,
                             DataSet& data);

}  // namespace facet::tune
