// `facet eval`: what a model that was trained by examples/pebble can do, measured on examples that
// nobody trained with.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <thread>

#include "base/mapped_file.h"
#include "base/os/os.h"
#include "base/scratch_folder.h"
#include "cli/commands.h"
#include "cli/resolve.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/report.h"
#include "eval/programs.h"
#include "eval/score.h"
#include "runtime/conversation.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;
using eval::Item;
using nlohmann::json;

using Answers = std::map<std::string, std::vector<eval::Answer>>;  // by item

struct EvalOptions {
  std::string model;
  uint64_t seed = 0;
  std::vector<std::string> skills;  // empty: all
  int count = 200;                  // items of each skill
  fs::path data, answers, save;
  int threads = 0, parallel = 8, max_tokens = 256;
  bool as_json = false;
};

// The recipe of a source tree or of an installation.
Result<fs::path> FindRecipe() {
  std::error_code code;
  const fs::path self = ExecutablePath().parent_path();
  for (const fs::path& root : {self / ".." / "share" / "facet", fs::path(FACET_SOURCE_DIR)}) {
    const fs::path recipe = root / "examples" / "pebble";
    if (fs::exists(recipe / "make_data.py", code)) return fs::weakly_canonical(recipe, code);
  }
  return Error{"examples/pebble is not here: it makes the questions and runs the programs",
               ErrorKind::kNotFound};
}

std::vector<std::string> WantedSkills(const EvalOptions& options) {
  if (!options.skills.empty()) return options.skills;
  std::vector<std::string> names;
  for (const eval::Skill& skill : eval::Skills()) names.push_back(skill.name);
  return names;
}

Result<void> MakeData(const EvalOptions& options, const fs::path& recipe, const fs::path& out) {
  eval::Command command;
  command.words = {(recipe / "python").string(),
                   (recipe / "make_data.py").string(),
                   "--split",
                   "heldout",
                   "--seed",
                   std::to_string(options.seed),
                   "--count",
                   std::to_string(options.count),
                   "--out",
                   out.string()};
  for (const std::string& skill : WantedSkills(options)) {
    command.words.push_back("--skill");
    command.words.push_back(skill);
  }
  FACET_ASSIGN(const int code, eval::RunCommand(command));
  if (code != 0)
    return Error{Cat(command.words[1], ": failed (exit code ", code, ")"), ErrorKind::kIo};
  return Ok();
}

// Held-out items of the wanted skills in `folder`. Where no skill was named, those that are there.
Result<std::vector<Item>> ReadData(const EvalOptions& options, const fs::path& folder) {
  std::vector<Item> items;
  for (const std::string& skill : WantedSkills(options)) {
    const fs::path file = folder / (skill + "-heldout.jsonl");
    std::error_code code;
    if (options.skills.empty() && !fs::exists(file, code)) continue;
    FACET_ASSIGN(std::vector<Item> of_skill, eval::ReadItems(file));
    for (Item& item : of_skill) {
      if (item.skill != skill)
        return Expected(skill, item.skill, Cat(file.string(), ": meta.skill"));
      items.push_back(std::move(item));
    }
  }
  if (items.empty())
    return Error{Cat(folder.string(), ": no SKILL-heldout.jsonl"), ErrorKind::kNotFound};
  return items;
}

// Asks the model for every wanted message, several items at once.
class Asker {
 public:
  Asker(const LoadedModel& model, const EvalOptions& options, std::span<const Item> items)
      : model_(model), options_(options), items_(items), answers_(items.size()) {}

  Result<Answers> Run() {
    std::vector<std::thread> workers;
    for (int i = 0; i < options_.parallel; ++i) workers.emplace_back([this] { Work(); });
    for (std::thread& worker : workers) worker.join();
    line_.Clear();
    if (error_) return *error_;
    Answers answers;
    for (size_t i = 0; i < items_.size(); ++i) answers[items_[i].id] = std::move(answers_[i]);
    return answers;
  }

 private:
  void Work() {
    for (size_t i = next_++; i < items_.size() && !failed_; i = next_++) {
      const Result<void> done = Ask(i);
      const std::lock_guard lock(mutex_);
      if (!done.ok() && !error_) error_ = done.error().In(items_[i].id);
      if (!done.ok()) failed_ = true;
      ++done_;
      if (!failed_) Show(items_[i].skill);
    }
  }

