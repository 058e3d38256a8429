// The commands of the `facet` program. Each adds its subcommand to the app and, when it ran, sets
// the exit code.
#pragma once

namespace CLI {
class App;
}

namespace facet::cli {

// Exit codes: 0 success, 1 the command failed, 2 wrong usage, 130 interrupted.
constexpr int kFailed = 1, kUsage = 2, kInterrupted = 130;

void AddConform(CLI::App& app, int& exit_code);
void AddExport(CLI::App& app, int& exit_code);
void AddRun(CLI::App& app, int& exit_code);
void AddTune(CLI::App& app, int& exit_code);
void AddEstimate(CLI::App& app, int& exit_code);
void AddVerify(CLI::App& app, int& exit_code);
void AddEval(CLI::App& app, int& exit_code);
void AddServe(CLI::App& app, int& exit_code);
void AddPs(CLI::App& app, int& exit_code);  // and stop
void AddSandbox(CLI::App& app, int& exit_code);
void AddBench(CLI::App& app, int& exit_code);
void AddSynth(CLI::App& app, int& exit_code);
void AddTokenize(CLI::App& app, int& exit_code);  // tokenize, detokenize, render
void AddImport(CLI::App& app, int& exit_code);
void AddStoreCommands(CLI::App& app, int& exit_code);  // list, show, rename, rm
void AddCompletion(CLI::App& app, int& exit_code);
void AddMan(CLI::App& app, int& exit_code);

// Parses the command line and runs the command.
int Main(int argc, char** argv);

}  // namespace facet::cli
