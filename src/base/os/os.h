// System calls that differ between Linux (linux.cc) and macOS (macos.cc). What POSIX has in common
// is called where it is needed.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace facet {

// --- the process and the machine

// The program that is running; empty where the system does not say.
std::filesystem::path ExecutablePath();

// Cores that this process may run on, at least 1.
int AvailableCores();

// The largest amount of physical memory that this process has held, in bytes.
int64_t PeakMemoryBytes();

// When the process began: equal texts mean the same process, since a process number is reused
// later. Empty where there is no such process.
std::string ProcessStartTime(pid_t pid);

// Optional instructions of an Arm processor that programs may use; none on other processors.
struct ArmFeatures {
  bool crc32 = false, atomics = false, rdm = false;  // what armv8.2-a means to compilers
  bool dot_product = false;                          // SDOT, UDOT
  bool int8_matrix_product = false;                  // SMMLA
};
ArmFeatures FindArmFeatures();

// --- memory

// Zeroed pages that take physical memory when they are first written; nullptr where the address
// space is used up. `bytes` > 0.
std::byte* ReserveMemory(size_t bytes);
void ReleaseMemory(std::byte* data, size_t bytes);
// Asks for large pages, which cost fewer TLB misses. Nothing happens where there are none.
void UseHugePages(void* data, size_t bytes);

// --- files

// Returns when what was written to the file, or to the folder, would survive a power cut. False
// with errno where the device failed.
bool FlushToDevice(int fd);

// Writes this range of the file out and drops it from the page cache: for files larger than memory
// that are not read again soon. A hint; FlushToDevice makes the content durable.
void FlushRange(int fd, int64_t offset, int64_t bytes);

enum class LockWait { kNo, kYes };
enum class LockOutcome { kLocked, kHeldElsewhere, kUnsupported };
// An exclusive, advisory lock on an open file or folder, held until the descriptor is closed.
// kUnsupported: the file system has no locks.
LockOutcome LockFile(int fd, LockWait wait);

// Opens what a path leads to without reading it or waiting for it, to ask what that is. -1 with
// errno where it cannot be opened.
int OpenUnread(const std::filesystem::path& path);
// Where what was opened lies, without links. Empty where the system does not say.
std::filesystem::path PathOfDescriptor(int fd);
// Opens for reading what OpenUnread has opened, even where its name means another file by now.
int OpenOpened(int fd);

// What tells a file's versions apart without reading it.
struct FileIdentity {
  off_t bytes = 0;
  ino_t inode = 0;
  timespec modified{}, changed{};  // of the content; of the content or the metadata
};
std::optional<FileIdentity> IdentifyFile(const std::filesystem::path& path);

// --- sockets

// As socket(), closed in programs that this one starts.
int OpenSocket(int family, int type, int protocol);
// True once the peer has closed its side, also where bytes before that are not read yet.
bool PeerHasClosed(int fd);

}  // namespace facet
