#include <CLI/CLI.hpp>
#include <iostream>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/terminal/help.h"
#include "cli/terminal/report.h"
#include "cli/terminal/streams.h"

namespace facet::cli {
namespace {

constexpr const char* kDescription =
    "facet runs, serves and tunes Gemma 4 12B Unified on your own machine: text, pictures, sound "
    "and film.";

constexpr const char* kFooter =
    "Examples:\n"
    "  facet run gemma4-12b \"Hello\"   one answer; offers to import what is missing\n"
    "  facet run gemma4-12b           a chat\n"
    "  facet serve gemma4-12b         the OpenAI API at http://127.0.0.1:9379/v1\n"
    "facet COMMAND --help has more; facet list --available shows what can be imported.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.";

const std::map<std::string, spdlog::level::level_enum> kLogLevels = {
    {"debug", spdlog::level::debug},
    {"info", spdlog::level::info},
    {"warning", spdlog::level::warn},
    {"error", spdlog::level::err}};

void AddLogLevel(CLI::App& app) {
  // So that it may follow a command's name too.
  app.fallthrough();
  app.add_option_function<std::string>(
         "--log-level", [](const std::string& level) { spdlog::set_level(kLogLevels.at(level)); },
         "Least important messages on stderr: debug, info (default), warning or error")
      ->type_name("LEVEL")
      ->envname("FACET_LOG")
      ->check(CLI::IsMember(&kLogLevels).description(""));  // the help text names them
}

// In the order of the help text; commands appear in the order in which they are added.
void AddCommands(CLI::App& app, int& exit_code) {
  using Adder = void (*)(CLI::App&, int&);
  struct Group {
    const char* name;
    std::vector<Adder> adders;
  };
  const Group groups[] = {
      {"Ask and serve", {AddRun, AddServe, AddPs}},
      {"Models on this machine", {AddImport, AddStoreCommands, AddEstimate}},
      {"Train", {AddTune, AddExport, AddEval}},
      {"Check and measure", {AddVerify, AddSandbox, AddBench, AddConform, AddSynth}},
      {"Tokens and prompts", {AddTokenize}},
      {"Shell", {AddCompletion}},
  };
  for (const Group& group : groups) {
    const size_t before = app.get_subcommands({}).size();
    for (const Adder add : group.adders) add(app, exit_code);
    const std::vector<CLI::App*> commands = app.get_subcommands({});
    for (size_t i = before; i < commands.size(); ++i) commands[i]->group(group.name);
  }
  AddMan(app, exit_code);
  app.get_subcommand("man")->group("");  // for packages, not for people
}

}  // namespace

int Main(int argc, char** argv) {
  HoldClosedStreams();
  UseUtf8();
  ShowControlCharacters();
  InitLog();
  CLI::App app{kDescription, "facet"};
  app.formatter(std::make_shared<HelpFormatter>());  // before the commands: they inherit it
  app.set_version_flag("--version", FACET_VERSION);
  app.require_subcommand(1);
  app.failure_message([](const CLI::App* command, const CLI::Error& error) {
    return "facet: " + CLI::FailureMessage::simple(command, error);  // as Report()
  });
  AddLogLevel(app);
  int exit_code = 0;
  AddCommands(app, exit_code);
  app.footer(kFooter);  // last: commands without a footer would inherit it
  if (argc <= 1) {
    std::cout << app.help();
  } else {
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      exit_code = app.exit(error) == 0 ? 0 : kUsage;
    }
  }
  const Result<void> written = FlushOutput();
  return exit_code != 0 ? exit_code : Report(written);
}

}  // namespace facet::cli
