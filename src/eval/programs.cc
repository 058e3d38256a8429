#include "eval/programs.h"

#include "base/mapped_file.h"
#include "base/scratch_folder.h"
#include "base/text.h"
#include "eval/text.h"
#include "formats/json.h"
#include "sandbox/process.h"

namespace facet::eval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kSecondsEach = 10;  // what run_programs.py gives a program
constexpr size_t kMemory = size_t{4} << 30;
constexpr size_t kReports = size_t{64} << 20;  // bytes of results

json ProgramJob(const Item& item, const std::string& answer) {
  json job = {{"program", ProgramOf(answer)}};
  if (item.check == Check::kPlot) {
    job["kind"] = "plot";
    job["reference"] = ProgramOf(item.Wanted(0)["content"].get<std::string>());
    return job;
  }
  job["kind"] = "code";
  job["function"] = item.function;
  job["tests"] = item.tests;
  return job;
}

// The interpreter behind the recipe's `python`, which makes its environment first.
Result<std::string> RecipePython(const fs::path& recipe) {
  const ScratchFolder scratch;
  const fs::path name = scratch.path() / "python";
  const std::string python = (recipe / "python").string();
  FACET_ASSIGN(const int code,
               sandbox::RunCommand({.words = {python, "-c", "import sys; print(sys.executable)"},
                                    .input = {},
                                    .output = name}));
  if (code != 0)
    return Error{Cat(python, ": no Python environment (exit code ", code, ")"), ErrorKind::kIo};
  FACET_ASSIGN(const std::string text, ReadFile(name));
  return std::string(Trim(text));
}

}  // namespace

Result<ProgramRunner> ProgramRunner::Create(const fs::path& recipe) {
  FACET_ASSIGN(const std::string python, RecipePython(recipe));
  FACET_ASSIGN(sandbox::Sandbox sandbox,
               sandbox::Sandbox::Open({.bubblewrap = {}, .python = python}));
  ProgramRunner runner(std::move(sandbox));
  FACET_ASSIGN(runner.script_, ReadFile(recipe / "run_programs.py"));
  return runner;
}

Result<std::vector<ProgramResult>> ProgramRunner::Run(std::span<const Item* const> items,
                                                      std::span<const std::string> answers) const {
  json jobs = json::array();
  for (size_t i = 0; i < items.size(); ++i) jobs.push_back(ProgramJob(*items[i], answers[i]));
  sandbox::Job job;
  job.trusted = true;
  job.limits.seconds = 60 + kSecondsEach * static_cast<double>(items.size());
  job.limits.memory = kMemory;
  job.limits.text = job.limits.printed = kReports;
  FACET_ASSIGN(const sandbox::Outcome outcome,
               sandbox_.Run({.source = script_,
                             .input = jobs.dump(-1, ' ', false, json::error_handler_t::replace)},
                            job));
  if (!outcome.ok()) return Error{Cat("run_programs.py: ", outcome.Why()), ErrorKind::kIo};
  FACET_ASSIGN(const json results, ParseJson(outcome.output, "run_programs.py"));
  if (!results.is_array() || results.size() != items.size())
    return Expected(Cat(items.size(), " results"), results.size(), "run_programs.py");
  std::vector<ProgramResult> out;
  for (const json& result : results)
    out.push_back({result.value("right", false), result.value("why", std::string())});
  return out;
}

}  // namespace facet::eval
