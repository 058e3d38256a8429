// `facet eval`: a model's skills, measured on held-out examples of a recipe (examples/pebble).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <thread>

#include "base/scratch_folder.h"
#include "cli/commands.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/report.h"
#include "cli/terminal/resolve.h"
#include "cli/terminal/streams.h"
#include "eval/judge.h"
#include "eval/questions.h"
#include "runtime/conversation.h"
#include "runtime/data_folder.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;
using eval::Item;
using nlohmann::json;

using eval::Answers;

struct EvalFlags {
  std::string model;
  eval::QuestionOptions questions;
  fs::path exam, data, answers, save;
  int threads = 0, parallel = 8, max_tokens = 256;
  bool as_json = false;
};

// What makes the questions and runs the programs.
Result<fs::path> FindRecipe() {
  FACET_ASSIGN(const fs::path recipe, FindData("examples/pebble"));
  std::error_code code;
  return fs::weakly_canonical(recipe, code);
}

Result<eval::Exam> LoadExam(const fs::path& given) {
  if (!given.empty()) return eval::Exam::Read(given);
  FACET_ASSIGN(const fs::path recipe, FindRecipe());
  return eval::Exam::Read(recipe / "exam.json");
}

// Asks the model for every wanted message, several items at once.
class Asker {
 public:
  Asker(const LoadedModel& model, const EvalFlags& flags, std::span<const Item> items)
      : model_(model), flags_(flags), items_(items), answers_(items.size()) {}

  Result<Answers> Run() {
    std::vector<std::thread> workers;
    for (int i = 0; i < flags_.parallel; ++i) workers.emplace_back([this] { AskItems(); });
    for (std::thread& worker : workers) worker.join();
    line_.Clear();
    if (error_) return *error_;
    Answers answers;
    for (size_t i = 0; i < items_.size(); ++i) answers[items_[i].id] = std::move(answers_[i]);
    return answers;
  }

 private:
  void AskItems() {
    for (size_t i = next_++; i < items_.size() && !failed_; i = next_++) {
      const Result<void> done = AskItem(i);
      const std::lock_guard lock(mutex_);
      if (!done.ok() && !error_) error_ = done.error().In(items_[i].id);
      if (!done.ok()) failed_ = true;
      ++done_;
      if (!failed_) ShowProgress(items_[i].skill);
    }
  }

  void ShowProgress(const std::string& skill) {
    line_.Draw(Cat(done_, " of ", items_.size(), " items  ", skill));
  }

  Result<void> AskItem(size_t i) {
    const Item& item = items_[i];
    ReplyOptions options;
    options.sampling = model_.sampling;
    options.sampling.temperature = 0;
    options.tools = item.tools;
    options.max_tokens = flags_.max_tokens;
    ReplyView silent;
    for (size_t t = 0; t < item.wanted.size(); ++t) {
      FACET_ASSIGN(Reply given, Ask(model_, item.History(t), options, silent, interrupt_.flag()));
      if (given.end.reason == AnswerEnd::Reason::kCancelled)
        return Error{"interrupted", ErrorKind::kCancelled};
      answers_[i].push_back({std::move(given.content), std::move(given.tool_calls)});
    }
    return Ok();
  }

