// A control group (v2) for one sandbox, where this process may make one: memory and processes are
// then limited by the kernel for all processes inside together. Elsewhere start.py watches.
#pragma once

#include <cstddef>
#include <string>

#include "base/descriptor.h"

namespace facet::sandbox {

// The folder of the new group, and its cgroup.procs open for writing; empty where none can be made.
// `root` and `membership` are /sys/fs/cgroup and /proc/self/cgroup but in tests.
std::string MakeCgroup(size_t memory, int processes, Descriptor& members,
                       const std::string& root = "/sys/fs/cgroup",
                       const std::string& membership = "/proc/self/cgroup");
// Ends all processes in it. An empty name does nothing, here and below.
void EndCgroup(const std::string& group);
void RemoveCgroup(const std::string& group);

}  // namespace facet::sandbox
