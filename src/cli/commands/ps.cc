// facet ps and facet stop: the servers that run.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <ctime>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/options/number_checks.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/report.h"
#include "cli/terminal/table.h"
#include "runtime/running_servers.h"

namespace facet::cli {
namespace {

std::string Join(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

void ListServers(bool as_json) {
  const auto servers = RunningServers();
  if (as_json) {
    nlohmann::ordered_json out = nlohmann::ordered_json::array();
    for (const auto& s : servers)
      out.push_back({{"pid", s.pid}, {"url", s.url}, {"models", s.models}, {"started", s.started}});
    std::cout << out.dump(2) << '\n';
    return;
  }
  if (servers.empty()) {
    std::cout << "no server runs\n";
    return;
  }
  std::vector<std::vector<std::string>> rows = {{"PID", "URL", "SINCE", "MODELS"}};
  for (const auto& s : servers) {
    rows.push_back(
        {std::to_string(s.pid), s.url, HumanSeconds(UnixSeconds() - s.started), Join(s.models)});
  }
  PrintTable(rows);
}

// Asks for a drain and waits for its end.
Result<void> StopServers(pid_t pid, bool all) {
  auto servers = RunningServers();
  if (pid != 0) std::erase_if(servers, [&](const auto& s) { return s.pid != pid; });
  if (servers.empty())
    return Error{pid != 0 ? Cat("no server runs as ", pid) : "no server runs",
                 ErrorKind::kNotFound};
  if (servers.size() > 1 && !all)
    return Error{"several servers run: give a PID of `facet ps`, or --all"};
  for (const auto& s : servers) {
    if (kill(s.pid, SIGTERM) != 0)
      return Error{Cat(s.pid, ": cannot be stopped"), ErrorKind::kPermission};
  }
  for (const auto& s : servers) {
    for (int i = 0; kill(s.pid, 0) == 0; ++i) {
      if (i == 600) return Error{Cat(s.pid, ": still runs after a minute"), ErrorKind::kIo};
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    std::cout << "stopped " << s.pid << '\n';
  }
  return Ok();
}

}  // namespace

void AddPs(CLI::App& app, int& exit_code) {
  auto as_json = std::make_shared<bool>(false);
  CLI::App* ps = app.add_subcommand("ps", "List the servers that run");
  ps->add_flag("--json", *as_json, "As JSON");
  ps->footer("Example: facet ps --json");
  ps->callback([as_json] { ListServers(*as_json); });

  struct StopFlags {
    pid_t pid = 0;
    bool all = false;
  };
  auto flags = std::make_shared<StopFlags>();
  CLI::App* stop = app.add_subcommand("stop", "Stop a server after its running requests");
  stop->add_option("PID", flags->pid, "Process id, as facet ps shows it")->check(AboveZero());
  stop->add_flag("--all", flags->all, "All of them");
  stop->footer("Examples:\n  facet stop\n  facet stop 4711\n  facet stop --all");
  stop->callback([flags, &exit_code] { exit_code = Report(StopServers(flags->pid, flags->all)); });
}

}  // namespace facet::cli
