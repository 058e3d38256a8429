// Programs that a model wrote: run in the sandbox (sandbox/sandbox.h), several in one, by the
// recipe's run_programs.py, which gives each a process with limits of its own.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "eval/item.h"
#include "sandbox/sandbox.h"

namespace facet::eval {

struct ProgramResult {
  bool right = false;
  std::string why;  // where it is not
};

class ProgramRunner {
 public:
  // `recipe`: the folder with `python` and `run_programs.py`. May make a Python environment first.
  // Error kUnsupported: no sandbox holds here.
  static Result<ProgramRunner> Create(const std::filesystem::path& recipe);

  // For items checked as kPlot or kCode: the first answer's program.
  Result<std::vector<ProgramResult>> Run(std::span<const Item* const> items,
                                         std::span<const std::string> answers) const;

 private:
  explicit ProgramRunner(sandbox::Sandbox sandbox) : sandbox_(std::move(sandbox)) {}

  sandbox::Sandbox sandbox_;
  std::string script_;
};

}  // namespace facet::eval
