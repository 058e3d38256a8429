#include "cli/commands/tune_session.h"

#include <algorithm>
#include <cstdlib>

#include "base/os/os.h"
#include "chat/load_template.h"
#include "cli/commands/tune_drafter.h"
#include "cli/resolve.h"
#include "cli/terminal/progress.h"
#include "tune/run/checkpoints.h"
#include "tune/run/estimate.h"
#include "tune/train/drafter_trainer.h"
#include "tune/train/init.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;

// Weights to begin with: a model's folder, or an adapter's beside its model.
Result<void> TakeFrom(const TuneFlags& flags, TuneFlags& with, Session& session) {
  const fs::path from = flags.from;
  std::error_code code;
  if (fs::exists(from / "adapter_config.json", code)) {
    if (flags.full)
      return Error{Cat("--from ", flags.from, ": is an adapter, which --full does not train")};
    session.adapter = from;
    return Ok();
  }
  if (!fs::exists(from / "config.json", code)) {
    return Error{Cat("--from ", flags.from, ": holds neither an adapter nor a model"),
                 ErrorKind::kNotFound};
  }
  with.model = flags.from;
  return Ok();
}

// Where a model or a drafter from nothing is made: OUT/initial. A call that only shows something
// leaves nothing there.
fs::path InitialFolder(const TuneFlags& flags, Session& session) {
  if (!flags.dry_run && flags.show_mask.empty()) return fs::path(flags.out) / "initial";
  return session.scratch.emplace().path() / "initial";
}

// A run that goes on needs what it began with; a new one, what its options say.
bool KeepsInitial(const TuneFlags& flags) {
  return flags.resume || !tune::ListCheckpoints(flags.out).empty();
}

// Makes a model from nothing. Of several processes the first does, and the others wait.
Result<void> Initialise(const TuneFlags& flags, tune::Processes& processes, TuneFlags& with,
                        Session& session) {
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
  with.model = folder.string();
  return Ok();
}

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
std::optional<double> Share(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  std::error_code code;
  if (text.empty() || *end != '\0' || fs::exists(text, code)) return std::nullopt;
  return value;
}

// In place of the data's answers, the model's own.
Result<void> TakeOwnText(const TuneFlags& flags, const std::atomic<bool>* stop, Session& session) {
  int longest = std::max(flags.max_length, flags.batch_tokens);
  if (flags.max_length > 0 && flags.batch_tokens > 0)
    longest = std::min(flags.max_length, flags.batch_tokens);
  const auto answer = [&](const char* file, tune::DataSet& data) {
    return AnswerPrompts(flags.drafter,
                         {.files = session.files,
                          .renderer = *session.renderer,
                          .file = fs::path(flags.out) / file,
                          .example_tokens = longest,
                          .seed = flags.seed,
                          .threads = flags.threads,
                          .quiet = flags.quiet,
                          .stop = stop},
                         data);
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

// Examples without a draft (answers of a single token) teach nothing.
Result<void> LeaveOutEmpty(Session& session) {
  const auto leave_out = [](const tune::DataSet& data, std::vector<uint32_t>& examples) {
    std::erase_if(examples, [&](uint32_t i) { return data.entries()[i].labelled == 0; });
  };
  const bool apart = session.validation != nullptr;
  leave_out(*session.train, session.split.train);
  leave_out(apart ? *session.validation : *session.train, session.split.validation);
  if (session.split.train.empty())
    return Error{"all answers have a single token: there is nothing to draft in them"};
  return Ok();
}

}  // namespace

Result<void> LoadModel(const TuneFlags& given, tune::Processes& processes, Session& session) {
  TuneFlags flags = given;
  if (!given.drafter.on) {
    if (!given.init.empty()) FACET_TRY(Initialise(given, processes, flags, session));
    if (!given.from.empty()) FACET_TRY(TakeFrom(given, flags, session));
  }
  if (flags.model.empty())
    return Error{given.drafter.on ? "name the MODEL that the drafter is for"
                                  : "name a MODEL, or make one with --init"};
  FACET_ASSIGN(session.files, ResolveModel(flags.model));
  if (flags.full) {  // refuses a GGUF before anything is read
    std::error_code code;
    if (!fs::is_directory(session.files.model, code))
      return Error{Cat(flags.model, ": full tuning needs a checkpoint folder with safetensors; a ",
                       "GGUF can be tuned with an adapter"),
                   ErrorKind::kUnsupported};
  }
  FACET_ASSIGN(session.checkpoint, LoadCheckpoint(session.files.model, session.files.mmproj));
  session.config = session.checkpoint.config;
  if (given.drafter.on) {
    FACET_ASSIGN(session.drafter, PrepareDrafter(given.drafter,
                                                 {.from = given.from,
                                                  .init = given.init,
                                                  .initial = InitialFolder(given, session),
                                                  .keep = KeepsInitial(given),
                                                  .seed = given.seed,
                                                  .threads = given.threads},
                                                 session.checkpoint));
  }
  session.parameters = tune::ParameterCount(session.checkpoint);
  FACET_ASSIGN(session.tokenizer, Tokenizer::Load(session.files.model));
  FACET_ASSIGN(session.chat_template, LoadChatTemplate(session.files.model, *session.tokenizer));
  session.renderer =
      std::make_unique<tune::Renderer>(session.config, *session.tokenizer,
                                       session.chat_template ? &*session.chat_template : nullptr);
  return Ok();
}

Result<void> LoadData(const TuneFlags& flags, const std::atomic<bool>* stop, Session& session) {
  if (flags.data.empty()) return Error{"name what to learn from: --data FILE.jsonl"};
  const tune::DataOptions options = MakeDataOptions(flags, stop);
  std::vector<tune::DataFile> files;
  for (const std::string& argument : flags.data) {
    FACET_ASSIGN(tune::DataFile file, tune::ParseDataFile(argument));
    files.push_back(std::move(file));
  }
  FACET_ASSIGN(session.train, tune::DataSet::Open(std::move(files), *session.renderer, options));
  double fraction = 0;
  if (const auto share = Share(flags.validation)) {
    if (!(*share > 0 && *share < 1))
      return Expected("a file, or a share between 0 and 1", flags.validation, "--validation");
    fraction = *share;
  } else if (!flags.validation.empty()) {
    FACET_ASSIGN(session.validation,
                 tune::DataSet::Open({{flags.validation, 1}}, *session.renderer, options));
  }
  if (flags.drafter.on && !flags.drafter.given_text && !flags.dry_run)
    FACET_TRY(TakeOwnText(flags, stop, session));
  if (session.validation) {
    for (uint32_t i = 0; i < session.validation->entries().size(); ++i)
      session.split.validation.push_back(i);
  }
  FACET_ASSIGN(tune::Split split, tune::SplitByRow(*session.train, fraction, flags.seed));
  session.split.train = std::move(split.train);
  if (fraction > 0) session.split.validation = std::move(split.validation);
  return flags.drafter.on ? LeaveOutEmpty(session) : Ok();
}

}  // namespace facet::cli