  // On a terminal, how far it is; elsewhere nothing.
  void Show(const std::string& skill) {
    line_.Draw(Cat(done_, " of ", items_.size(), " items  ", skill));
  }

  Result<void> Ask(size_t i) {
    const Item& item = items_[i];
    ReplyOptions turn;
    turn.sampling = model_.sampling;
    turn.sampling.temperature = 0;
    turn.tools = item.tools;
    turn.max_tokens = options_.max_tokens;
    ReplyView silent;
    for (size_t t = 0; t < item.wanted.size(); ++t) {
      FACET_ASSIGN(Reply given,
                   facet::Ask(model_, item.History(t), turn, silent, interrupt_.flag()));
      if (given.end.reason == AnswerEnd::Reason::kCancelled)
        return Error{"interrupted", ErrorKind::kCancelled};
      answers_[i].push_back({std::move(given.content), std::move(given.tool_calls)});
    }
    return Ok();
  }

  const LoadedModel& model_;
  const EvalOptions& options_;
  std::span<const Item> items_;
  std::vector<std::vector<eval::Answer>> answers_;  // by item
  const InterruptFlag interrupt_;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;  // guards what follows
  StatusLine line_;
  size_t done_ = 0;
  std::optional<Error> error_;
};

Result<Answers> AskModel(const EvalOptions& options, std::span<const Item> items) {
  FACET_ASSIGN(const ModelSpec spec, ResolveSpec(options.model));
  ModelOptions load;
  load.threads = options.threads;
  FACET_ASSIGN(const std::shared_ptr<LoadedModel> model, LoadModel(spec, load));
  return Asker(*model, options, items).Run();
}

Result<Answers> GivenAnswers(const EvalOptions& options) {
  FACET_ASSIGN(auto given, eval::ReadAnswers(options.answers));
  return Answers(std::make_move_iterator(given.begin()), std::make_move_iterator(given.end()));
}

Result<void> SaveAnswers(const fs::path& file, std::span<const Item> items, const Answers& answers,
                         std::span<const eval::Score> scores) {
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    json row = {{"id", items[i].id}, {"answers", json::array()}, {"wrong", scores[i].wrong}};
    const auto found = answers.find(items[i].id);
    if (found == answers.end()) continue;
    for (const eval::Answer& answer : found->second) row["answers"].push_back(ToJson(answer));
    text += row.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  }
  return WriteFile(file, text);
}

struct Judgement {
  std::vector<eval::Score> scores;  // by item
  size_t programs = 0;
  bool sandboxed = false;
};

Result<Judgement> JudgeAll(std::span<const Item> items, const Answers& answers) {
  Judgement out;
  std::vector<const Item*> with_program;
  std::vector<std::string> programs;
  std::vector<size_t> places;
  for (size_t i = 0; i < items.size(); ++i) {
    const auto found = answers.find(items[i].id);
    const std::span<const eval::Answer> given =
        found == answers.end() ? std::span<const eval::Answer>() : std::span(found->second);
    if (items[i].check != eval::Check::kPlot && items[i].check != eval::Check::kCode) {
      out.scores.push_back(eval::Judge(items[i], given));
      continue;
    }
    places.push_back(i);
    out.scores.push_back(eval::JudgeProgram(false));
    with_program.push_back(&items[i]);
    programs.push_back(given.empty() ? "" : given[0].content);
  }
  out.programs = programs.size();
  if (programs.empty()) return out;
  FACET_ASSIGN(const fs::path recipe, FindRecipe());
  FACET_ASSIGN(const auto runner, eval::ProgramRunner::Create(recipe));
  out.sandboxed = runner.sandboxed();
  FACET_ASSIGN(const auto results, runner.Run(with_program, programs));
  for (size_t i = 0; i < results.size(); ++i)
    out.scores[places[i]] = eval::JudgeProgram(results[i].right);
  return out;
}

