// `facet tune`: trains an adapter, all weights or a drafter on a person's own examples.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/space.h"
#include "cli/commands.h"
#include "cli/commands/tune_drafter.h"
#include "cli/commands/tune_session.h"
#include "cli/options/json_options.h"
#include "cli/options/tune_options.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/report.h"
#include "cli/terminal/tune_view.h"
#include "formats/json.h"
#include "model/adapter.h"
#include "tune/data/show_mask.h"
#include "tune/run/estimate.h"
#include "tune/run/output.h"
#include "tune/run/run.h"
#include "tune/train/drafter_trainer.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOptionsFile = "tune.json";

// "1,234,567".
std::string Count(int64_t number) {
  std::string text = std::to_string(number);
  for (int64_t at = static_cast<int64_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<size_t>(at), ",");
  return text;
}

std::string Percent(int64_t part, int64_t whole) {
  char text[32];
  std::snprintf(
      text, sizeof(text), "%.3g %%",
      100.0 * static_cast<double>(part) / static_cast<double>(std::max<int64_t>(whole, 1)));
  return text;
}

// Batches hold the longest example; a number that the user gave is not changed.
Result<int> BatchTokens(const TuneFlags& flags, const tune::DataSet& data) {
  constexpr int kUsual = 2048;
  if (flags.batch_tokens == 0) return std::max(kUsual, data.longest());
  for (const auto& entry : data.entries()) {
    if (entry.tokens <= flags.batch_tokens) continue;
    return Error{Cat(data.Where(entry), ": the example has ", entry.tokens,
                     " tokens, more than a batch (--batch-tokens ", flags.batch_tokens, ")"),
                 ErrorKind::kResource};
  }
  return flags.batch_tokens;
}

// --- the run

tune::TrainerOptions MakeTrainerOptions(const TuneFlags& flags, const Session& session) {
  tune::TrainerOptions options;
  options.full = flags.full;
  options.lora = flags.lora;
  options.train_vision = flags.train_vision;
  options.train_audio = flags.train_audio;
  options.compute = flags.bf16 ? Compute::kBf16 : Compute::kF32;
  options.weight_decay = flags.weight_decay;
  options.muon = flags.optimizer == "muon";
  options.seed = flags.seed;
  options.keep_bytes = static_cast<size_t>(flags.keep_activations) << 20;
  options.adapter = session.adapter;
  if (flags.full) options.model_files = session.files.model;
  return options;
}

// Takes the session's checkpoint.
Result<std::unique_ptr<tune::Trainer>> MakeTrainer(const TuneFlags& flags, Session& session,
                                                   ThreadPool& pool) {
  const tune::TrainerOptions options = MakeTrainerOptions(flags, session);
  if (!flags.drafter.on) return tune::Trainer::Create(std::move(session.checkpoint), options, pool);
  FACET_ASSIGN(auto trainer,
               tune::DrafterTrainer::Create(std::move(session.checkpoint), session.drafter,
                                            {options, flags.drafter.drafts}, pool));
  return std::unique_ptr<tune::Trainer>(std::move(trainer));
}

double DefaultRate(const TuneFlags& flags) {
  if (flags.drafter.on) return flags.from.empty() ? 1e-3 : 2e-4;
  if (!flags.full) return 2e-4;
  return flags.init.empty() ? 2e-5 : 1e-3;
}

Result<tune::RunOptions> MakeRunOptions(const TuneFlags& flags, const Session& session) {
  tune::RunOptions run;
  run.out = flags.out;
  FACET_ASSIGN(run.plan.batch_tokens, BatchTokens(flags, *session.train));
  run.plan.accumulate = flags.accumulate;
  run.plan.epochs = flags.epochs;
  run.plan.max_steps = flags.steps;
  run.plan.seed = flags.seed;
  run.learning_rate = flags.learning_rate.value_or(DefaultRate(flags));
  run.warmup = flags.warmup;
  run.clip = flags.clip;
  FACET_ASSIGN(run.curve, tune::ParseCurve(flags.schedule));
  run.eval_every = flags.eval_every;
  run.save_every = flags.save_every;
  run.log_every = flags.log_every;
  run.keep = flags.keep;
  run.resume = flags.resume;
  run.method = {{"full", flags.full},
                {"bf16", flags.bf16},
                {"train_vision", flags.train_vision},
                {"train_audio", flags.train_audio},
                {"weight_decay", flags.weight_decay},
                {"optimizer", flags.optimizer}};
  if (flags.drafter.on) {
    run.method["drafter"] = DescribeMethod(flags.drafter);
  } else if (!flags.full) {
    run.method["rank"] = flags.lora.rank;
    run.method["alpha"] = flags.lora.alpha;
    run.method["dropout"] = flags.lora.dropout;
    run.method["rslora"] = flags.lora.rank_stabilised;
    run.method["targets"] = flags.lora.targets;
  }
  return run;
}

