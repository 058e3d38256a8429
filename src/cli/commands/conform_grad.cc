// `facet conform --grad`: loss, gradients and optimiser steps of one case.
#include <algorithm>

#include "cli/commands/conform_case.h"
#include "tune/train/trainer.h"

namespace facet::cli {
namespace {

using nlohmann::json;

// The case as an example: everything from first_label on is to be predicted.
Result<tune::Example> ExampleOf(const ConformOptions& options, const json& request, Prompt prompt) {
  const std::string file = options.case_file.string();
  if (!request.contains("first_label") || !request["first_label"].is_number_integer())
    return Error{Cat(file, ": first_label is missing: the first token to be predicted")};
  const int64_t first = request["first_label"], total = static_cast<int64_t>(prompt.ids.size());
  if (first < 1 || first >= total)
    return Expected(Cat("1 to ", total - 1), first, Cat(file, ": first_label"));
  tune::Example example;
  example.labelled.assign(total, 0);
  std::fill(example.labelled.begin() + first, example.labelled.end(), uint8_t{1});
  example.tokens = std::move(prompt.ids);
  example.items = std::move(prompt.items);
  example.where = file;
  return example;
}

void WriteGradients(tune::Trainer& trainer, TensorOutput& out) {
  trainer.ForEachGradient([&](const tune::GradientView& g) {
    out.AddFloats("grad." + g.name, {g.shape.begin(), g.shape.end()},
                  {g.values.begin(), g.values.end()});
  });
}

}  // namespace

Result<void> ConformGradients(const ConformOptions& options) {
  FACET_ASSIGN(const ConformCase input, ReadCase(options));
  ThreadPool pool(options.threads);
  FACET_ASSIGN(Checkpoint checkpoint, LoadCheckpoint(input.files.model, input.files.mmproj));
  FACET_ASSIGN(Prompt prompt, PromptOfCase(options, input, checkpoint.config));
  TensorOutput out;
  out.AddInts("input_ids", {static_cast<int64_t>(prompt.ids.size())}, prompt.ids);
  FACET_ASSIGN(const tune::Example example, ExampleOf(options, input.request, std::move(prompt)));
  const tune::Example* batch[] = {&example};

  tune::TrainerOptions train;
  train.full = options.grad == "full";
  train.adapter = options.adapter;
  train.weight_decay = options.weight_decay;
  if (train.full && !options.adapter.empty())
    return Error{"--adapter goes with --grad lora: full tuning has no adapter"};
  FACET_ASSIGN(const std::unique_ptr<tune::Trainer> trainer,
               tune::Trainer::Create(std::move(checkpoint), train, pool));
  const auto labels =
      static_cast<double>(std::count(example.labelled.begin(), example.labelled.end(), uint8_t{1}));
  std::vector<float> losses;
  for (int step = 0; step < options.steps; ++step) {
    FACET_ASSIGN(const tune::LossSum loss, trainer->Accumulate(batch, 1 / labels));
    losses.push_back(static_cast<float>(loss.loss / static_cast<double>(loss.tokens)));
    if (step == 0) WriteGradients(*trainer, out);
    FACET_TRY(trainer->Step(options.lr, 0));
  }
  FACET_ASSIGN(const tune::LossSum last, trainer->Evaluate(batch));
  losses.push_back(static_cast<float>(last.loss / static_cast<double>(last.tokens)));
  if (!options.save_adapter.empty()) FACET_TRY(trainer->Export(options.save_adapter));
  out.AddFloats("losses", {static_cast<int64_t>(losses.size())}, losses);
  return out.Save(options.out);
}

}  // namespace facet::cli