// What was evaluated, in a sentence or two.
std::string Describe(const EvalOptions& options, size_t items, const Judgement& judgement) {
  std::string out = options.answers.empty() ? Cat(options.model, ", greedy answers")
                                            : Cat("given answers of ", options.answers.string());
  out += Cat("; ", items, " held-out items ");
  out += options.data.empty() ? Cat("of seed ", options.seed) : Cat("of ", options.data.string());
  if (judgement.programs > 0) {
    out += Cat("; ", judgement.programs, " programs run ",
               judgement.sandboxed ? "in bubblewrap" : "without a sandbox (bubblewrap is missing)");
  }
  return out + "\n";
}

Result<void> Eval(const EvalOptions& options) {
  if (options.model.empty() == options.answers.empty())
    return Error{"expected a model, or --answers FILE"};
  for (const std::string& skill : options.skills) {
    if (eval::FindSkill(skill) == nullptr) return Expected("a skill", skill, "--skill");
  }
  const ScratchFolder scratch;
  if (options.data.empty()) {
    FACET_ASSIGN(const fs::path recipe, FindRecipe());
    FACET_TRY(MakeData(options, recipe, scratch.path()));
  }
  FACET_ASSIGN(const std::vector<Item> items,
               ReadData(options, options.data.empty() ? scratch.path() : options.data));
  FACET_ASSIGN(const Answers answers,
               options.answers.empty() ? AskModel(options, items) : GivenAnswers(options));
  FACET_ASSIGN(const Judgement judgement, JudgeAll(items, answers));
  const std::vector<eval::Figure> figures = eval::Figures(items, judgement.scores);
  if (!options.save.empty()) FACET_TRY(SaveAnswers(options.save, items, answers, judgement.scores));
  bool held = true;
  json report = {{"facet", FACET_VERSION},
                 {"model", options.model},
                 {"seed", options.data.empty() ? json(options.seed) : json()},
                 {"data", options.data.empty() ? json() : json(options.data.string())},
                 {"items", items.size()},
                 {"programs", judgement.programs},
                 {"sandboxed", judgement.sandboxed},
                 {"figures", json::array()}};
  for (const eval::Figure& figure : figures) {
    report["figures"].push_back(ToJson(figure));
    held = held && (!figure.group.empty() || figure.floor_held());
  }
  report["floors_held"] = held;
  if (options.as_json) {
    std::printf("%s\n", report.dump(2, ' ', false, json::error_handler_t::replace).c_str());
  } else {
    std::printf("%s%s", Describe(options, items.size(), judgement).c_str(),
                eval::Table(figures).c_str());
  }
  if (!held) return Error{"a floor was missed"};
  return Ok();
}

}  // namespace

void AddEval(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand(
      "eval", "Measure a model's skills on examples that training never shows (examples/pebble)");
  command->add_option("model", options->model, "A name, a checkpoint folder or a GGUF");
  command->add_option("--seed", options->seed, "Other seeds make other examples")
      ->capture_default_str();
  command->add_option("--skill", options->skills, "Only this skill; may be repeated")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--count", options->count, "Items of each skill")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command->add_option("--data", options->data,
                      "Folder with SKILL-heldout.jsonl, in place of new examples");
  command->add_option("--answers", options->answers,
                      "Judge these answers (JSON lines: id, answers) in place of a model's");
  command->add_option("--save", options->save,
                      "Write the answers to this file, as --answers reads");
  command->add_option("--parallel", options->parallel, "Items that are asked at the same time")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command->add_option("--threads,-t", options->threads, "Threads; 0 = all cores")
      ->check(CLI::Range(0, 1024));
  command->add_option("--max-tokens", options->max_tokens, "Longest answer")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command->add_flag("--json", options->as_json, "The figures as JSON");
  std::string skills;
  for (const eval::Skill& skill : eval::Skills()) skills += Cat(" ", skill.name);
  command->footer(Cat("Skills:", skills,
                      "\n\nThe exit code is 0 where every floor holds, else 1.\nExamples:\n"
                      "  facet eval pebble --seed 7\n"
                      "  facet eval ./checkpoint --skill reading --count 400 --json"));
  command->callback([options, &exit_code] { exit_code = Report(Eval(*options)); });
}

}  // namespace facet::cli
