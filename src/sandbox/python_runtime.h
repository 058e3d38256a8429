// A Python of this machine, and what of the file system it needs.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace facet::sandbox {

struct PythonRuntime {
  std::filesystem::path executable;  // the interpreter itself, no link and no environment's copy
  std::string version;               // "3.11.2"
  std::map<std::string, std::string> packages;  // numpy, matplotlib, pandas that it has: versions
  std::vector<std::filesystem::path> site;      // folders of packages, in the order of sys.path
  std::vector<std::filesystem::path> folders;   // all that has to be there: standard library, site,
                                                // shared libraries

  // "Python 3.11.2 with numpy 1.24.2, matplotlib 3.6.3; without pandas"
  std::string Describe() const;
};

// What a program may count on.
extern const std::vector<std::string> kPackages;

// Asks one interpreter, by name or path. Errors: not to be run, older than 3.8, no ctypes.
Result<PythonRuntime> ProbePython(const std::string& interpreter);

// The one with most of kPackages among `python3` of PATH and of the system; FACET_PYTHON names
// another, which then is the only one asked.
Result<PythonRuntime> FindPython();

}  // namespace facet::sandbox
