#include "sandbox/sandbox.h"

#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/folders.h"
#include "base/mapped_file.h"
#include "base/scratch_folder.h"
#include "base/text.h"
#include "sandbox/cgroup.h"
#include "sandbox/results.h"
#include "sandbox/seccomp.h"
#include "sandbox/worker.h"

namespace facet::sandbox {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kTemporaryBytes = size_t{32} << 20;

// Reads the rest of start.py and runs it.
constexpr const char* kBegin =
    "import os; f = os.fdopen(3, 'rb'); "
    "exec(compile(f.read(int(f.readline())), 'start.py', 'exec')); main(f)";

// What a program of a model could use to leave, tried at every Open: prints what got through.
// `canary` is a file of this machine that must not be seen.
std::string VerifyProgram(const std::string& canary) {
  return Cat("canary = ", json(canary).dump(), R"(
import ctypes, os, socket
through = []
def attempt(name, act):
    try:
        if act() is not False:
            through.append(name)
    except Exception:
        pass
libc = ctypes.CDLL(None, use_errno=True)
attempt("files of this machine", lambda: open(canary).close())
attempt("programs of this machine",  # Python's own may lie there
        lambda: any(not name.startswith("python") for name in os.listdir("/usr/bin")))
attempt("the network", lambda: socket.socket())
def fork():
    if os.fork() == 0:
        os._exit(0)
attempt("new processes", fork)
attempt("namespaces", lambda: libc.unshare(0x10000000) == 0)
attempt("other processes", lambda: os.getpid() > 100)
attempt("writing outside of its folder", lambda: os.mkdir("/made"))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
attempt("capabilities", lambda: int(status["CapEff"], 16) | int(status["CapBnd"], 16) != 0)
attempt("new privileges", lambda: status["NoNewPrivs"].strip() != "1")
attempt("system calls", lambda: status["Seccomp"].strip() != "2")
print(", ".join(through) or "nothing")
)");
}

void AddBinds(const PythonRuntime& python, std::vector<std::string>& words) {
  const auto bind = [&](const char* how, const std::string& path) {
    words.insert(words.end(), {how, path, path});
  };
  // Where /lib is a link into /usr, as on most systems, it is one inside too, if anything lies
  // there.
  for (const char* name : {"lib", "lib64"}) {
    std::error_code code;
    const fs::path target = fs::read_symlink(fs::path("/") / name, code);
    if (code) continue;
    const std::string inside = (fs::path("/") / target).lexically_normal().string();
    const bool used = std::any_of(
        python.folders.begin(), python.folders.end(),
        [&](const fs::path& folder) { return (folder.string() + "/").starts_with(inside + "/"); });
    if (used) words.insert(words.end(), {"--symlink", target.string(), Cat("/", name)});
  }
  for (const fs::path& folder : python.folders) bind("--ro-bind", folder);
  bind("--ro-bind", python.executable);
  // The loaders of x86-64 and aarch64, what they look things up in, and data of the packages.
  for (const char* path : {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1",
                           "/etc/ld.so.cache", "/etc/alternatives", "/etc/matplotlibrc",
                           "/usr/share/matplotlib", "/usr/share/fonts", "/usr/share/zoneinfo"})
    bind("--ro-bind-try", path);
}

// bubblewrap's options (its order counts).
std::vector<std::string> Confinement(const PythonRuntime& python, const fs::path& typefaces,
                                     const Job& job) {
  // --unshare-all would go on where a namespace cannot be had.
  std::vector<std::string> words = {"--unshare-user",
                                    "--unshare-ipc",
                                    "--unshare-pid",
                                    "--unshare-net",
                                    "--unshare-uts",
                                    "--unshare-cgroup-try",
                                    "--uid",
                                    "1000",
                                    "--gid",
                                    "1000",
                                    "--hostname",
                                    "sandbox",
                                    "--die-with-parent",
                                    "--new-session",
                                    "--cap-drop",
                                    "ALL",
                                    "--clearenv",
                                    "--seccomp",
                                    "6"};
  const std::pair<const char*, const char*> kEnvironment[] = {
      {"PATH", "/nowhere"},
      {"HOME", "/tmp"},
      {"USER", "person"},
      {"LANG", "C.UTF-8"},
      {"TZ", "UTC"},
      {"MPLBACKEND", "module://facet_plots"},
      {"MPLCONFIGDIR", "/tmp/matplotlib"},
      // Threads that wait for work take memory and time to start.
      {"OPENBLAS_NUM_THREADS", "1"},
      {"OMP_NUM_THREADS", "1"},
      {"MKL_NUM_THREADS", "1"}};
  for (const auto& [name, value] : kEnvironment)
    words.insert(words.end(), {"--setenv", name, value});
  // First, as a Python may lie below /tmp.
  words.insert(words.end(), {"--size", std::to_string(kTemporaryBytes), "--tmpfs", "/tmp"});
  words.insert(words.end(),
               {"--size", std::to_string(2 * job.limits.files_bytes), "--tmpfs", "/files"});
  AddBinds(python, words);
  words.insert(words.end(), {"--proc", "/proc"});
  for (const char* device : {"/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random"})
    words.insert(words.end(), {"--dev-bind", device, device});
  if (!job.folder.empty())
    words.insert(words.end(), {"--ro-bind", fs::absolute(job.folder).string(), "/given"});
  if (!typefaces.empty())
    words.insert(words.end(), {"--ro-bind", typefaces.string(), "/matplotlib"});
  words.insert(words.end(), {"--remount-ro", "/", "--chdir", "/files"});
  return words;
}

std::string Settings(const PythonRuntime& python, const Job& job) {
  json filter = json::array(), paths = json::array();
  for (const char c : ProgramFilter()) filter.push_back(static_cast<uint8_t>(c));
  for (const fs::path& path : python.site) paths.push_back(path.string());
  const Limits& limits = job.limits;
  return json{{"filter", filter},
              {"paths", paths},
              {"prepare", job.prepare},
              {"trusted", job.trusted},
              {"cache", job.keep_cache},
              {"limits",
               {{"memory", limits.memory},
                {"file_bytes", limits.file_bytes},
                {"files_bytes", limits.files_bytes},
                {"files", limits.files},
                {"inodes", limits.inodes},
                {"threads", limits.threads}}}}
      .dump();
}

class PreparedWorker : public Prepared {
 public:
  PreparedWorker(WorkerOptions options, const Limits& limits)
      : limits_(limits), worker_(std::move(options)) {}

