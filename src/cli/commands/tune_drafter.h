// The part of `facet tune` that is about drafters: `facet tune MODEL --drafter`.
#pragma once

#include <atomic>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "formats/model_files.h"
#include "tune/data/data.h"
#include "tune/train/init.h"

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
// What has to be the same when a run goes on.
nlohmann::ordered_json DescribeMethod(const DrafterFlags& flags);

// Where a drafter begins.
struct DrafterStart {
  std::string from, init;         // a drafter's folder; a configuration or its folder; empty: none
  std::filesystem::path initial;  // where a new one is written
  bool keep = false;              // take the one that is there
  uint64_t seed = 0;
  int threads = 0;
};
Result<std::filesystem::path> PrepareDrafter(const DrafterFlags& flags, const DrafterStart& start,
                                             const Checkpoint& target);

// Lets the model answer the prompts of the data, and makes the answers the data's examples.
struct OwnTextRun {
  const ModelFiles& files;
  const tune::Renderer& renderer;
  std::filesystem::path file;  // that keeps the answers
  int example_tokens = 0;
  uint64_t seed = 0;
  int threads = 0;
  bool quiet = false;
  const std::atomic<bool>* stop = nullptr;
};
Result<void> AnswerPrompts(const DrafterFlags& flags, const OwnTextRun& run, tune::DataSet& data);

}  // namespace facet::cli
