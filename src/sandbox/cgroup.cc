#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/mapped_file.h"

namespace facet::sandbox {
namespace {

bool WriteControl(const std::string& file, const std::string& value) {
  const Descriptor out(open(file.c_str(), O_WRONLY | O_CLOEXEC));
  return out.valid() &&
         write(out.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
}

std::string ReadControl(const std::string& file) {
  const Descriptor in(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[4096];
  const ssize_t count = in.valid() ? read(in.get(), buffer, sizeof(buffer)) : 0;
  return {buffer, static_cast<size_t>(count > 0 ? count : 0)};
}

// This process's group: the line "0::/user.slice/...".
std::string OwnGroup(const std::string& membership) {
  const std::string text = Cat("\n", ReadControl(membership));
  const size_t line = text.find("\n0::");
  if (line == std::string::npos) return {};
  const size_t begin = line + 4;
  return text.substr(begin, text.find('\n', begin) - begin);
}

bool GivesLimits(const std::string& folder) {
  const std::string passed = ReadControl(folder + "/cgroup.subtree_control");
  return passed.find("memory") != std::string::npos && passed.find("pids") != std::string::npos;
}

}  // namespace

std::string MakeCgroup(size_t memory, int processes, Descriptor& members, const std::string& root,
                       const std::string& membership) {
  static std::atomic<int> number = 0;
  // A group with processes cannot limit its children: one of those above it is asked.
  std::string above = OwnGroup(membership);
  while (!above.empty()) {
    const size_t cut = above.rfind('/');
    above.resize(cut == std::string::npos ? 0 : cut);
    const std::string parent = root + above;
    if (!GivesLimits(parent) || access((parent + "/cgroup.procs").c_str(), W_OK) != 0) continue;
    const std::string group =
        parent + "/facet-" + std::to_string(getpid()) + "-" + std::to_string(number++);
    if (mkdir(group.c_str(), 0755) != 0) continue;
    members = Descriptor(open((group + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (members.valid() && WriteControl(group + "/memory.max", std::to_string(memory)) &&
        WriteControl(group + "/pids.max", std::to_string(processes))) {
      WriteControl(group + "/memory.swap.max", "0");
      return group;
    }
    members.Close();
    RemoveCgroup(group);
  }
  return {};
}

void EndCgroup(const std::string& group) {
  if (!group.empty()) WriteControl(group + "/cgroup.kill", "1");
}

void RemoveCgroup(const std::string& group) {
  // Processes that were killed belong to it until they are gone.
  for (int attempt = 0; !group.empty() && rmdir(group.c_str()) != 0 && attempt < 50; ++attempt)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

}  // namespace facet::sandbox
