#include "eval/programs.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/mapped_file.h"
#include "base/scratch_folder.h"
#include "eval/text.h"
#include "formats/json.h"

extern char** environ;

namespace facet::eval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Read-only file system, no network. run_programs.py itself limits time and memory.
const std::vector<std::string> kBubblewrap = {"bwrap",
                                              "--ro-bind",
                                              "/",
                                              "/",
                                              "--dev",
                                              "/dev",
                                              "--proc",
                                              "/proc",
                                              "--tmpfs",
                                              "/var/tmp",
                                              "--setenv",
                                              "TMPDIR",
                                              "/var/tmp",
                                              "--unshare-all",
                                              "--die-with-parent",
                                              "--new-session",
                                              "--cap-drop",
                                              "ALL"};

std::vector<std::string> Join(std::vector<std::string> words,
                              const std::vector<std::string>& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

json Job(const Item& item, const std::string& answer) {
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

}  // namespace

Result<int> RunCommand(const Command& command) {
  std::vector<char*> argv;
  for (const std::string& word : command.words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string input = command.input.empty() ? "/dev/null" : command.input.string();
  const std::string output = command.output.empty() ? "/dev/null" : command.output.string();
  posix_spawn_file_actions_addopen(&actions, 0, input.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (command.quiet) posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  // This program's threads block signals (cli/terminal/interrupt.h); others expect theirs to
  // arrive.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  const int failed = posix_spawnp(&child, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    return Error{Cat(command.words[0], ": cannot be run: ", std::strerror(failed)),
                 failed == ENOENT ? ErrorKind::kNotFound : ErrorKind::kIo};
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return Error{Cat("waitpid: ", std::strerror(errno)), ErrorKind::kIo};
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

Result<ProgramRunner> ProgramRunner::Create(const fs::path& recipe) {
  ProgramRunner runner;
  runner.recipe_ = recipe;
  const ScratchFolder scratch;
  const fs::path name = scratch.path() / "python";
  FACET_ASSIGN(const int code, RunCommand({.words = {(recipe / "python").string(), "-c",
                                                     "import sys; print(sys.executable)"},
                                           .input = {},
                                           .output = name}));
  if (code != 0)
    return Error{
        Cat((recipe / "python").string(), ": no Python environment (exit code ", code, ")"),
        ErrorKind::kIo};
  FACET_ASSIGN(runner.python_, ReadFile(name));
  while (!runner.python_.empty() && runner.python_.back() == '\n') runner.python_.pop_back();
  const auto probe = RunCommand({.words = Join(kBubblewrap, {runner.python_, "-I", "-c", "pass"}),
                                 .input = {},
                                 .output = {},
                                 .quiet = true});
  if (probe.ok() && *probe == 0) runner.sandbox_ = kBubblewrap;
  return runner;
}

Result<std::vector<ProgramResult>> ProgramRunner::Run(std::span<const Item* const> items,
                                                      std::span<const std::string> answers) const {
  json jobs = json::array();
  for (size_t i = 0; i < items.size(); ++i) jobs.push_back(Job(*items[i], answers[i]));
  const ScratchFolder scratch;
  const fs::path input = scratch.path() / "jobs.json", output = scratch.path() / "results.json";
  FACET_TRY(WriteFile(input, jobs.dump(-1, ' ', false, json::error_handler_t::replace)));
  const fs::path script = recipe_ / "run_programs.py";
  FACET_ASSIGN(const int code,
               RunCommand({.words = Join(sandbox_, {python_, "-I", script.string()}),
                           .input = input,
                           .output = output}));
  if (code != 0)
    return Error{Cat(script.string(), ": failed (exit code ", code, ")"), ErrorKind::kIo};
  FACET_ASSIGN(const json results, ReadJson(output));
  if (!results.is_array() || results.size() != items.size())
    return Expected(Cat(items.size(), " results"), results.size(), script.string());
  std::vector<ProgramResult> out;
  for (const json& result : results)
    out.push_back({result.value("right", false), result.value("why", std::string())});
  return out;
}

}  // namespace facet::eval
