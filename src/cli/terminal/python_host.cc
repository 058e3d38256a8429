#include "cli/terminal/python_host.h"

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "base/text.h"
#include "base/visible.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/streams.h"
#include "sandbox/results.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShownOutput = 16 << 10;

// A line from the terminal at stdin; nothing where the person leaves or `cancel` is set.
std::optional<std::string> ReadTypedLine(const std::atomic<bool>* cancel) {
  std::string line;
  while (cancel == nullptr || !cancel->load()) {
    pollfd ready{STDIN_FILENO, POLLIN, 0};
    if (poll(&ready, 1, 100) <= 0) continue;
    char byte = 0;
    if (read(STDIN_FILENO, &byte, 1) != 1) return std::nullopt;
    if (byte == '\n') return line;
    line += byte;
  }
  return std::nullopt;
}

// Asks; what is typed is seen even where the chat hides it.
std::optional<std::string> AskAtTerminal(const std::string& question,
                                         const std::atomic<bool>* cancel) {
  termios before{};
  tcgetattr(STDIN_FILENO, &before);
  termios shown = before;
  shown.c_lflag |= static_cast<tcflag_t>(ECHO | ICANON);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);  // what was typed before is no answer
  PrintError("%s", question.c_str());
  auto line = ReadTypedLine(cancel);
  tcsetattr(STDIN_FILENO, TCSANOW, &before);
  if (!line) PrintError("\n");
  return line;
}

void ShowProgram(const std::string& visible) {
  PrintError("--- Python\n%s%s---\n", visible.c_str(), visible.ends_with('\n') ? "" : "\n");
}

bool IsTooWideForPrograms(const fs::path& folder) {
  const char* home = std::getenv("HOME");
  std::error_code code;
  return folder == "/" || (home != nullptr && fs::equivalent(folder, home, code));
}

}  // namespace

Result<std::unique_ptr<PythonLoop>> MakePythonLoop(const PythonFlags& flags) {
  PythonOptions options;
  options.tries = flags.tries;
  if (flags.notation == "call") options.notation = PythonNotation::kCall;
  if (flags.notation == "block") options.notation = PythonNotation::kBlock;
  if (!flags.folder.empty()) {
    std::error_code code;
    options.folder = fs::weakly_canonical(flags.folder, code);
    if (IsTooWideForPrograms(options.folder))
      return Error{Cat("--python-folder: programs can read all that is in ", flags.folder,
                       "; name a folder for their files alone")};
  }
  FACET_ASSIGN(sandbox::Sandbox opened, sandbox::Sandbox::Open());
  return std::make_unique<PythonLoop>(std::move(opened), std::move(options));
}

Result<std::string> WritePicture(const sandbox::MadePicture& picture) {
  const std::string stem = picture.name.substr(0, picture.name.size() - 4);
  const std::string_view numbered = "plot-";
  std::string base = stem.starts_with(numbered) ? std::string(numbered) : stem + "-";
  std::string name = picture.name;
  for (int number = 1; number < 10000; ++number) {
    const Descriptor file(open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (!file.valid() && errno == EEXIST) {
      name = Cat(base, number, ".png");
      continue;
    }
    if (!file.valid()) return SystemError(errno, name);
    std::string_view rest = picture.png;
    while (!rest.empty()) {
      const ssize_t count = write(file.get(), rest.data(), rest.size());
      if (count <= 0) return SystemError(errno, name);
      rest.remove_prefix(static_cast<size_t>(count));
    }
    return name;
  }
  return Error{Cat(picture.name, ": there are too many pictures of this name here")};
}

void TerminalPython::End() {
  view_->End();
  view_.emplace(quiet_);  // for the next answer
}

TerminalPython::TerminalPython(const PythonFlags& flags, bool quiet,
                               const std::atomic<bool>* cancel)
    : flags_(flags), quiet_(quiet), cancel_(cancel), view_(std::in_place, quiet) {}

bool TerminalPython::Allow(const std::string& program, bool written, int attempt) {
  End();
  const std::string visible = Visible(program);
  const bool seen = written && !quiet_ && isatty(STDOUT_FILENO) == 1 && visible == program;
  if (!seen) ShowProgram(visible);
  if (flags_.yes || always_) return true;
  if (!CanAsk()) {
    could_not_ask_ = true;
    return false;
  }
  const std::string sees =
      flags_.folder.empty() ? "no files of yours" : "only the files in " + flags_.folder;
  const std::string again = attempt > 1 ? Cat(" (try ", attempt, " of ", flags_.tries, ")") : "";
  const auto answer = AskAtTerminal(Cat("Run this program", again, "? It has no network and sees ",
                                        sees, ". [y = yes, a = and all others, N] "),
                                    cancel_);
  if (!answer) return false;
  const std::string word = ToLower(Trim(*answer));
  always_ = word.starts_with("a");
  return always_ || word.starts_with("y");
}

void TerminalPython::OnRun(const PythonRun& run, int failures) {
  const sandbox::Outcome& outcome = run.outcome;
  // What the program says is a result as the answer is, but to a caller that reads JSON.
  if (!quiet_ && !outcome.output.empty()) {
    const std::string text = sandbox::CleanText(outcome.output, kShownOutput);
    Print("%s%s", text.c_str(), text.ends_with('\n') ? "" : "\n");
    std::cout << std::flush;
  }
  if (!outcome.ok()) {
    if (!outcome.errors.empty()) PrintError("%s", outcome.errors.c_str());
    const std::string why = outcome.Why();
    if (outcome.end != sandbox::Outcome::End::kFailed || outcome.errors.empty())
      PrintError("%s\n", why.c_str());
    if (outcome.end == sandbox::Outcome::End::kCancelled) return;
    if (failures < flags_.tries) {
      PrintError("[the program failed; try %d of %d]\n", failures + 1, flags_.tries);
    } else if (flags_.tries > 1) {
      PrintError("[the program failed %d times]\n", failures);
    }
    return;
  }
  ShowPictures(outcome);
  for (const std::string& name : outcome.left_out) PrintError("[not kept: %s]\n", name.c_str());
  for (const sandbox::MadeFile& file : outcome.files) {
    if (flags_.folder.empty()) {
      PrintError("[made %s, not kept: --python-folder keeps files]\n", file.name.c_str());
    } else {
      PrintError("[wrote %s]\n", (fs::path(flags_.folder) / file.name).c_str());
    }
  }
}

void TerminalPython::ShowPictures(const sandbox::Outcome& outcome) {
  if (outcome.pictures.empty()) return;
  const PictureProtocol protocol = quiet_ ? PictureProtocol::kNone : DetectPictures();
  for (const sandbox::MadePicture& picture : outcome.pictures) {
    std::string name = (fs::path(flags_.folder) / picture.name).string();
    if (flags_.folder.empty()) {
      const auto written = WritePicture(picture);
      if (!written.ok()) {
        PrintError("facet: %s\n", written.error().message.c_str());
        continue;
      }
      name = *written;
    }
    const std::string shown = PictureSequence(protocol, picture.png);
    std::fwrite(shown.data(), 1, shown.size(), stdout);
    std::fflush(stdout);
    PrintError("[wrote %s, %dx%d]\n", name.c_str(), picture.width, picture.height);
  }
}

}  // namespace facet::cli
