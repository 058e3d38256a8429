// `facet tune`: trains an adapter, all weights or a drafter on the user's own examples.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/commands/tune_options_file.h"
#include "cli/commands/tune_session.h"
#include "cli/commands/tune_setup.h"
#include "cli/commands/tune_show_mask.h"
#include "cli/commands/tune_summary.h"
#include "cli/options/json_options.h"
#include "cli/options/tune_options.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/report.h"
#include "cli/terminal/tune_view.h"
#include "formats/json.h"
#include "model/adapter.h"
#include "tune/run/output.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;

int64_t TrainedParameters(tune::Trainer& trainer) {
  int64_t count = 0;
  trainer.ForEachGradient(
      [&](const tune::GradientView& g) { count += static_cast<int64_t>(g.values.size()); });
  return count;
}

// On what was held back, or on the first of what was learnt.
Result<tune::DraftScore> ScoreDrafter(const tune::Session& session, const tune::TuneOptions& run,
                                      tune::DrafterTrainer& trainer) {
  constexpr size_t kMost = 500;  // examples
  const bool held_back = !session.split.validation.empty();
  std::vector<uint32_t> examples = held_back ? session.split.validation : session.split.train;
  if (examples.size() > kMost) examples.resize(kMost);
  return tune::ScoreDrafts(trainer, held_back ? session.validation_data() : *session.train,
                           examples, run.plan.batch_tokens);
}

Result<tune::ModelCard> MakeModelCard(const TuneFlags& flags, const tune::Session& session,
                                      const tune::TuneOptions& run,
                                      const tune::RunOutcome& outcome) {
  tune::ModelCard card;
  card.base = flags.model.empty() ? session.files.model.string() : flags.model;
  card.full = flags.full;
  card.lora = flags.lora;
  if (!session.adapter.empty()) {  // its own shape, not the options'
    FACET_ASSIGN(const AdapterConfig shape, ReadAdapterConfig(session.adapter));
    card.lora.rank = shape.rank;
    card.lora.alpha = shape.alpha;
    card.lora.dropout = shape.dropout;
    card.lora.rank_stabilised = shape.rank_stabilised;
  }
  card.drafts = flags.drafter.drafts;
  card.run = run;
  card.outcome = outcome;
  card.examples = static_cast<int64_t>(session.split.train.size());
  for (const uint32_t index : session.split.train) {
    card.tokens += session.train->entries()[index].tokens;
    card.labelled += session.train->entries()[index].labelled;
  }
  return card;
}

// Exports what was trained and says so, or says how to resume what was stopped.
Result<void> FinishTune(const TuneFlags& flags, const tune::Session& session,
                        const tune::TuneOptions& run, const tune::RunOutcome& outcome,
                        const SessionTrainer& trained) {
  if (!outcome.finished) {
    return Error{Cat("stopped after step ", outcome.step, " of ", outcome.steps,
                     "; go on with: facet tune --resume ", flags.out),
                 ErrorKind::kCancelled};
  }
  FACET_TRY(trained.trainer->Export(flags.out));
  FACET_ASSIGN(tune::ModelCard card, MakeModelCard(flags, session, run, outcome));
  if (trained.drafter != nullptr) {
    FACET_ASSIGN(card.drafter, ScoreDrafter(session, run, *trained.drafter));
  }
  FACET_TRY(tune::WriteModelCard(card));
  if (!flags.quiet) ReportResults(flags, session, card);
  return Ok();
}

tune::RunInputs MakeRunInputs(const tune::Session& session, tune::Trainer& trainer) {
  tune::RunInputs inputs;
  inputs.trainer = &trainer;
  inputs.train = session.train.get();
  inputs.train_examples = session.split.train;
  inputs.validation = &session.validation_data();
  inputs.validation_examples = session.split.validation;
  return inputs;
}

Result<void> TuneAmong(tune::Processes& processes, TuneFlags flags,
                       const nlohmann::ordered_json& options) {
  const InterruptFlag interrupt;
  const bool first = processes.rank() == 0;
  flags.accumulate = std::max(flags.accumulate, processes.count());
  if (!first) flags.quiet = true;
  if (flags.drafter.on && !processes.alone())
    return Error{"--drafter: a drafter is trained by one process", ErrorKind::kUnsupported};
  std::unique_ptr<tune::FolderLock> lock;  // before anything is written there
  if (first && !flags.dry_run) {
    FACET_ASSIGN(lock, tune::FolderLock::Take(flags.out));
  }
  const auto session = std::make_unique<TuneSession>();
  FACET_TRY(LoadModel(flags, processes, *session));
  const bool new_run = !flags.resume && !flags.dry_run && first;
  // Before the model answers, which takes long.
  if (new_run && flags.drafter.on) FACET_TRY(SaveTuneOptions(flags, options));
  FACET_TRY(LoadData(flags, interrupt.flag(), *session));
  FACET_ASSIGN(const tune::TuneOptions run, MakeTuneOptions(flags, *session));
  tune::TuneShape shape{
      .full = flags.full,
      .batch_tokens = std::min<int64_t>(run.plan.batch_tokens, session->train->tokens()),
      .keep_bytes = static_cast<size_t>(flags.keep_activations) << 20};
  const auto describe = [&](int64_t trained) {
    shape.trained = trained;
    return DescribeRun(flags, *session, run, trained,
                       tune::EstimateTuning(session->config.text, session->size, shape));
  };
  if (flags.dry_run && flags.full) {  // all weights twice might not fit
    std::cout << describe(session->size.parameters);
    return Ok();
  }
  ThreadPool pool(flags.threads);
  FACET_ASSIGN(const SessionTrainer trained, MakeTrainer(flags, *session, pool));
  const std::string summary = describe(TrainedParameters(*trained.trainer));
  if (flags.dry_run) {
    std::cout << summary;
    return Ok();
  }
  if (!flags.quiet) std::cerr << summary;
  if (new_run) FACET_TRY(SaveTuneOptions(flags, options));
  tune::RunInputs inputs = MakeRunInputs(*session, *trained.trainer);
  inputs.processes = &processes;
  inputs.lock = lock.get();
  TuneView view(flags.quiet);
  const auto outcome = tune::Run(inputs, run, view, interrupt.flag());
  view.Clear();
  if (!outcome.ok()) return outcome.error();
  if (!first) return Ok();
  return FinishTune(flags, *session, run, *outcome, trained);
}

