#include "cli/commands/tune_session.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/os/os.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/resolve.h"
#include "formats/json.h"
#include "tune/data/generated_answers.h"
#include "tune/run/checkpoints.h"
#include "tune/train/drafter_config.h"
#include "tune/train/drafter_trainer.h"
#include "tune/train/init.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;

// --- where weights begin

// --from: the model's folder, or an adapter's, which goes into the session.
Result<std::string> ModelOfFrom(const TuneFlags& flags, TuneSession& session) {
  const fs::path from = flags.from;
  std::error_code code;
  if (fs::exists(from / "adapter_config.json", code)) {
    if (flags.full)
      return Error{Cat("--from ", flags.from, ": is an adapter, which --full does not train")};
    session.adapter = from;
    return flags.model;
  }
  if (!fs::exists(from / "config.json", code)) {
    return Error{Cat("--from ", flags.from, ": holds neither an adapter nor a model"),
                 ErrorKind::kNotFound};
  }
  return flags.from;
}

// Where a model or a drafter from nothing is made: OUT/initial. A call that only shows something
// leaves nothing there.
fs::path InitialFolder(const TuneFlags& flags, TuneSession& session) {
  if (!flags.dry_run && flags.show_mask.empty()) return fs::path(flags.out) / "initial";
  return session.scratch.emplace().path() / "initial";
}

// A resumed run needs what it began with; a new one, what its options say.
bool KeepsInitial(const TuneFlags& flags) {
  return flags.resume || !tune::ListCheckpoints(flags.out).empty();
}

// --init: makes a model from nothing; its folder. Of several processes the first makes it, and the
// others wait.
Result<std::string> InitialModel(const TuneFlags& flags, tune::Processes& processes,
                                 TuneSession& session) {
  if (!flags.model.empty() || !flags.from.empty())
    return Error{"--init makes a model: it goes with neither MODEL nor --from"};
  if (!flags.full) return Error{"--init: a model without knowledge needs --full"};
  if (flags.tokenizer.empty()) return Error{"--init needs --tokenizer"};
  const fs::path folder = InitialFolder(flags, session);
  std::error_code code;
  const bool here = fs::exists(folder / "model.safetensors", code);
  const bool makes = processes.rank() == 0 || session.scratch;
  if (makes && !(here && KeepsInitial(flags))) {
    FACET_TRY(tune::ReplaceFolder(folder, [&](const fs::path& part) {
      return tune::WriteInitialModel(
          {.config = flags.init, .tokenizer = flags.tokenizer, .out = part, .seed = flags.seed});
    }));
  }
  FACET_TRY(processes.Wait());
  return folder.string();
}

// What MODEL stands for: itself, or what --init or --from name.
Result<std::string> ModelArgument(const TuneFlags& flags, tune::Processes& processes,
                                  TuneSession& session) {
  if (flags.drafter.on) {
    if (flags.model.empty()) return Error{"name the MODEL that the drafter is for"};
    return flags.model;
  }
  std::string model = flags.model;
  if (!flags.init.empty()) {
    FACET_ASSIGN(model, InitialModel(flags, processes, session));
  }
  if (!flags.from.empty()) {
    FACET_ASSIGN(model, ModelOfFrom(flags, session));
  }
  if (model.empty()) return Error{"name a MODEL, or make one with --init"};
  return model;
}

// config.json of a new drafter: that of --init, or one that follows from the target.
Result<nlohmann::ordered_json> DrafterConfig(const TuneFlags& flags, const TuneSession& session) {
  if (flags.init.empty()) return tune::DeriveDrafterConfig(session.config, flags.drafter.shape);
  std::error_code code;
  const fs::path init = flags.init;
  return ReadOrderedJson(fs::is_directory(init, code) ? init / "config.json" : init);
}

// The folder of the drafter to train: that of --from, or a new one.
Result<fs::path> DrafterFolder(const TuneFlags& flags, TuneSession& session) {
  std::error_code code;
  if (!flags.from.empty()) {
    if (!flags.init.empty()) return Error{"--from and --init both say where the drafter begins"};
    if (!fs::exists(fs::path(flags.from) / "config.json", code))
      return Error{Cat("--from ", flags.from, ": is no folder of a drafter"), ErrorKind::kNotFound};
    return fs::path(flags.from);
  }
  if (session.config.drafter)
    return Error{"--drafter: drafters are of models; this is a drafter itself",
                 ErrorKind::kUnsupported};
  const fs::path folder = InitialFolder(flags, session);
  if (KeepsInitial(flags) && fs::exists(folder / "model.safetensors", code)) return folder;
  FACET_ASSIGN(const nlohmann::ordered_json config, DrafterConfig(flags, session));
  ThreadPool pool(flags.threads);
  const auto made = tune::MakeDrafter(session.checkpoint, config, folder, flags.seed, pool);
  if (made.ok()) return folder;
  return flags.init.empty() ? made.error() : made.error().In(Cat("--init ", flags.init));
}

// --- data

tune::DataOptions MakeDataOptions(const TuneFlags& flags, const std::atomic<bool>* stop) {
  tune::DataOptions options;
  options.row.plain = flags.plain;
  options.row.media = flags.media;
  options.max_tokens = flags.max_length;
  options.threads = flags.threads > 0 ? flags.threads : AvailableCores();
  options.cancelled = stop;
  if (flags.drafter.on) {
    options.count = [drafts = flags.drafter.drafts](const tune::Example& example) {
      return tune::CountDrafts(example, drafts);
    };
  }
  if (!flags.quiet) {
    options.progress = [line = std::make_shared<StatusLine>()](int64_t done, int64_t all) {
      if (done % 50 == 0) line->Draw(Cat("reading ", done, " of ", all, " examples"));
      if (done == all) line->Clear();
    };
  }
  return options;
}