int64_t TrainedParameters(tune::Trainer& trainer) {
  int64_t count = 0;
  trainer.ForEachGradient(
      [&](const tune::GradientView& g) { count += static_cast<int64_t>(g.values.size()); });
  return count;
}

std::string DataLine(const tune::DataSet& data, const std::vector<uint32_t>& examples) {
  int64_t tokens = 0, labelled = 0, longest = 0;
  for (const uint32_t index : examples) {
    const auto& entry = data.entries()[index];
    tokens += entry.tokens;
    labelled += entry.labelled;
    longest = std::max<int64_t>(longest, entry.tokens);
  }
  return Cat(Count(static_cast<int64_t>(examples.size())), " examples, ", Count(tokens),
             " tokens, ", Count(labelled), " learnt (", Percent(labelled, tokens), "), longest ",
             Count(longest));
}

// What will be trained on what, and what it takes.
std::string Describe(const TuneFlags& flags, const Session& session, const tune::RunOptions& run,
                     int64_t trained, const tune::TuneMemory& memory) {
  std::string text;
  const auto line = [&](const char* name, const std::string& value) {
    char padded[16];
    std::snprintf(padded, sizeof(padded), "%-12s", name);
    text += padded + value + "\n";
  };
  line("model", Cat(session.files.name, ", ", Count(session.parameters), " parameters"));
  const char* what = flags.drafter.on ? "a drafter" : flags.full ? "all weights" : "an adapter";
  line("trained", Cat(Count(trained), " (", Percent(trained, session.parameters), "), ", what,
                      flags.bf16 ? ", bf16" : ""));
  if (flags.drafter.on && !flags.drafter.given_text && flags.dry_run)
    line("own text",
         "the model answers the prompts first; the figures below are of the data's own");
  line("data", DataLine(*session.train, session.split.train));
  if (!session.split.validation.empty()) {
    const tune::DataSet& data = session.validation ? *session.validation : *session.train;
    line("validation", DataLine(data, session.split.validation));
  }
  tune::Plan plan(*session.train, session.split.train, run.plan);
  line("run", Cat(Count(plan.steps()), " steps of at most ", run.plan.batch_tokens, " x ",
                  run.plan.accumulate, " tokens, learning rate ", run.learning_rate, ", ",
                  flags.schedule));
  const int64_t machine = MemoryBytes();
  line("memory", Cat("about ", HumanBytes(static_cast<int64_t>(memory.total())),
                     machine > 0 ? Cat(" of ", HumanBytes(machine)) : ""));
  return text;
}

Result<void> SaveOptions(const TuneFlags& flags, nlohmann::ordered_json options) {
  for (const char* key : {"resume", "dry-run", "quiet", "config"}) options.erase(key);
  // A run may go on from another folder.
  const auto absolute = [](const nlohmann::ordered_json& value) -> nlohmann::ordered_json {
    const std::string text = value;
    std::error_code ignored;
    if (fs::exists(text, ignored)) return fs::absolute(text).string();
    const size_t colon = text.rfind(':');
    if (colon != text.npos && fs::exists(text.substr(0, colon), ignored))
      return fs::absolute(text.substr(0, colon)).string() + text.substr(colon);
    return value;
  };
  for (const char* key : {"model", "out", "from", "init", "tokenizer", "validation"}) {
    if (options.contains(key)) options[key] = absolute(options[key]);
  }
  options["out"] = fs::absolute(flags.out).string();
  if (options.contains("data")) {
    for (auto& value : options["data"]) value = absolute(value);
  }
  return WriteFile(fs::path(flags.out) / kOptionsFile, options.dump(2) + "\n");
}

// On what was held back, or on the first of what was learnt.
Result<tune::DraftScore> ScoreDrafter(const Session& session, const tune::RunOptions& run,
                                      tune::DrafterTrainer& trainer) {
  constexpr size_t kMost = 500;  // examples
  const bool held_back = !session.split.validation.empty();
  std::vector<uint32_t> examples = held_back ? session.split.validation : session.split.train;
  if (examples.size() > kMost) examples.resize(kMost);
  const bool apart = held_back && session.validation;
  return tune::ScoreDrafts(trainer, apart ? *session.validation : *session.train, examples,
                           run.plan.batch_tokens);
}