  Result<Outcome> Run(const Program& program, const std::atomic<bool>* cancel) override {
    FACET_ASSIGN(RawOutcome raw, worker_.Run(program, cancel));
    return MakeOutcome(std::move(raw), limits_);
  }

 private:
  const Limits limits_;
  Worker worker_;
};

// How the person gets what is missing, by what bubblewrap said.
std::string Advice(const std::string& said) {
  if (said.find("uid map") != std::string::npos ||
      said.find("user namespace") != std::string::npos ||
      said.find("No permissions to create") != std::string::npos)
    return "; this system does not let programs make user namespaces (on Ubuntu, an AppArmor "
           "profile for bwrap allows it; elsewhere, sysctl kernel.unprivileged_userns_clone=1)";
  if (said.find("Unknown option") != std::string::npos)
    return "; bubblewrap 0.8 or newer is needed";
  return "";
}

Error Missing(const std::string& what) {
  return {Cat("Python is off: ", what), ErrorKind::kUnsupported, "python_unavailable"};
}

}  // namespace

Result<Sandbox> Sandbox::Open(const SandboxOptions& options) {
  if (SandboxFilter().empty())
    return Missing("it needs Linux on x86-64 or aarch64 (bubblewrap, seccomp)");
  Sandbox sandbox;
  sandbox.bubblewrap_ = options.bubblewrap.empty() ? FindProgram("bwrap") : options.bubblewrap;
  if (sandbox.bubblewrap_.empty())
    return Missing("bubblewrap is not installed (Debian, Ubuntu, Fedora: package bubblewrap)");
  auto python = options.python.empty() ? FindPython() : ProbePython(options.python);
  if (!python.ok()) return Missing(python.error().message);
  sandbox.python_ = std::move(*python);
  FACET_TRY(sandbox.Verify());
  sandbox.MakeTypefaceCache();
  Descriptor members;
  const std::string group = MakeCgroup(size_t{1} << 30, 64, members);
  members.Close();
  RemoveCgroup(group);
  sandbox.groups_ = group.empty() ? "" : "cgroup v2";
  return sandbox;
}

Result<void> Sandbox::Verify() const {
  const ScratchFolder scratch;
  const fs::path canary = scratch.path() / "canary";
  FACET_TRY(WriteFile(canary, "seen"));
  const auto outcome = Run({.source = VerifyProgram(canary.string())});
  if (!outcome.ok()) {
    const std::string said(Trim(CleanText(outcome.error().message, 400)));
    return Missing(Cat("no sandbox can be started (", said, ")", Advice(said)));
  }
  if (!outcome->ok()) return Missing(Cat("a program in the sandbox failed (", outcome->Why(), ")"));
  const std::string through(Trim(outcome->output));
  if (through != "nothing") return Missing(Cat("from inside the sandbox it could reach ", through));
  return Ok();
}

// matplotlib looks through all typefaces at its first start, which takes seconds, and keeps what it
// found in a file. Programs start without one each time: it is made once, by facet's own line.
void Sandbox::MakeTypefaceCache() {
  const auto version = python_.packages.find("matplotlib");
  const fs::path cache = CacheFolder();
  if (version == python_.packages.end() || cache.empty()) return;
  struct stat fonts {};
  stat("/usr/share/fonts", &fonts);
  const std::string key =
      Cat(version->second, "-", fonts.st_mtime, "-",
          std::hash<std::string>()(python_.site.empty() ? "" : python_.site[0].string()));
  const fs::path folder = cache / "typefaces" / key;
  std::error_code code;
  if (!fs::exists(folder / "made", code)) {
    const auto outcome = Run({.source = "import matplotlib.font_manager"},
                             {.limits = {.seconds = 60}, .keep_cache = true});
    if (!outcome.ok() || !outcome->ok() || outcome->files.empty()) return;
    if (!KeepFiles(folder, *outcome).ok() || !WriteFile(folder / "made", "").ok()) return;
  }
  typefaces_ = folder;
}

std::unique_ptr<Prepared> Sandbox::Prepare(Job job) const {
  WorkerOptions options;
  options.bubblewrap = bubblewrap_;
  options.confinement = Confinement(python_, typefaces_, job);
  options.interpreter = {python_.executable.string(), "-I", "-S", "-B", "-X", "utf8", "-c", kBegin};
  options.settings = Settings(python_, job);
  options.limits = job.limits;
  return std::make_unique<PreparedWorker>(std::move(options), job.limits);
}

Result<Outcome> Sandbox::Run(const Program& program, Job job,
                             const std::atomic<bool>* cancel) const {
  return Prepare(std::move(job))->Run(program, cancel);
}

}  // namespace facet::sandbox
