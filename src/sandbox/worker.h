// One sandbox: started, given one program, watched, ended. What comes back is what the sandbox
// said, not yet looked at (results.h does that).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "sandbox/process.h"
#include "sandbox/sandbox.h"

namespace facet::sandbox {

// Untrusted.
struct RawOutcome {
  std::string end;  // "exit 0", "signal 9", "excess memory"; or, by the keeper: "time", "printed",
                    // "cancelled", "broken"
  std::string output, errors;
  struct File {
    std::string name, bytes;
  };
  std::vector<File> files;
  std::vector<std::string> left_out;
  double seconds = 0;
};

struct WorkerOptions {
  std::filesystem::path bubblewrap;
  std::vector<std::string> confinement;  // bubblewrap's options
  std::vector<std::string> interpreter;  // the command inside
  std::string settings;                  // JSON for start.py
  Limits limits;
};

// Everything happens on a thread of its own that lives as long as the sandbox: the kernel ends the
// sandbox when the thread that started it is gone.
class Worker {
 public:
  explicit Worker(WorkerOptions options);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Once.
  Result<RawOutcome> Run(const Program& program, const std::atomic<bool>* cancel);

 private:
  struct Streams;
  void Keep();
  Result<void> Begin(Streams& streams);
  Result<RawOutcome> Drive(Streams& streams);
  void Wake();

  const WorkerOptions options_;
  pid_t process_ = -1;
  std::string group_;  // its cgroup's folder

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::optional<std::string> program_;  // as a frame
  const std::atomic<bool>* cancel_ = nullptr;
  std::optional<Result<RawOutcome>> result_;
  bool abandoned_ = false;

  Pipe wake_;
  std::thread keeper_;
};

// A text that start.py can read: its length, a line feed, and the text.
std::string Frame(const std::string& text);

}  // namespace facet::sandbox
