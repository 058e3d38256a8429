#include "sandbox/attacks.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"

namespace facet::sandbox {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kVariable = "FACET_ATTACK_TARGET";
constexpr const char* kSecret = "facet-attack-secret-7Q2";
constexpr size_t kAtOnce = 4;

// In front of each attack. breach() is said when the attack has worked; reached(n, ...) makes a
// system call by number and says so where the kernel took it.
constexpr const char* kPrelude = R"py(
import ctypes, errno, os, platform, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
def breach():
    print("BREACH", flush=True)
def reached(x86_number, arm_number, *arguments):
    result = libc.syscall(x86_number if x86 else arm_number, *arguments)
    if result >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        breach()
)py";

constexpr Attack kAttacks[] = {
    {"network", "a connection to a port of this machine", R"py(
socket.create_connection(("127.0.0.1", target["port"]), 2)
breach()
)py"},
    {"network", "a page by HTTP", R"py(
import urllib.error, urllib.request
try:
    urllib.request.urlopen("http://127.0.0.1:%d/" % target["port"], timeout=0.3)
except urllib.error.URLError:
    raise
except OSError:
    breach()  # it was connected, and nobody answered
)py"},
    {"network", "another program's connection (bash, /dev/tcp)", R"py(
subprocess.run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/%d && echo BREACH" % target["port"]])
)py"},
    {"network", "the name of a host", R"py(
socket.getaddrinfo("localhost", 80)
breach()
)py"},
    {"network", "raw packets (ICMP)", R"py(
socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
breach()
)py",
     "root"},
    {"network", "the kernel's own sockets (netlink)", R"py(
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
breach()
)py"},
    {"network", "sockets of virtual machines (vsock)", R"py(
socket.socket(40, socket.SOCK_STREAM)
breach()
)py",
     "vsock"},
    {"network", "a socket by system call", R"py(
reached(41, 198, 2, 1, 0)
)py"},
    {"network", "a pair of sockets", R"py(
socket.socketpair()
breach()
)py"},
    {"network", "io_uring, which opens sockets by itself", R"py(
reached(425, 425, 4, ctypes.create_string_buffer(120))
)py",
     "io_uring"},
    {"services", "a server on a Unix socket", R"py(
socket.socket(socket.AF_UNIX).connect(target["socket"])
breach()
)py"},
    {"services", "a server on an abstract Unix socket", R"py(
socket.socket(socket.AF_UNIX).connect("\0" + target["abstract"])
breach()
)py"},
    {"services", "the folder of running services", R"py(
os.listdir("/run")
breach()
)py"},
    {"reading", "a file of this machine", R"py(
if target["secret"] in open(target["file"]).read(): breach()
)py"},
    {"reading", "the same through /proc/self/root", R"py(
if target["secret"] in open("/proc/self/root" + target["file"]).read(): breach()
)py"},
    {"reading", "the same through /proc/1/root", R"py(
for process in (1, os.getppid()):
    try:
        if target["secret"] in open("/proc/%d/root%s" % (process, target["file"])).read(): breach()
    except OSError as error:
        print(error)
)py",
     "root"},
    {"reading", "the same through a link in its folder", R"py(
os.symlink(target["file"], "linked.txt")
if target["secret"] in open("linked.txt").read(): breach()
)py"},
    {"reading", "the same through a hard link", R"py(
os.link(target["file"], "hard.txt")
if target["secret"] in open("hard.txt").read(): breach()
)py",
     "one file system"},
    {"reading", "accounts and home folders", R"py(
open("/etc/passwd").read()
os.listdir("/home")
breach()
)py"},
    {"reading", "what the caller's environment holds", R"py(
found = target["secret"] in os.environ.get(target["variable"], "")
for name in os.listdir("/proc"):
    if name.isdigit():
        try:
            found = found or target["secret"].encode() in open("/proc/%s/environ" % name, "rb").read()
        except OSError:
            pass
if found: breach()
)py"},
    {"reading", "the memory of the process above", R"py(
open("/proc/%d/mem" % os.getppid(), "rb")
breach()
)py",
     "root"},
    {"reading", "descriptors that were left open", R"py(
for number in range(3, 1024):
    try:
        if target["secret"].encode() in os.pread(number, 100, 0): breach()
    except OSError:
        pass
)py"},
    {"writing", "a file beside others of this machine", R"py(
open(os.path.join(target["folder"], "made"), "w").write("x")
breach()
)py"},
    {"writing", "Python's own library", R"py(
path = os.path.join(os.path.dirname(os.__file__), "facet_attack.py")
open(path, "w").close()
os.remove(path)
breach()
)py",
     "root"},
    {"writing", "the root folder", R"py(
os.mkdir("/facet-attack")
os.rmdir("/facet-attack")
breach()
)py",
     "root"},
    {"writing", "devices and pipes", R"py(
os.mkfifo("pipe")
breach()
)py"},
    {"processes", "a new process", R"py(
if os.fork() == 0:
    os._exit(0)
breach()
)py"},
    {"processes", "another program", R"py(
subprocess.run([sys.executable, "-c", "print('BREACH')"])
)py"},
    {"processes", "a program through the loader", R"py(
loader = "/lib64/ld-linux-x86-64.so.2" if x86 else "/lib/ld-linux-aarch64.so.1"
os.execv(loader, [loader, os.path.realpath(sys.executable), "-c", "print('BREACH')"])
)py"},
    {"processes", "a program that it wrote itself", R"py(
import shutil
shutil.copy(os.path.realpath(sys.executable), "mine")
os.chmod("mine", 0o755)
os.execv("./mine", ["./mine", "-I", "-S", "-c", "print('BREACH')"])
)py"},
    {"processes", "a program in memory alone (memfd)", R"py(
memory = os.memfd_create("mine")
os.write(memory, b"#!" + os.path.realpath(sys.executable).encode() + b"\n")
breach()
)py"},
    {"processes", "signals to others", R"py(
os.kill(os.getppid(), 0)
breach()
)py"},
    {"kernel", "tracing", R"py(
reached(101, 117, 0, 0, 0, 0)
)py"},
    {"kernel", "writing into another process's memory", R"py(
class Piece(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t)]
source, sink = ctypes.create_string_buffer(b"x"), ctypes.create_string_buffer(b"y")
a, b = Piece(ctypes.addressof(source), 1), Piece(ctypes.addressof(sink), 1)
reached(311, 271, os.getpid(), ctypes.byref(a), 1, ctypes.byref(b), 1, 0)
)py"},
    {"kernel", "a user namespace and a mount in it", R"py(
os.makedirs(os.path.join(target["folder"], "mount"), exist_ok=True)
if libc.unshare(0x10000000 | 0x20000) == 0: breach()
)py",
     "user namespaces"},
    {"kernel", "a namespace by clone3", R"py(
class Arguments(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in
                ("flags", "pidfd", "child", "parent", "signal", "stack", "size", "tls", "a", "b", "c")]
child = libc.syscall(435, ctypes.byref(Arguments(flags=0x10000000, signal=17)), 88)
if child == 0: os._exit(0)
if child > 0: breach()
)py",
     "user namespaces"},
    {"kernel", "joining a namespace", R"py(
reached(308, 268, os.open("/proc/self/ns/uts", os.O_RDONLY), 0)
)py",
     "root"},
    {"kernel", "keys", R"py(
reached(250, 219, 0, -3, 0)
)py",
     "keyrings"},
    {"kernel", "BPF programs", R"py(
reached(321, 280, 0, 0, 0)
)py",
     "root"},
    {"kernel", "performance counters", R"py(
reached(298, 241, 0, 0, -1, -1, 0)
)py",
     "perf"},
    {"kernel", "page faults by a program (userfaultfd)", R"py(
reached(323, 282, 1)
)py",
     "userfaultfd"},
    {"kernel", "files by handle", R"py(
reached(304, 265, -100, ctypes.create_string_buffer(16), 0)
)py",
     "file handles"},
    {"kernel", "the 32-bit interface", R"py(
import mmap
if x86:
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # getpid by int 0x80
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    if ctypes.CFUNCTYPE(ctypes.c_int)(address)() == os.getpid(): breach()
)py",
     "32-bit programs"},
    {"kernel", "the x32 interface", R"py(
if x86 and libc.syscall(0x40000000 | 39) == os.getpid(): breach()
)py",
     "x32 programs"},
    {"kernel", "typing into a terminal (TIOCSTI)", R"py(
import fcntl
fcntl.ioctl(os.openpty()[1], 0x5412, b"x")
breach()
)py",
     "TIOCSTI"},
    {"limits", "many processes (a fork bomb)", R"py(
for _ in range(100):
    if os.fork() == 0:
        time.sleep(1)
        os._exit(0)
breach()
)py"},
    {"limits", "many threads", R"py(
threading.stack_size(65536)
for _ in range(300):
    threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()
time.sleep(0.3)
breach()
)py"},
    {"limits", "much memory", R"py(
held = []
for _ in range(50):
    held.append(bytearray(b"x") * (10 << 20))
time.sleep(0.2)
breach()
)py"},
    {"limits", "much shared memory", R"py(
import mmap
held = []
for _ in range(50):
    page = mmap.mmap(-1, 10 << 20)
    page.write(b"x" * (10 << 20))
    held.append(page)
time.sleep(0.2)
breach()
)py"},
    {"limits", "a full disk", R"py(
for name in ("a", "b", "c"):
    with open(name, "wb") as out:
        for _ in range(20): out.write(b"x" * (1 << 20))
breach()
)py"},
    {"limits", "many files", R"py(
for number in range(3000):
    open("file-%d" % number, "w").close()
time.sleep(0.3)
breach()
)py"},
    {"limits", "endless output", R"py(
line = "x" * 1023
for _ in range(8192): print(line)
breach()
)py"},
    {"limits", "an endless loop", R"py(
begin = time.time()
while time.time() - begin < 4: pass
breach()
)py"},
    {"limits", "an endless loop that ignores signals", R"py(
import signal
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
begin = time.time()
while time.time() - begin < 4: pass
breach()
)py"},
};

