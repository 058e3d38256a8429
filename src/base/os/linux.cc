// Linux: /proc, madvise, sync_file_range.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "base/os/os.h"

namespace facet {

std::filesystem::path ExecutablePath() {
  std::error_code code;
  return std::filesystem::read_symlink("/proc/self/exe", code);
}

int AvailableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

int64_t PeakMemoryBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

std::string ProcessStartTime(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  // Field 22 of proc(5), in clock ticks. Field 2, the name, may hold blanks and parentheses.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  for (int i = 0; i < 20; ++i) fields >> field;
  return fields ? field : std::string();
}

#if defined(__aarch64__)
ArmFeatures FindArmFeatures() {
  const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
  ArmFeatures out;
  out.crc32 = (first & 1ul << 7) != 0;  // HWCAP_CRC32, and so on
  out.atomics = (first & 1ul << 8) != 0;
  out.rdm = (first & 1ul << 12) != 0;
  out.dot_product = (first & 1ul << 20) != 0;
  out.int8_matrix_product = (second & 1ul << 13) != 0;  // HWCAP2_I8MM
  return out;
}
#else
ArmFeatures FindArmFeatures() {
  return {};
}
#endif

std::byte* ReserveMemory(size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return data == MAP_FAILED ? nullptr : static_cast<std::byte*>(data);
}

void ReleaseMemory(std::byte* data, size_t bytes) {
  munmap(data, bytes);
}

void UseHugePages(void* data, size_t bytes) {
  madvise(data, bytes, MADV_HUGEPAGE);
}

bool FlushToDevice(int fd) {
  while (fsync(fd) != 0) {
    // Some file systems cannot flush folders and say so by EINVAL.
    if (errno == EINVAL) return true;
    if (errno != EINTR) return false;
  }
  return true;
}

void FlushRange(int fd, int64_t offset, int64_t bytes) {
  sync_file_range(fd, offset, bytes,
                  SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  posix_fadvise(fd, offset, bytes, POSIX_FADV_DONTNEED);
}

LockOutcome LockFile(int fd, LockWait wait) {
  const int operation = wait == LockWait::kYes ? LOCK_EX : LOCK_EX | LOCK_NB;
  while (flock(fd, operation) != 0) {
    if (errno == EINTR) continue;
    return errno == EWOULDBLOCK ? LockOutcome::kHeldElsewhere : LockOutcome::kUnsupported;
  }
  return LockOutcome::kLocked;
}

namespace {

std::string LinkOfDescriptor(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

}  // namespace

int OpenUnread(const std::filesystem::path& path) {
  return open(path.c_str(), O_PATH | O_CLOEXEC);
}

std::filesystem::path PathOfDescriptor(int fd) {
  std::error_code code;
  return std::filesystem::read_symlink(LinkOfDescriptor(fd), code);
}

int OpenOpened(int fd) {
  return open(LinkOfDescriptor(fd).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

std::optional<FileIdentity> IdentifyFile(const std::filesystem::path& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return std::nullopt;
  return FileIdentity{info.st_size, info.st_ino, info.st_mtim, info.st_ctim};
}

int OpenSocket(int family, int type, int protocol) {
  return socket(family, type | SOCK_CLOEXEC, protocol);
}

bool PeerHasClosed(int fd) {
  pollfd entry{.fd = fd, .events = POLLRDHUP, .revents = 0};
  return poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace facet
