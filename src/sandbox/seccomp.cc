#include "sandbox/seccomp.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <initializer_list>
#include <vector>

namespace facet::sandbox {
namespace {

#ifdef __x86_64__
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
constexpr uint32_t kX32Bit = 0x40000000;
#else
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

constexpr uint32_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

// Calls that take no argument which could make them dangerous.
constexpr int kAllowed[] = {
    // files
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv,
    SYS_pwritev,
    SYS_openat,
    SYS_close,
    SYS_close_range,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_statfs,
    SYS_fstatfs,
    SYS_lseek,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_pipe2,
    SYS_dup,
    SYS_dup3,
    SYS_fcntl,
    SYS_flock,
    SYS_fsync,
    SYS_fdatasync,
    SYS_truncate,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fadvise64,
    SYS_getdents64,
    SYS_getcwd,
    SYS_chdir,
    SYS_fchdir,
    SYS_renameat2,
    SYS_mkdirat,
    SYS_linkat,
    SYS_unlinkat,
    SYS_symlinkat,
    SYS_readlinkat,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_umask,
    SYS_utimensat,
    SYS_sendfile,
    SYS_copy_file_range,
    SYS_getxattr,
    SYS_lgetxattr,
    SYS_fgetxattr,
    SYS_listxattr,
    SYS_llistxattr,
    SYS_flistxattr,
    // memory
    SYS_mmap,
    SYS_mprotect,
    SYS_munmap,
    SYS_brk,
    SYS_mremap,
    SYS_msync,
    SYS_madvise,
    SYS_membarrier,
    // time
    SYS_gettimeofday,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_times,
    SYS_setitimer,
    SYS_getitimer,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_timerfd_gettime,
    // the process itself
    SYS_getpid,
    SYS_getppid,
    SYS_gettid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getresuid,
    SYS_getresgid,
    SYS_getgroups,
    SYS_getpgid,
    SYS_getsid,
    SYS_setsid,
    SYS_setpgid,
    SYS_getrusage,
    SYS_sysinfo,
    SYS_uname,
    SYS_getrandom,
    SYS_setrlimit,
    SYS_getrlimit,
    SYS_getpriority,
    SYS_sched_getaffinity,
    SYS_sched_yield,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
    SYS_sched_get_priority_max,
    SYS_sched_get_priority_min,
    SYS_getcpu,
    SYS_execve,
    SYS_exit,
    SYS_exit_group,
    SYS_wait4,
    SYS_waitid,
    SYS_kill,
    SYS_tgkill,
    // signals and threads
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigpending,
    SYS_rt_sigtimedwait,
    SYS_rt_sigsuspend,
    SYS_sigaltstack,
    SYS_futex,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_set_tid_address,
    SYS_rseq,
    SYS_restart_syscall,
    SYS_seccomp,
    // waiting
    SYS_pselect6,
    SYS_ppoll,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_eventfd2,
#ifdef __x86_64__
    // older forms of the above
    SYS_open,
    SYS_creat,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_pipe,
    SYS_dup2,
    SYS_getdents,
    SYS_rename,
    SYS_renameat,
    SYS_mkdir,
    SYS_rmdir,
    SYS_link,
    SYS_unlink,
    SYS_symlink,
    SYS_readlink,
    SYS_chmod,
    SYS_utime,
    SYS_utimes,
    SYS_futimesat,
    SYS_time,
    SYS_alarm,
    SYS_getpgrp,
    SYS_fork,
    SYS_vfork,
    SYS_select,
    SYS_poll,
    SYS_epoll_create,
    SYS_epoll_wait,
    SYS_eventfd,
    SYS_arch_prctl,
#else
    SYS_renameat,
#endif
};

// Refused with "Operation not permitted", which a person understands. All others that are not
// named get "Function not implemented", for which libraries have other ways.
constexpr int kRefused[] = {
    SYS_socket,
    SYS_socketpair,
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
    SYS_sendto,
    SYS_sendmsg,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_setns,
    SYS_unshare,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_memfd_create,
    SYS_execveat,
    SYS_shmget,
    SYS_shmat,
    SYS_msgget,
    SYS_semget,
    SYS_mq_open,
    SYS_kcmp,
    SYS_tkill,
    SYS_setuid,
    SYS_setgid,
    SYS_setgroups,
    SYS_setpriority,
    SYS_sched_setaffinity,
    SYS_sched_setscheduler,
    SYS_fchown,
    SYS_fchownat,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_reboot,
    SYS_swapon,
    SYS_sethostname,
    SYS_personality,
    SYS_mknodat,
};

constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM;

class FilterWriter {
 public:
  // Every filter begins with this: numbers of calls mean something else in another ABI.
  FilterWriter() {
    Load(offsetof(seccomp_data, arch));
    Add(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
    Return(SECCOMP_RET_KILL_PROCESS);
    Load(offsetof(seccomp_data, nr));
#ifdef __x86_64__
    Add(BPF_JMP | BPF_JSET | BPF_K, kX32Bit, 0, 1);
    Return(SECCOMP_RET_KILL_PROCESS);
#endif
  }

  void Return(uint32_t action) {
    Add(BPF_RET | BPF_K, action);
  }

  // The action for a call; the accumulator holds its number before and after.
  void On(int call, uint32_t action) {
    Add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1);
    Return(action);
  }