int Listen(int family, const sockaddr* address, socklen_t length) {
  const int fd = socket(family, SOCK_STREAM, 0);
  if (fd < 0) return -1;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  if (bind(fd, address, length) == 0 && listen(fd, 16) == 0) return fd;
  close(fd);
  return -1;
}

int ListenOnUnix(const std::string& name, bool abstract_name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t offset = abstract_name ? 1 : 0;
  if (name.size() + offset >= sizeof(address.sun_path)) return -1;
  std::memcpy(address.sun_path + offset, name.data(), name.size());
  const size_t length = offsetof(sockaddr_un, sun_path) + offset + name.size();
  return Listen(AF_UNIX, reinterpret_cast<const sockaddr*>(&address),
                static_cast<socklen_t>(length));
}

}  // namespace

std::span<const Attack> Attacks() {
  return kAttacks;
}

AttackTarget::AttackTarget() {
  std::error_code code;
  std::string name = (fs::temp_directory_path(code) / "facet-target-XXXXXX").string();
  if (mkdtemp(name.data()) != nullptr) folder_ = name;
  const fs::path file = folder_ / "secret";
  if (!WriteFile(file, kSecret).ok()) return;
  setenv(kVariable, kSecret, 1);
  // Left open on purpose, in programs that this one starts too.
  descriptors_.push_back(open(file.c_str(), O_RDONLY));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int server = Listen(AF_INET, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  socklen_t length = sizeof(address);
  if (server >= 0 && getsockname(server, reinterpret_cast<sockaddr*>(&address), &length) == 0)
    port_ = ntohs(address.sin_port);
  descriptors_.push_back(server);
  descriptors_.push_back(ListenOnUnix((folder_ / "socket").string(), false));
  descriptors_.push_back(ListenOnUnix(folder_.filename().string(), true));
}

AttackTarget::~AttackTarget() {
  for (const int fd : descriptors_) {
    if (fd >= 0) close(fd);
  }
  unsetenv(kVariable);
  std::error_code code;
  if (!folder_.empty()) fs::remove_all(folder_, code);
}

std::string AttackTarget::Program(const Attack& attack) const {
  const json target = {{"file", (folder_ / "secret").string()},
                       {"folder", folder_.string()},
                       {"secret", kSecret},
                       {"variable", kVariable},
                       {"socket", (folder_ / "socket").string()},
                       {"abstract", folder_.filename().string()},
                       {"port", port_}};
  return Cat(kPrelude, "target = ", target.dump(), "\n", attack.program);
}

Limits AttackLimits() {
  return {.seconds = 2,
          .memory = size_t{256} << 20,
          .printed = size_t{1} << 20,
          .file_bytes = size_t{4} << 20,
          .files_bytes = size_t{16} << 20,
          .inodes = 1000};
}

std::vector<Finding> TryAttacks(const Sandbox& sandbox,
                                const std::function<void(const Finding&)>& report) {
  const AttackTarget target;
  const std::span<const Attack> attacks = Attacks();
  std::vector<std::unique_ptr<Prepared>> prepared(attacks.size());
  std::vector<Finding> findings;
  size_t started = 0;
  for (size_t i = 0; i < attacks.size(); ++i) {
    for (; started < std::min(i + kAtOnce, attacks.size()); ++started)
      prepared[started] = sandbox.Prepare({.limits = AttackLimits()});
    const auto outcome = prepared[i]->Run({.source = target.Program(attacks[i])});
    prepared[i].reset();
    Finding finding{&attacks[i], false, ""};
    if (outcome.ok()) {
      finding.held = outcome->output.find("BREACH") == std::string::npos;
    } else {
      finding.note = outcome.error().message;
    }
    findings.push_back(finding);
    if (report) report(finding);
  }
  return findings;
}

}  // namespace facet::sandbox
