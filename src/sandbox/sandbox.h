// Python programs that a model wrote, run apart from everything else of this machine
// (docs/sandbox.md): in bubblewrap from an empty root, without network, capabilities or other
// programs, under seccomp filters and limits. What comes out is text and files by value; pictures
// among them have been decoded by media/ and written again.
//
// There is no weaker form of it: where a protection is missing, Sandbox::Open says which, and
// nothing is run.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/python_runtime.h"

namespace facet::sandbox {

// Of one program.
struct Limits {
  double seconds = 20;                    // of the clock, from when the program is handed over
  size_t memory = size_t{1} << 30;        // in bytes: of all its memory and of files it has made
  size_t text = 16 << 10;                 // bytes of output, and of errors, that are kept
  size_t printed = size_t{8} << 20;       // bytes of output after which it is ended
  size_t file_bytes = size_t{16} << 20;   // of one file
  size_t files_bytes = size_t{64} << 20;  // of all files that come out; twice that can be written
  int files = 32;                         // that come out
  int inodes = 5000;                      // files and folders at a time
  int threads = 64;
};

struct Program {
  std::string source;
  std::string input = {};  // its standard input
};

// A picture that the program made, as a PNG by this program's own encoder.
struct MadePicture {
  std::string name;  // "plot-1.png": no folders, ends in .png
  std::string png;
  int width = 0, height = 0;
};

struct MadeFile {
  std::string name;  // relative, plain: no "..", no hidden part, no control characters
  std::string bytes;
};

struct Outcome {
  enum class End {
    kFinished,  // exit code 0
    kFailed,    // an exception, or another exit code
    kTime,
    kMemory,
    kThreads,
    kFiles,    // more files than allowed at a time
    kPrinted,  // more output than allowed
    kDied,     // by a signal
    kCancelled,
  };
  End end = End::kFinished;
  int code = 0;                // exit code, or the signal of kDied
  std::string output, errors;  // UTF-8 without control characters but \n and \t; the middle of long
                               // texts is left out
  std::vector<MadePicture> pictures;
  std::vector<MadeFile> files;        // those that are no pictures
  std::vector<std::string> left_out;  // names of files that did not come out, with the reason
  double seconds = 0;
  Limits limits;  // that held

  bool ok() const { return end == End::kFinished; }
  // "", "It took longer than 20 s.", "KeyError: 'site'": one line.
  std::string Why() const;
};

// How one program is run.
struct Job {
  Limits limits = {};
  // Whose files the program finds in its current folder, copied; nothing in it is changed. Empty:
  // none.
  std::filesystem::path folder = {};
  // Modules to import before the program comes, so that it need not wait for them.
  std::vector<std::string> prepare = {};
  // The program is facet's own: it may start processes, and confines those itself with
  // facet_sandbox.confine().
  bool trusted = false;
  // For Sandbox itself: matplotlib's cache of typefaces comes out as a file.
  bool keep_cache = false;
};

// A sandbox that is started and waits for its one program. Its destructor ends whatever runs.
class Prepared {
 public:
  virtual ~Prepared() = default;
  // Once. `cancel` ends the program early. Errors: the sandbox could not be started (kUnsupported).
  virtual Result<Outcome> Run(const Program& program,
                              const std::atomic<bool>* cancel = nullptr) = 0;
};

struct SandboxOptions {
  std::filesystem::path bubblewrap;  // empty: bwrap of PATH
  std::string python;                // empty: FindPython
};

class Sandbox {
 public:
  // Finds a Python, starts a first sandbox and tries from inside whether it holds. The error
  // (kUnsupported) says in a sentence what is missing here and how to have it.
  static Result<Sandbox> Open(const SandboxOptions& options = {});

  const PythonRuntime& python() const { return python_; }
  // "cgroup v2", or empty where memory and threads are watched instead.
  const std::string& groups() const { return groups_; }

  // Returns at once; the start goes on beside the caller.
  std::unique_ptr<Prepared> Prepare(Job job) const;
  Result<Outcome> Run(const Program& program, Job job = {},
                      const std::atomic<bool>* cancel = nullptr) const;

 private:
  Result<void> Verify() const;
  void MakeTypefaceCache();

  PythonRuntime python_;
  std::filesystem::path bubblewrap_, typefaces_;
  std::string groups_;
};

// Writes what a program made below `folder`, which is made where it is not there. Files are
// replaced; links are never followed.
Result<void> KeepFiles(const std::filesystem::path& folder, const Outcome& outcome);

}  // namespace facet::sandbox
