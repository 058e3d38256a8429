// A conversation in which the model may run Python: it answers with a program, as a call of the
// tool `python` or, where it calls no tools, as a fenced block; the program runs in the sandbox if
// the person allows it; what it printed and what went wrong goes back to the model.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/scratch_folder.h"
#include "runtime/conversation.h"
#include "sandbox/sandbox.h"

namespace facet {

// How the model is to say that it wants a program run.
enum class PythonNotation {
  kAuto,   // kBlock for models that are too small for a tool they have not seen, kCall for others
  kCall,   // it is given a tool; fenced blocks of an answer without calls are taken too
  kBlock,  // it is told of nothing; fenced blocks are taken
};

struct PythonOptions {
  PythonNotation notation = PythonNotation::kAuto;
  int tries = 3;  // failing programs before the loop gives up
  // The conversation's files: programs find them in their current folder, and what they make is
  // kept here. Empty: a folder that goes with the PythonLoop.
  std::filesystem::path folder;
  sandbox::Limits limits = {};
};

// A program and what came of it.
struct PythonRun {
  std::string program;
  sandbox::Outcome outcome;
};

// The person's side.
class PythonHost : public ReplyView {
 public:
  // `written`: the program stands in the answer, so that the person has seen it.
  virtual bool Allow(const std::string& program, bool written, int attempt) = 0;
  virtual void OnRun(const PythonRun& run, int failures) = 0;
};

struct PythonTurn {
  Reply reply;              // the last one
  nlohmann::json messages;  // the conversation up to and with it
  std::vector<PythonRun> runs;
  bool refused = false;  // the person did not allow a program
  // What the model has not been told yet: it belongs in front of the next question.
  std::string note;
};

class PythonLoop {
 public:
  PythonLoop(sandbox::Sandbox sandbox, PythonOptions options);

  // Answers the last message. While the model writes, a sandbox starts beside it.
  Result<PythonTurn> Ask(const LoadedModel& model, nlohmann::json messages, ReplyOptions options,
                         PythonHost& host, const std::atomic<bool>* cancel);

  const std::filesystem::path& folder() const { return folder_; }
  const PythonOptions& options() const { return options_; }

 private:
  sandbox::Job NextJob() const;
  nlohmann::json Tools(const LoadedModel& model) const;
  nlohmann::json ResultContent(const LoadedModel& model, const std::string& text,
                               const sandbox::Outcome& outcome);
  Result<PythonRun> RunProgram(const std::string& program, const std::atomic<bool>* cancel);

  const sandbox::Sandbox sandbox_;
  const PythonOptions options_;
  const ScratchFolder scratch_;
  std::filesystem::path folder_;
  int shown_ = 0;  // pictures that went back to the model
  std::unique_ptr<sandbox::Prepared> prepared_;
};

// The program of an answer without tools: its last block fenced with ``` and marked python, py or
// python3. Nothing where there is none, or where it is cut off.
std::optional<std::string> FencedProgram(std::string_view answer);

// The program in the arguments (JSON) of a call of the tool: its member `code`, or its only text.
std::optional<std::string> CalledProgram(const std::string& arguments);

}  // namespace facet
