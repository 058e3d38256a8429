// macOS: dyld, sysctl, F_FULLFSYNC.
#include <fcntl.h>
#include <mach-o/dyld.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "base/os/os.h"

namespace facet {

std::filesystem::path ExecutablePath() {
  uint32_t size = 0;
  _NSGetExecutablePath(nullptr, &size);
  std::string path(size, '\0');
  if (_NSGetExecutablePath(path.data(), &size) != 0) return {};
  path.resize(path.find('\0'));
  std::error_code code;
  return std::filesystem::canonical(path, code);
}

int AvailableCores() {
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

ArmFeatures FindArmFeatures() {
  const auto has = [](const char* name) {
    int value = 0;
    size_t size = sizeof(value);
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
  };
  ArmFeatures out;
  out.crc32 = has("hw.optional.armv8_crc32");
  out.atomics = has("hw.optional.arm.FEAT_LSE");
  out.rdm = has("hw.optional.arm.FEAT_RDM");
  out.dot_product = has("hw.optional.arm.FEAT_DotProd");
  out.int8_matrix_product = has("hw.optional.arm.FEAT_I8MM");
  return out;
}

int64_t PeakMemoryBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss};  // bytes, where Linux counts kilobytes
}

std::string ProcessStartTime(pid_t pid) {
  int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, pid};
  kinfo_proc info{};
  size_t size = sizeof(info);
  if (sysctl(name, 4, &info, &size, nullptr, 0) != 0 || size == 0) return {};
  const timeval start = info.kp_proc.p_starttime;
  return std::to_string(start.tv_sec) + "." + std::to_string(start.tv_usec);
}

std::byte* ReserveMemory(size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return data == MAP_FAILED ? nullptr : static_cast<std::byte*>(data);
}

void ReleaseMemory(std::byte* data, size_t bytes) {
  munmap(data, bytes);
}

void UseHugePages(void*, size_t) {}

bool FlushToDevice(int fd) {
  // fsync alone leaves the data in the drive's cache here.
  if (fcntl(fd, F_FULLFSYNC) == 0) return true;
  while (fsync(fd) != 0) {
    if (errno == EINVAL || errno == ENOTSUP) return true;
    if (errno != EINTR) return false;
  }
  return true;
}

void FlushRange(int, int64_t, int64_t) {}

LockOutcome LockFile(int fd, LockWait wait) {
  const int operation = wait == LockWait::kYes ? LOCK_EX : LOCK_EX | LOCK_NB;
  while (flock(fd, operation) != 0) {
    if (errno == EINTR) continue;
    return errno == EWOULDBLOCK ? LockOutcome::kHeldElsewhere : LockOutcome::kUnsupported;
  }
  return LockOutcome::kLocked;
}

int OpenUnread(const std::filesystem::path& path) {
  return open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

std::filesystem::path PathOfDescriptor(int fd) {
  char path[MAXPATHLEN];
  return fcntl(fd, F_GETPATH, path) == 0 ? std::filesystem::path(path) : std::filesystem::path();
}

int OpenOpened(int fd) {
  return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

std::optional<FileIdentity> IdentifyFile(const std::filesystem::path& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return std::nullopt;
  return FileIdentity{info.st_size, info.st_ino, info.st_mtimespec, info.st_ctimespec};
}

int OpenSocket(int family, int type, int protocol) {
  const int fd = socket(family, type, protocol);
  if (fd >= 0) fcntl(fd, F_SETFD, FD_CLOEXEC);
  return fd;
}

bool PeerHasClosed(int fd) {
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};  // POLLHUP needs no asking
  return poll(&entry, 1, 0) > 0 && (entry.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace facet