Result<void> Finish(const TuneFlags& flags, const Session& session, const tune::RunOptions& run,
                    const tune::RunOutcome& outcome, tune::Trainer& trainer) {
  if (!outcome.finished) {
    return Error{Cat("stopped after step ", outcome.step, " of ", outcome.steps,
                     "; go on with: facet tune --resume ", flags.out),
                 ErrorKind::kCancelled};
  }
  FACET_TRY(trainer.Export(flags.out));
  std::optional<tune::DraftScore> score;
  if (flags.drafter.on) {
    FACET_ASSIGN(score, ScoreDrafter(session, run, static_cast<tune::DrafterTrainer&>(trainer)));
  }
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
  card.drafter = score;
  card.drafts = flags.drafter.drafts;
  card.run = run;
  card.outcome = outcome;
  card.examples = static_cast<int64_t>(session.split.train.size());
  for (const uint32_t index : session.split.train) {
    card.tokens += session.train->entries()[index].tokens;
    card.labelled += session.train->entries()[index].labelled;
  }
  FACET_TRY(tune::WriteModelCard(card));
  if (flags.quiet) return Ok();
  const bool held_back = !session.split.validation.empty();
  if (outcome.best_loss) {
    std::fprintf(stderr, "lowest validation loss %.4f after step %ld: these weights are in %s\n",
                 *outcome.best_loss, outcome.best_step, flags.out.c_str());
  }
  if (score) {
    std::fprintf(stderr, "%s: %.0f %% of %d drafts a step are accepted, %.2f tokens a step\n",
                 held_back ? "on what was held back" : "on its own text", 100 * score->acceptance(),
                 flags.drafter.drafts, score->tokens_per_step());
  }
  const char* what = flags.drafter.on ? "the drafter"
                     : flags.full     ? "the tuned model"
                                      : "the adapter";
  std::fprintf(stderr, "%s: %s; the loss is drawn in %s/loss.png\n", flags.out.c_str(), what,
               flags.out.c_str());
  std::fprintf(stderr, "try it: %s\n", tune::TryCommand(card).c_str());
  return Ok();
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
  auto session = std::make_unique<Session>();
  FACET_TRY(LoadModel(flags, processes, *session));
  const bool new_run = !flags.resume && !flags.dry_run && first;
  if (new_run && flags.drafter.on) FACET_TRY(SaveOptions(flags, options));  // answers take long
  FACET_TRY(LoadData(flags, interrupt.flag(), *session));
  FACET_ASSIGN(const tune::RunOptions run, MakeRunOptions(flags, *session));
  tune::TuneShape shape{
      .full = flags.full,
      .batch_tokens = std::min<int64_t>(run.plan.batch_tokens, session->train->tokens()),
      .keep_bytes = static_cast<size_t>(flags.keep_activations) << 20};
  if (flags.dry_run && flags.full) {
    const auto memory = tune::EstimateTuning(session->checkpoint, shape);
    std::fputs(Describe(flags, *session, run, session->parameters, memory).c_str(), stdout);
    return Ok();
  }
  ThreadPool pool(flags.threads);
  // The trainer takes the checkpoint along; the estimate needs the number that it trains.
  FACET_ASSIGN(const Checkpoint measured,
               LoadCheckpoint(session->files.model, session->files.mmproj));
  FACET_ASSIGN(const auto trainer, MakeTrainer(flags, *session, pool));
  shape.trained = TrainedParameters(*trainer);
  const auto memory = tune::EstimateTuning(measured, shape);
  const std::string summary = Describe(flags, *session, run, shape.trained, memory);
  if (flags.dry_run) {
    std::fputs(summary.c_str(), stdout);
    return Ok();
  }
  if (!flags.quiet) std::fputs(summary.c_str(), stderr);
  if (new_run) FACET_TRY(SaveOptions(flags, options));
  tune::RunInputs inputs;
  inputs.trainer = trainer.get();
  inputs.train = session->train.get();
  inputs.train_examples = session->split.train;
  inputs.validation = session->validation ? session->validation.get() : session->train.get();
  inputs.validation_examples = session->split.validation;
  inputs.processes = &processes;
  inputs.lock = lock.get();
  TuneView view(flags.quiet);
  const auto outcome = tune::Run(inputs, run, view, interrupt.flag());
  view.Clear();
  if (!outcome.ok()) return outcome.error();
  if (!first) return Ok();
  return Finish(flags, *session, run, *outcome, *trainer);
}