  // The action for a call whose argument has one of the values, else `otherwise`.
  void OnValues(int call, int argument, std::initializer_list<uint32_t> values, uint32_t action,
                uint32_t otherwise) {
    const size_t length = 2 * values.size() + 2;
    Add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, static_cast<uint8_t>(length));
    LoadArgument(argument);
    for (const uint32_t value : values) On(static_cast<int>(value), action);
    Return(otherwise);
  }

  // The action for a call whose argument has any of the bits, else `otherwise`.
  void OnBits(int call, int argument, uint32_t bits, uint32_t action, uint32_t otherwise) {
    Add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 4);
    LoadArgument(argument);
    Add(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1);
    Return(action);
    Return(otherwise);
  }

  std::string bytes() const {
    return {reinterpret_cast<const char*>(code_.data()), code_.size() * sizeof(sock_filter)};
  }

 private:
  void Load(size_t offset) {
    Add(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
  }
  // The lower half: the arguments compared here are ints, flags and small numbers.
  void LoadArgument(int index) {
    Load(offsetof(seccomp_data, args) + sizeof(uint64_t) * index);
  }
  void Add(int code, uint32_t k, uint8_t yes = 0, uint8_t no = 0) {
    code_.push_back({static_cast<uint16_t>(code), yes, no, k});
  }

  std::vector<sock_filter> code_;
};

}  // namespace

std::string SandboxFilter() {
  FilterWriter out;
  for (const int call : kAllowed) out.On(call, SECCOMP_RET_ALLOW);
  out.OnBits(SYS_clone, 0, kNewNamespaces, kRefuse, SECCOMP_RET_ALLOW);
  out.On(SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);  // flags in memory: libraries fall back to clone
  out.OnValues(SYS_prlimit64, 0, {0}, SECCOMP_RET_ALLOW, kRefuse);
  out.OnValues(SYS_ioctl, 1, {TCGETS, TIOCGWINSZ, FIONREAD, FIOCLEX, FIONCLEX}, SECCOMP_RET_ALLOW,
               SECCOMP_RET_ERRNO | ENOTTY);
  out.OnValues(SYS_prctl, 0,
               {PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_GET_DUMPABLE,
                PR_SET_DUMPABLE, PR_GET_SECCOMP, PR_SET_SECCOMP, PR_GET_NO_NEW_PRIVS,
                PR_SET_NO_NEW_PRIVS, PR_CAPBSET_READ},
               SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EINVAL);
  for (const int call : kRefused) out.On(call, kRefuse);
  out.Return(SECCOMP_RET_ERRNO | ENOSYS);
  return out.bytes();
}

std::string ProgramFilter() {
  FilterWriter out;
  out.OnBits(SYS_clone, 0, CLONE_THREAD, SECCOMP_RET_ALLOW, kRefuse);
  out.OnValues(SYS_kill, 0, {kOwnPidMark}, SECCOMP_RET_ALLOW, kRefuse);
  out.OnValues(SYS_tgkill, 0, {kOwnPidMark}, SECCOMP_RET_ALLOW, kRefuse);
  out.On(SYS_execve, kRefuse);
#ifdef __x86_64__
  out.On(SYS_fork, kRefuse);
  out.On(SYS_vfork, kRefuse);
#endif
  out.Return(SECCOMP_RET_ALLOW);
  return out.bytes();
}

}  // namespace facet::sandbox

#else

namespace facet::sandbox {

std::string SandboxFilter() {
  return {};
}
std::string ProgramFilter() {
  return {};
}

}  // namespace facet::sandbox

#endif
