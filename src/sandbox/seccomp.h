// What the kernel is asked for inside of the sandbox: two seccomp filters as programs for the
// kernel's BPF machine. Written by hand, as the five kinds of instruction that they take are fewer
// than what a library would bring, and so that the second one can be sent into the sandbox as
// bytes. Linux on x86-64 and aarch64; empty elsewhere.
#pragma once

#include <cstdint>
#include <string>

namespace facet::sandbox {

// For everything inside: a list of the system calls that Python and its libraries need. No sockets
// of any family, no namespaces, mounts, tracing, keys, BPF, io_uring, memory files; terminals
// cannot be written into (TIOCSTI). A call by another ABI (i386, x32) ends the process.
std::string SandboxFilter();

// For a model's program, on top of the first: it can start threads but no process, cannot run
// another program, and can signal only itself. Its own process number stands in it as
// kOwnPidMark (start.py puts it in).
std::string ProgramFilter();

constexpr uint32_t kOwnPidMark = 0x7ACE7ACE;

}  // namespace facet::sandbox
