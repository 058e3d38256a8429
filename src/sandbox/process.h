// Other programs: run and waited for, or started with nothing of this process but what they are
// given.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "base/result.h"

namespace facet::sandbox {

// A command, waited for. Its standard input is `input` (a file) or empty, its output goes to
// `output` (a file) or nowhere; errors it prints are seen. The exit code, or 128 + the signal.
struct Command {
  std::vector<std::string> words;
  std::filesystem::path input, output;
  bool quiet = false;  // errors go nowhere as well
};
Result<int> RunCommand(const Command& command);

// A program that starts with an empty environment, in a session of its own, without signals blocked
// or ignored, and with these descriptors alone.
struct Launch {
  std::string program;             // its path
  std::vector<std::string> words;  // argv
  std::vector<int> descriptors;    // the program's 0, 1, 2, ...
  struct Limit {
    int resource;
    rlim_t value;  // soft and hard
  };
  std::vector<Limit> limits;
  int cgroup = -1;  // cgroup.procs of the group to start in, open for writing
};
Result<pid_t> Start(const Launch& launch);

// Both ends of a pipe, closed in programs that others start.
struct Pipe {
  Descriptor read, write;
};
Result<Pipe> MakePipe();

// Where a program lies on PATH; empty where it does not.
std::filesystem::path FindProgram(const std::string& name);

}  // namespace facet::sandbox
