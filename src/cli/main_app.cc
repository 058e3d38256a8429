#include <CLI/CLI.hpp>

#include "base/log.h"
#include "cli/commands.h"

namespace facet::cli {

int Main(int argc, char** argv) {
  InitLog(false);
  CLI::App app{
      "facet runs and serves Gemma 4 12B Unified on your own machine: text, pictures, sound and "
      "film."};
  app.footer(
      "Examples:\n"
      "  facet list --available                     short names that can be imported\n"
      "  facet run gemma4-12b \"Hello\"               one answer; offers to import what is "
      "missing\n"
      "  facet run gemma4-12b                       a chat\n"
      "  facet serve gemma4-12b                     the OpenAI API at http://127.0.0.1:9379/v1\n"
      "facet COMMAND --help has more. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 "
      "interrupted.");
  app.set_version_flag("--version", FACET_VERSION);
  app.require_subcommand(1);
  int exit_code = 0;
  AddRun(app, exit_code);
  AddEstimate(app, exit_code);
  AddVerify(app, exit_code);
  AddConform(app, exit_code);
  AddExport(app, exit_code);
  AddServe(app, exit_code);
  AddPs(app, exit_code);
  AddBench(app, exit_code);
  AddSynth(app, exit_code);
  AddTokenize(app, exit_code);
  AddImport(app, exit_code);
  AddStoreCommands(app, exit_code);
  AddCompletion(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  return exit_code;
}

}  // namespace facet::cli