Result<void> Tune(const TuneFlags& flags, const nlohmann::ordered_json& options) {
  FACET_ASSIGN(const std::unique_ptr<tune::Processes> processes, tune::Processes::Join());
  const Result<void> done = TuneAmong(*processes, flags, options);
  const bool stopped = !done.ok() && done.error().kind == ErrorKind::kCancelled;
  if (!done.ok() && !stopped && !processes->alone()) {
    // The others wait for this one's gradients: mpirun ends them when one ends like this.
    std::_Exit(Report(done));
  }
  return done;
}

// What the command line's own checks do not see: options may come from files, too.
Result<void> CheckTuneOptions(const CLI::App& command, const TuneFlags& flags) {
  std::error_code code;
  const bool keeps_shape =
      !flags.from.empty() && fs::exists(fs::path(flags.from) / "adapter_config.json", code);
  for (const char* option : {"--rank", "--alpha", "--dropout", "--targets", "--rslora",
                             "--train-vision", "--train-audio"}) {
    if (command.count(option) == 0) continue;
    if (flags.full)
      return Error{Cat(option, ": is about an adapter, and --full trains all weights")};
    if (keeps_shape) return Error{Cat(option, ": the adapter of --from keeps its shape")};
  }
  if (flags.eval_every > 0 && flags.validation.empty())
    return Error{"--eval-every: needs --validation"};
  if (!flags.tokenizer.empty() && flags.init.empty())
    return Error{"--tokenizer: is for a new model, and needs --init"};
  if (flags.optimizer == "muon" && !flags.full)
    return Error{"--optimizer muon: is for --full; an adapter's thin matrices learn with adamw"};
  return CheckDrafterOptions(command, flags.drafter);
}

Result<void> StartTune(CLI::App& command, const std::string& config, const std::string& resume,
                       TuneFlags& flags) {
  if (!config.empty()) {
    FACET_ASSIGN(const nlohmann::json options, ReadJson(config));
    FACET_TRY(ApplyJsonOptions(command, options, config));
  }
  if (command.count("--resume") > 0) FACET_TRY(ResumeTune(command, resume, flags));
  FACET_TRY(CheckTuneOptions(command, flags));
  if (!flags.show_mask.empty()) return ShowMasks(flags);
  return Tune(flags, JsonOptions(command));
}

}  // namespace

void AddTune(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<TuneFlags>();
  auto config = std::make_shared<std::string>();
  auto resume = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "tune", "Teach a model from your own examples: text, pictures, sound and film");
  AddTuneOptions(*command, *flags);
  command
      ->add_option("--resume", *resume,
                   "Go on where the run in this folder (or in --out) was stopped")
      ->expected(0, 1)
      ->group("Running");
  command->add_option("--config", *config, "JSON file with options, by their long names")
      ->group("Running");
  command->footer(
      "A line of data: {\"messages\": [{\"role\": \"user\", \"content\": ...}, {\"role\": "
      "\"assistant\", ...}]}.\n"
      "docs/tuning.md has the other forms, media and tools. Only what the assistant says is "
      "learnt.\n"
      "Examples:\n"
      "  facet tune gemma4-12b --show-mask chat.jsonl\n"
      "  facet tune gemma4-12b --data chat.jsonl --validation 0.1 --out my-adapter --dry-run\n"
      "  facet tune gemma4-12b --data chat.jsonl --validation 0.1 --out my-adapter\n"
      "  facet tune --resume my-adapter\n"
      "  facet run gemma4-12b --adapter my-adapter\n"
      "  facet tune --drafter my-model --data chat.jsonl --validation 0.1 --out my-drafter\n"
      "  facet run my-model --drafter my-drafter");
  command->callback([flags, config, resume, command, &exit_code] {
    exit_code = Report(StartTune(*command, *config, *resume, *flags));
  });
}

}  // namespace facet::cli
