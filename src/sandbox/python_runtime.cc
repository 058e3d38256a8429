#include "sandbox/python_runtime.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/mapped_file.h"
#include "base/scratch_folder.h"
#include "sandbox/process.h"

namespace facet::sandbox {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Imports nothing of the packages, which would take a second.
constexpr const char* kProbe = R"(
import ctypes, importlib.metadata, importlib.util, json, os, resource, site, sys, sysconfig
packages = {}
for name in sys.argv[1:]:
    try:
        if importlib.util.find_spec(name):
            packages[name] = importlib.metadata.version(name)
    except Exception:
        pass
own = [sysconfig.get_path(name) for name in ("purelib", "platlib")] + site.getsitepackages()
with open("/proc/self/maps") as maps:
    mapped = [line.split(None, 5)[5].strip() for line in maps if line.count("/") and ".so" in line]
print(json.dumps({
    "executable": os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable),
    "version": "%d.%d.%d" % sys.version_info[:3], "recent": sys.version_info >= (3, 8),
    "packages": packages,
    "standard": [os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")],
    "site": [path for path in sys.path if path in own and os.path.isdir(path)],
    "libraries": [os.path.dirname(os.path.realpath(path)) for path in mapped]}))
)";

// Folders of which some part is anybody's own: never shown whole, whatever a Python says.
bool IsTooWide(const fs::path& folder) {
  static const std::vector<fs::path> kWide = {
      "/",    "/usr",  "/etc",       "/home",      "/root", "/var",    "/tmp",
      "/run", "/opt",  "/mnt",       "/media",     "/proc", "/sys",    "/dev",
      "/srv", "/boot", "/usr/share", "/usr/local", "/bin",  "/usr/bin"};
  if (!folder.is_absolute()) return true;
  if (std::find(kWide.begin(), kWide.end(), folder) != kWide.end()) return true;
  const char* home = std::getenv("HOME");
  if (home == nullptr) return false;
  const std::string below = fs::path(home).lexically_normal().string() + "/";
  return below.starts_with(folder.string() + "/");
}

void AddFolder(const fs::path& folder, std::vector<fs::path>& folders) {
  const fs::path plain = folder.lexically_normal();
  if (IsTooWide(plain)) return;
  // What lies below another one is there already.
  for (const fs::path& other : folders) {
    if ((plain.string() + "/").starts_with(other.string() + "/")) return;
  }
  folders.push_back(plain);
}

Result<std::string> Ask(const std::string& interpreter) {
  const ScratchFolder scratch;
  const fs::path output = scratch.path() / "probe.json";
  Command command;
  command.words = {interpreter, "-I", "-c", kProbe};
  command.words.insert(command.words.end(), kPackages.begin(), kPackages.end());
  command.output = output;
  command.quiet = true;
  FACET_ASSIGN(const int code, RunCommand(command));
  if (code != 0)
    return Error{Cat(interpreter, ": is no Python 3 that can be used (exit code ", code, ")"),
                 ErrorKind::kUnsupported};
  return ReadFile(output);
}

}  // namespace

const std::vector<std::string> kPackages = {"numpy", "matplotlib", "pandas"};

std::string PythonRuntime::Describe() const {
  std::string with, without;
  for (const std::string& name : kPackages) {
    const auto found = packages.find(name);
    std::string& list = found == packages.end() ? without : with;
    list += (list.empty() ? "" : ", ") + name;
    if (found != packages.end()) list += " " + found->second;
  }
  return Cat("Python ", version, with.empty() ? "" : " with " + with,
             without.empty() ? "" : Cat(with.empty() ? " " : "; ", "without ", without));
}

Result<PythonRuntime> ProbePython(const std::string& interpreter) {
  FACET_ASSIGN(const std::string text, Ask(interpreter));
  const json said = json::parse(text, nullptr, false);
  if (said.is_discarded() || !said.value("recent", false))
    return Error{Cat(interpreter, ": Python 3.8 or newer is needed"), ErrorKind::kUnsupported};
  PythonRuntime runtime;
  runtime.executable = said["executable"].get<std::string>();
  runtime.version = said["version"].get<std::string>();
  runtime.packages = said["packages"].get<std::map<std::string, std::string>>();
  for (const auto& folder : said["site"]) runtime.site.emplace_back(folder.get<std::string>());
  // The widest first, so that what lies below another is seen to be there.
  std::vector<std::string> all;
  for (const char* key : {"standard", "site", "libraries"}) {
    for (const auto& folder : said[key]) all.push_back(folder.get<std::string>());
  }
  std::sort(all.begin(), all.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  for (const std::string& folder : all) AddFolder(folder, runtime.folders);
  return runtime;
}

Result<PythonRuntime> FindPython() {
  if (const char* named = std::getenv("FACET_PYTHON"); named != nullptr && *named != '\0')
    return ProbePython(named);
  std::optional<PythonRuntime> best;
  Error error{"there is no python3 on PATH; FACET_PYTHON names another", ErrorKind::kUnsupported};
  for (const char* name : {"python3", "/usr/bin/python3"}) {
    auto found = ProbePython(name);
    if (!found.ok()) {
      if (found.error().kind != ErrorKind::kNotFound) error = found.error();
      continue;
    }
    if (!best || found->packages.size() > best->packages.size()) best = std::move(*found);
    if (best->packages.size() == kPackages.size()) break;
  }
  if (!best) return error;
  return *best;
}

}  // namespace facet::sandbox