Result<void> Tune(const TuneFlags& flags, const nlohmann::ordered_json& options) {
  std::error_code code;
  const bool was_there = fs::exists(flags.out, code);
  FACET_ASSIGN(const std::unique_ptr<tune::Processes> processes, tune::Processes::Join());
  const Result<void> done = TuneAmong(*processes, flags, options);
  const bool stopped = !done.ok() && done.error().kind == ErrorKind::kCancelled;
  if (!done.ok() && !was_there && fs::is_directory(flags.out, code) &&
      fs::is_empty(flags.out, code))
    fs::remove(flags.out, code);
  if (!done.ok() && !stopped && !processes->alone()) {
    // The others wait for this one's gradients: mpirun ends them when one ends like this.
    std::_Exit(Report(done));
  }
  return done;
}

// --- --show-mask

// "FILE" or "FILE:LINE".
std::pair<std::string, int64_t> FileAndLine(const std::string& argument) {
  const size_t colon = argument.rfind(':');
  std::error_code code;
  if (fs::exists(argument, code) || colon == argument.npos) return {argument, 0};
  const std::string number = argument.substr(colon + 1);
  const bool digits = !number.empty() && number.find_first_not_of("0123456789") == number.npos;
  if (!digits || number.size() > 9) return {argument, 0};
  return {argument.substr(0, colon), std::stoll(number)};
}

Result<void> ShowMasks(const TuneFlags& flags) {
  Session session;
  FACET_ASSIGN(const std::unique_ptr<tune::Processes> alone, tune::Processes::Join());
  FACET_TRY(LoadModel(flags, *alone, session));
  const auto [path, wanted] = FileAndLine(flags.show_mask);
  std::ifstream in(path);
  if (!in) return Error{Cat(path, ": cannot be read"), ErrorKind::kNotFound};
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const bool blank = line.find_first_not_of(" \t\r") == line.npos;
    if (wanted > 0 ? number != wanted : blank) continue;
    const std::string where = Cat(path, ":", number);
    tune::RowOptions options{flags.plain, flags.media};
    const auto row = tune::ReadRow(line, fs::path(path).parent_path(), options);
    if (!row.ok()) return row.error().In(where);
    const auto examples = session.renderer->Examples(*row);
    if (!examples.ok()) return examples.error().In(where);
    const bool color = isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
    for (size_t i = 0; i < examples->size(); ++i) {
      const tune::Example& example = (*examples)[i];
      std::printf("%s, example %zu of %zu: %s of %s tokens are learnt\n%s\n\n", where.c_str(),
                  i + 1, examples->size(),
                  Count(std::count(example.labelled.begin(), example.labelled.end(), 1)).c_str(),
                  Count(static_cast<int64_t>(example.tokens.size())).c_str(),
                  tune::ShowMask(example, *session.tokenizer, color).c_str());
    }
    return Ok();
  }
  return Error{Cat(path, wanted > 0 ? Cat(":", wanted, ": no such line") : ": has no examples"),
               ErrorKind::kNotFound};
}

// --- where the options come from

// --resume takes all options from the folder's own file; those of the command line win.
Result<void> Resume(CLI::App& command, const std::string& given, TuneFlags& flags) {
  const fs::path folder = given.empty() ? fs::path(flags.out) : fs::path(given);
  const fs::path file = folder / kOptionsFile;
  flags.resume = true;
  std::error_code code;
  if (!fs::exists(file, code)) {
    if (!flags.model.empty() || !flags.init.empty()) {
      if (!given.empty()) flags.out = given;
      flags.resume = false;
      return Ok();  // nothing to go on from: the run begins
    }
    return Error{Cat(folder.string(), ": there is no run to go on with"), ErrorKind::kNotFound};
  }
  FACET_ASSIGN(const nlohmann::json options, ReadJson(file));
  FACET_TRY(ApplyJsonOptions(command, options, file.string()));
  flags.out = folder.string();
  return Ok();
}

// What the command line's own checks do not see: options may come from files, too.
Result<void> CheckOptions(const CLI::App& command, const TuneFlags& flags) {
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

Result<void> Start(CLI::App& command, const std::string& config, const std::string& resume,
                   TuneFlags& flags) {
  if (!config.empty()) {
    FACET_ASSIGN(const nlohmann::json options, ReadJson(config));
    FACET_TRY(ApplyJsonOptions(command, options, config));
  }
  if (command.count("--resume") > 0) FACET_TRY(Resume(command, resume, flags));
  FACET_TRY(CheckOptions(command, flags));
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
    exit_code = Report(Start(*command, *config, *resume, *flags));
  });
}

}  // namespace facet::cli