// A share of the training data where it is a number, else a file.
std::optional<double> ShareOf(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  std::error_code code;
  if (text.empty() || *end != '\0' || fs::exists(text, code)) return std::nullopt;
  return value;
}

Result<std::vector<tune::DataFile>> DataFiles(const TuneFlags& flags) {
  std::vector<tune::DataFile> files;
  for (const std::string& argument : flags.data) {
    FACET_ASSIGN(tune::DataFile file, tune::ParseDataFile(argument));
    files.push_back(std::move(file));
  }
  return files;
}

// --- a drafter's text

tune::GeneratedAnswersOptions AnswerOptions(const TuneFlags& flags, const TuneSession& session,
                                            const std::atomic<bool>* stop) {
  tune::GeneratedAnswersOptions options;
  options.prompts = flags.drafter.prompts;
  options.max_tokens = flags.drafter.answer_tokens;
  // The smaller limit of an example, where there are two.
  options.example_tokens = std::max(flags.max_length, flags.batch_tokens);
  if (flags.max_length > 0 && flags.batch_tokens > 0)
    options.example_tokens = std::min(flags.max_length, flags.batch_tokens);
  options.temperature = flags.drafter.temperature;
  options.seed = flags.seed;
  options.ends = session.renderer->ends();
  options.cancelled = stop;
  return options;
}

// Lets the model answer the prompts of the data, and makes the answers the data's examples.
Result<void> AnswerPrompts(const TuneFlags& flags, const TuneSession& session,
                           tune::GeneratedAnswersOptions options, tune::DataSet& data) {
  StatusLine line;
  if (!flags.quiet) {
    options.progress = [&, shown = int64_t{0}](int64_t done, int64_t all) mutable {
      const int64_t step = line.terminal() ? 10 : std::max<int64_t>(1, all / 10);
      if (done < shown + step && done != all) return;
      shown = done;
      const std::string text = Cat("answering prompts: ", done, " of ", all);
      line.terminal() ? line.Draw(text) : line.Note(text);
    };
  }
  ThreadPool pool(flags.threads);
  const auto done = tune::GenerateAnswers(session.files, *session.tokenizer, options, pool, data);
  line.Clear();
  return done;
}

// In place of the data's answers, the model's own.
Result<void> UseOwnAnswers(const TuneFlags& flags, const std::atomic<bool>* stop,
                           TuneSession& session) {
  tune::GeneratedAnswersOptions options = AnswerOptions(flags, session, stop);
  const auto answer = [&](const char* file, tune::DataSet& data) {
    options.file = fs::path(flags.out) / file;
    return AnswerPrompts(flags, session, options, data);
  };
  Result<void> done = answer("own-text.jsonl", *session.train);
  if (done.ok() && session.validation)
    done = answer("own-text-validation.jsonl", *session.validation);
  if (!done.ok() && done.error().kind == ErrorKind::kCancelled)
    return Error{
        Cat("stopped while the model answered; go on with: facet tune --resume ", flags.out),
        ErrorKind::kCancelled};
  return done;
}

}  // namespace

Result<void> LoadModel(const TuneFlags& flags, tune::Processes& processes, TuneSession& session) {
  FACET_ASSIGN(const std::string model, ModelArgument(flags, processes, session));
  FACET_ASSIGN(session.files, ResolveModel(model));
  if (flags.full) {  // refuses a GGUF before anything is read
    std::error_code code;
    if (!fs::is_directory(session.files.model, code))
      return Error{Cat(model, ": full tuning needs a checkpoint folder with safetensors; a GGUF ",
                       "can be tuned with an adapter"),
                   ErrorKind::kUnsupported};
  }
  FACET_TRY(tune::LoadSessionWeights(session));
  if (flags.drafter.on) {
    FACET_ASSIGN(session.drafter, DrafterFolder(flags, session));
  }
  return tune::LoadSessionVocabulary(session);
}

Result<void> LoadData(const TuneFlags& flags, const std::atomic<bool>* stop, TuneSession& session) {
  if (flags.data.empty()) return Error{"name what to learn from: --data FILE.jsonl"};
  const tune::DataOptions options = MakeDataOptions(flags, stop);
  FACET_ASSIGN(std::vector<tune::DataFile> files, DataFiles(flags));
  FACET_ASSIGN(session.train, tune::DataSet::Open(std::move(files), *session.renderer, options));
  const auto share = ShareOf(flags.validation);
  if (share && !(*share > 0 && *share < 1))
    return Expected("a file, or a share between 0 and 1", flags.validation, "--validation");
  if (!share && !flags.validation.empty()) {
    FACET_ASSIGN(session.validation,
                 tune::DataSet::Open({{flags.validation, 1}}, *session.renderer, options));
  }
  if (flags.drafter.on && !flags.drafter.given_text && !flags.dry_run)
    FACET_TRY(UseOwnAnswers(flags, stop, session));
  FACET_TRY(tune::SplitSession(session, share.value_or(0), flags.seed));
  return flags.drafter.on ? tune::DropExamplesWithoutDrafts(session) : Ok();
}

}  // namespace facet::cli