  const LoadedModel& model_;
  const EvalFlags& flags_;
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

Result<Answers> AskModel(const EvalFlags& flags, std::span<const Item> items) {
  FACET_ASSIGN(const ModelSpec spec, ResolveSpec(flags.model));
  ModelOptions load;
  load.threads = flags.threads;
  FACET_ASSIGN(const std::shared_ptr<LoadedModel> model, LoadModel(spec, load));
  return Asker(*model, flags, items).Run();
}

Result<Answers> GivenAnswers(const EvalFlags& flags) {
  FACET_ASSIGN(auto given, eval::ReadAnswers(flags.answers));
  return Answers(std::make_move_iterator(given.begin()), std::make_move_iterator(given.end()));
}

// What was evaluated, in a sentence or two.
std::string DescribeRun(const EvalFlags& flags, size_t items, const eval::Judgement& judgement) {
  std::string out = flags.answers.empty() ? Cat(flags.model, ", greedy answers")
                                          : Cat("given answers of ", flags.answers.string());
  out += Cat("; ", items, " held-out items ");
  out +=
      flags.data.empty() ? Cat("of seed ", flags.questions.seed) : Cat("of ", flags.data.string());
  if (judgement.programs > 0) out += Cat("; ", judgement.programs, " programs run in the sandbox");
  return out + "\n";
}

json ReportAsJson(const EvalFlags& flags, size_t items, const eval::Judgement& judgement,
                  std::span<const eval::Figure> figures, bool held) {
  json report = {{"facet", FACET_VERSION},
                 {"model", flags.model},
                 {"seed", flags.data.empty() ? json(flags.questions.seed) : json()},
                 {"data", flags.data.empty() ? json() : json(flags.data.string())},
                 {"items", items},
                 {"programs", judgement.programs},
                 {"figures", json::array()},
                 {"floors_held", held}};
  for (const eval::Figure& figure : figures) report["figures"].push_back(ToJson(figure));
  return report;
}

// Those of --data, or new ones in `scratch`.
Result<std::vector<Item>> LoadQuestions(const EvalFlags& flags, const eval::Exam& exam,
                                        const fs::path& scratch) {
  const std::vector<std::string>& skills = flags.questions.skills;
  if (!flags.data.empty()) return eval::ReadQuestions(exam, skills, flags.data);
  FACET_ASSIGN(const fs::path recipe, FindRecipe());
  FACET_TRY(eval::MakeQuestions(exam, flags.questions, recipe, scratch));
  return eval::ReadQuestions(exam, skills, scratch);
}

Result<void> Eval(const EvalFlags& flags) {
  if (flags.model.empty() == flags.answers.empty())
    return Error{"expected a model, or --answers FILE"};
  FACET_ASSIGN(const eval::Exam exam, LoadExam(flags.exam));
  for (const std::string& skill : flags.questions.skills) {
    if (exam.Find(skill) == nullptr) return Expected("a skill", skill, "--skill");
  }
  const ScratchFolder scratch;  // the items' media lie there
  FACET_ASSIGN(const std::vector<Item> items, LoadQuestions(flags, exam, scratch.path()));
  FACET_ASSIGN(const Answers answers,
               flags.answers.empty() ? AskModel(flags, items) : GivenAnswers(flags));
  FACET_ASSIGN(const eval::Judgement judgement, eval::JudgeAll(items, answers, FindRecipe));
  if (!flags.save.empty())
    FACET_TRY(eval::SaveAnswers(flags.save, items, answers, judgement.scores));
  const std::vector<eval::Figure> figures = eval::Figures(exam, items, judgement.scores);
  const bool held = std::all_of(figures.begin(), figures.end(), [](const eval::Figure& figure) {
    return !figure.group.empty() || figure.floor_held();
  });
  if (flags.as_json) {
    const json report = ReportAsJson(flags, items.size(), judgement, figures, held);
    Print("%s\n", report.dump(2, ' ', false, json::error_handler_t::replace).c_str());
  } else {
    Print("%s%s", DescribeRun(flags, items.size(), judgement).c_str(),
          eval::Table(exam, figures).c_str());
  }
  if (!held) return Error{"a floor was missed"};
  return Ok();
}

// For the help text: what the default exam has.
std::string SkillNames() {
  std::string names;
  if (const auto exam = LoadExam({}); exam.ok()) {
    for (const eval::Skill& skill : exam->skills) names += " " + skill.name;
  }
  return names.empty() ? " as the exam has them" : names;
}

}  // namespace

void AddEval(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<EvalFlags>();
  CLI::App* command = app.add_subcommand(
      "eval", "Measure a model's skills on examples that training never shows (examples/pebble)");
  command->add_option("model", flags->model, "A name, a checkpoint folder or a GGUF");
  command->add_option("--seed", flags->questions.seed, "Other seeds make other examples")
      ->capture_default_str();
  command->add_option("--skill", flags->questions.skills, "Only this skill; may be repeated")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--count", flags->questions.count, "Items of each skill")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command->add_option("--data", flags->data,
                      "Folder with SKILL-heldout.jsonl, in place of new examples");
  command->add_option("--exam", flags->exam,
                      "Skills, floors and aims (JSON; default: examples/pebble/exam.json)");
  command->add_option("--answers", flags->answers,
                      "Judge these answers (JSON lines: id, answers) in place of a model's");
  command->add_option("--save", flags->save, "Write the answers to this file, as --answers reads");
  command->add_option("--parallel", flags->parallel, "Items that are asked at the same time")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command->add_option("--threads,-t", flags->threads, "Threads; 0 = all cores")
      ->check(CLI::Range(0, 1024));
  command->add_option("--max-tokens", flags->max_tokens, "Longest answer")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command->add_flag("--json", flags->as_json, "The figures as JSON");
  command->footer([] {
    return Cat("Skills:", SkillNames(),
               "\n\nThe exit code is 0 where every floor holds, else 1.\nExamples:\n"
               "  facet eval pebble --seed 7\n"
               "  facet eval ./checkpoint --skill reading --count 400 --json");
  });
  command->callback([flags, &exit_code] { exit_code = Report(Eval(*flags)); });
}

}  // namespace facet::cli
