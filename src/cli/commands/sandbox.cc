// `facet sandbox`: whether programs of a model can be run here, and how well they are confined.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "cli/commands.h"
#include "cli/terminal/python_host.h"
#include "cli/terminal/report.h"
#include "cli/terminal/streams.h"
#include "sandbox/attacks.h"
#include "sandbox/sandbox.h"

namespace facet::cli {
namespace {

struct SandboxFlags {
  std::string file;
  PythonFlags python;
  double seconds = sandbox::Limits{}.seconds;
  bool check = false, as_json = false;
};

nlohmann::json DescribeSandbox(const sandbox::Sandbox& opened) {
  return {{"python", opened.python().executable.string()},
          {"version", opened.python().version},
          {"packages", opened.python().packages},
          {"limits_by", opened.groups().empty() ? "watching" : opened.groups()}};
}

void PrintSandbox(const sandbox::Sandbox& opened) {
  Print(
      "%s\n%s\nmemory and threads are limited by %s\n", opened.python().Describe().c_str(),
      opened.python().executable.c_str(),
      opened.groups().empty() ? "watching (no cgroup can be made here)" : opened.groups().c_str());
}

void PrintFinding(const sandbox::Finding& finding) {
  const char* word = !finding.note.empty() ? "not tried" : finding.held ? "held" : "BROKEN";
  Print("%-9s  %-9s  %s%s%s\n", word, finding.attack->protection, finding.attack->name,
        finding.note.empty() ? "" : ": ", finding.note.c_str());
  std::cout << std::flush;
}

// Prints each attack and whether it was held off. An error where one was not.
Result<void> CheckSandbox(const sandbox::Sandbox& opened, bool as_json) {
  const auto findings = sandbox::TryAttacks(
      opened, as_json ? std::function<void(const sandbox::Finding&)>() : PrintFinding);
  size_t held = 0;
  nlohmann::json report = DescribeSandbox(opened);
  report["attacks"] = nlohmann::json::array();
  for (const sandbox::Finding& finding : findings) {
    held += finding.held ? 1 : 0;
    report["attacks"].push_back({{"protection", finding.attack->protection},
                                 {"attack", finding.attack->name},
                                 {"held", finding.held}});
    if (!finding.note.empty()) report["attacks"].back()["not_tried"] = finding.note;
  }
  report["held"] = held == findings.size();
  if (as_json) {
    Print("%s\n", report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    Print("%zu of %zu attacks were held off\n", held, findings.size());
  }
  if (held != findings.size())
    return Error{"the sandbox does not hold here", ErrorKind::kPermission};
  return Ok();
}

Result<void> RunFile(const sandbox::Sandbox& opened, const SandboxFlags& flags) {
  std::string source;
  if (flags.file == "-") {
    source.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    FACET_ASSIGN(source, ReadFile(flags.file));
  }
  sandbox::Job job;
  job.limits.seconds = flags.seconds;
  job.folder = flags.python.folder;
  FACET_ASSIGN(sandbox::Outcome outcome, opened.Run({.source = source}, job));
  TerminalPython terminal(flags.python, false, nullptr);
  const bool ok = outcome.ok();
  const std::string why = outcome.Why();
  if (ok && !flags.python.folder.empty())
    FACET_TRY(sandbox::KeepFiles(flags.python.folder, outcome));
  terminal.OnRun({source, std::move(outcome)}, flags.python.tries);
  if (!ok) return Error{Cat("the program failed: ", why)};
  return Ok();
}

Result<void> SandboxCommand(const SandboxFlags& flags) {
  FACET_ASSIGN(const sandbox::Sandbox opened, sandbox::Sandbox::Open());
  if (!flags.file.empty()) return RunFile(opened, flags);
  if (!flags.as_json) PrintSandbox(opened);
  if (flags.check) return CheckSandbox(opened, flags.as_json);
  if (flags.as_json) Print("%s\n", DescribeSandbox(opened).dump(2).c_str());
  return Ok();
}

}  // namespace

void AddSandbox(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<SandboxFlags>();
  CLI::App* command = app.add_subcommand(
      "sandbox", "What a model's Python programs run in: what is there, and whether it holds");
  command->add_option("file", flags->file, "A program to run in it; - is standard input");
  CLI::Option* check = command->add_flag(
      "--check", flags->check, "Attack the sandbox from inside and say what was held off");
  command->add_flag("--json", flags->as_json, "The report as JSON");
  command->add_option("--python-folder", flags->python.folder,
                      "Folder whose files the program finds, and where it leaves its own");
  command->add_option("--seconds", flags->seconds, "Longest run of the program")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  check->excludes(command->get_option("file"));
  command->footer(
      "Without anything it says which Python there is, or why there is no sandbox here.\n"
      "FACET_PYTHON names another interpreter.\n"
      "The exit code is 0 where there is a sandbox, and with --check where all attacks were held "
      "off.\n"
      "Examples:\n"
      "  facet sandbox --check\n"
      "  facet sandbox plot.py");
  command->callback([flags, &exit_code] {
    flags->python.tries = 1;
    exit_code = Report(SandboxCommand(*flags));
  });
}

}  // namespace facet::cli
