#include "sandbox/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace facet::sandbox {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

// What the new process needs, made before it exists: it may not allocate.
struct PreparedLaunch {
  const char* program;
  char* const* argv;
  const int* descriptors;
  int count;
  const Launch::Limit* limits;
  size_t limit_count;
  int cgroup;
};

void CloseFrom(int first) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, first, ~0U, 0) == 0) return;
#endif
  const long most = sysconf(_SC_OPEN_MAX);
  for (int fd = first; fd < most; ++fd) close(fd);
}

// In the new process: returns an errno where it cannot become the program.
[[gnu::noinline]] int BecomeProgram(const PreparedLaunch& launch) {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setsid();
  if (launch.cgroup >= 0 && write(launch.cgroup, "0", 1) != 1) return errno;
  for (int i = 0; i < launch.count; ++i) {
    if (dup2(launch.descriptors[i], i) < 0) return errno;
  }
  CloseFrom(launch.count);
  for (size_t i = 0; i < launch.limit_count; ++i) {
    const rlimit limit{launch.limits[i].value, launch.limits[i].value};
    if (setrlimit(launch.limits[i].resource, &limit) != 0) return errno;
  }
  char* const environment[] = {nullptr};
  execve(launch.program, launch.argv, environment);
  return errno;
}

// vfork, as a process with gigabytes of weights takes long to copy its page tables.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wclobbered"
#endif
[[gnu::noinline]] pid_t StartPrepared(const PreparedLaunch& launch, volatile int& failed) {
  const pid_t child = vfork();
  if (child != 0) return child;
  failed = BecomeProgram(launch);
  _exit(127);
}
#pragma GCC diagnostic pop

// A copy of the descriptor out of the way of those that the program will have.
Result<Descriptor> MoveAside(int fd) {
  Descriptor copy(fcntl(fd, F_DUPFD_CLOEXEC, 64));
  if (!copy.valid()) return SystemError(errno, "fcntl");
  return copy;
}

}  // namespace

Result<int> RunCommand(const Command& command) {
  std::vector<char*> argv = Pointers(command.words);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string input = command.input.empty() ? "/dev/null" : command.input.string();
  const std::string output = command.output.empty() ? "/dev/null" : command.output.string();
  posix_spawn_file_actions_addopen(&actions, 0, input.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (command.quiet) posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  // This program's threads block signals (cli/terminal/interrupt.h); others expect theirs to
  // arrive.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  const int failed = posix_spawnp(&child, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    return Error{Cat(command.words[0], ": cannot be run: ", std::strerror(failed)),
                 failed == ENOENT ? ErrorKind::kNotFound : ErrorKind::kIo};
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return SystemError(errno, "waitpid");
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

Result<pid_t> Start(const Launch& launch) {
  const std::vector<char*> argv = Pointers(launch.words);
  std::vector<Descriptor> moved;
  std::vector<int> descriptors;
  for (const int fd : launch.descriptors) {
    FACET_ASSIGN(Descriptor copy, MoveAside(fd));
    descriptors.push_back(copy.get());
    moved.push_back(std::move(copy));
  }
  Descriptor cgroup;
  if (launch.cgroup >= 0) {
    FACET_ASSIGN(cgroup, MoveAside(launch.cgroup));
  }
  const PreparedLaunch prepared{launch.program.c_str(),
                                argv.data(),
                                descriptors.data(),
                                static_cast<int>(descriptors.size()),
                                launch.limits.data(),
                                launch.limits.size(),
                                cgroup.get()};
  // A signal of this process must not run its handlers in the memory that both share.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  volatile int failed = 0;
  const pid_t child = StartPrepared(prepared, failed);
  const int fork_error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) return SystemError(fork_error, "vfork");
  if (failed == 0) return child;
  waitpid(child, nullptr, 0);
  return SystemError(failed, launch.program);
}

Result<Pipe> MakePipe() {
  int ends[2];
#ifdef __linux__
  if (pipe2(ends, O_CLOEXEC) != 0) return SystemError(errno, "pipe");
#else
  if (pipe(ends) != 0) return SystemError(errno, "pipe");
  for (const int end : ends) fcntl(end, F_SETFD, FD_CLOEXEC);
#endif
  return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

std::filesystem::path FindProgram(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    if (!folder.starts_with('/')) continue;  // what the current folder holds is not asked for
    const std::filesystem::path file = std::filesystem::path(folder) / name;
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

}  // namespace facet::sandbox
