// Programs of a model at a terminal: shown, asked about, and what came of them.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "cli/terminal/answer_view.h"
#include "cli/terminal/show_picture.h"
#include "runtime/python_loop.h"

namespace facet::cli {

// --python and what goes with it.
struct PythonFlags {
  bool on = false, yes = false;
  int tries = 3;
  std::string folder, notation = "auto";
};

// A loop with these options. Errors: no sandbox holds here, a folder that is too wide.
Result<std::unique_ptr<PythonLoop>> MakePythonLoop(const PythonFlags& flags);

class TerminalPython : public PythonHost {
 public:
  // `quiet`: nothing of the answer is shown. Pictures are written into the current folder, or stay
  // in the flags' folder where there is one.
  // A question is given up when `cancel` is set.
  TerminalPython(const PythonFlags& flags, bool quiet, const std::atomic<bool>* cancel);

  void OnPrompt(int read, int total) override { view_->OnPrompt(read, total); }
  void OnReasoning(const std::string& text) override { view_->OnReasoning(text); }
  void OnContent(const std::string& text) override { view_->OnContent(text); }
  bool Allow(const std::string& program, bool written, int attempt) override;
  void OnRun(const PythonRun& run, int failures) override;
  void End();

  // A program was not run because there was nobody to ask.
  bool could_not_ask() const { return could_not_ask_; }
  // The person wants to be asked no more.
  bool always() const { return always_; }

 private:
  void ShowPictures(const sandbox::Outcome& outcome);

  const PythonFlags& flags_;
  const bool quiet_;
  const std::atomic<bool>* const cancel_;
  std::optional<TerminalView> view_;
  bool could_not_ask_ = false, always_ = false;
};

// Writes a picture into the current folder under its name, or with a number where that is taken;
// the name, or why it could not be written.
Result<std::string> WritePicture(const sandbox::MadePicture& picture);

}  // namespace facet::cli
