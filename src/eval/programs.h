// Programs that a model wrote: run apart from this process, with limits, by the recipe's
// run_programs.py; inside bubblewrap (no network, nothing can be written) where that works here.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "eval/item.h"

namespace facet::eval {

// A command, waited for. Its standard input is `input` (a file) or empty, its output goes to
// `output` (a file) or nowhere; errors it prints are seen. The exit code, or 128 + the signal.
struct Command {
  std::vector<std::string> words;
  std::filesystem::path input, output;
  bool quiet = false;  // errors go nowhere as well
};
Result<int> RunCommand(const Command& command);

struct ProgramResult {
  bool right = false;
  std::string why;  // where it is not
};

class ProgramRunner {
 public:
  // `recipe`: the folder with `python` and `run_programs.py`. May make a Python environment first.
  static Result<ProgramRunner> Create(const std::filesystem::path& recipe);

  // For items checked as kPlot or kCode: the first answer's program.
  Result<std::vector<ProgramResult>> Run(std::span<const Item* const> items,
                                         std::span<const std::string> answers) const;
  bool sandboxed() const { return !sandbox_.empty(); }

 private:
  std::filesystem::path recipe_;
  std::string python_;
  std::vector<std::string> sandbox_;  // words in front of the command
};

}  // namespace facet::eval
