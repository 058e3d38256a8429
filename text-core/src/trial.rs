//! Work that may take for ever, tried in a process that can be ended: a thread cannot be.

use crate::{guarded, Outcome, ERROR, LIMIT, OK};
use std::os::raw::c_int;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Time of the processor that a trial may take, and time that may pass where others use the processor.
const PROCESSOR: libc::suseconds_t = 800_000; // microseconds
const PASSED: Duration = Duration::from_secs(20);
/// Bytes of address space on top of what there is.
const MEMORY: libc::rlim_t = 1 << 30;
/// Longest message of an error, which a pipe holds whatever the reader does.
const MAX_MESSAGE: usize = 16 << 10;
/// What setitimer counts: the processor's time of the whole process. The same number on all systems that have it.
const ITIMER_PROF: c_int = 2;
/// Milliseconds between two questions whether the work is still wanted.
const POLL: c_int = 20;

/// Held while threads of this process compile, so that no lock of the compiler is taken at the moment of a fork: in the
/// new process nobody would ever release it.
static COMPILING: Mutex<()> = Mutex::new(());

pub fn compiling() -> MutexGuard<'static, ()> {
    COMPILING.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Runs `work` in a copy of this process and says how it went; what it makes is lost. An error of status LIMIT says that there
/// was no process or no time for it, or that it is not wanted any more; otherwise the work is at fault.
pub fn run(work: impl FnOnce() -> Outcome<()>, wanted: impl Fn() -> bool) -> Outcome<()> {
    let mut ends: [c_int; 2] = [-1; 2];
    // SAFETY: plain calls of the system. After the fork the child calls nothing that another thread may have left locked:
    // malloc is made ready by fork itself, and the compiler is under `compiling`.
    let child = unsafe {
        if libc::pipe(ends.as_mut_ptr()) != 0 {
            return Err(unavailable());
        }
        for end in ends {
            libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        // Signals that come before the child has let go of this program's handlers must not run them.
        let before = block_signals();
        let idle = compiling();
        let child = libc::fork();
        if child == 0 {
            attempt(ends[1], work);
        }
        drop(idle);
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        libc::close(ends[1]);
        child
    };
    if child < 0 {
        unsafe { libc::close(ends[0]) };
        return Err(unavailable());
    }
    let told = listen(ends[0], wanted);
    unsafe {
        libc::close(ends[0]);
        libc::kill(child, libc::SIGKILL);
        while libc::waitpid(child, std::ptr::null_mut(), 0) < 0
            && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
        {}
    }
    let told = told?;
    match told.split_first() {
        Some((&status, _)) if i32::from(status) == OK => Ok(()),
        Some((&status, text)) => Err((i32::from(status), String::from_utf8_lossy(text).into_owned())),
        None => Err((ERROR, "a pattern, a number's limits or a combination of them is too complex".to_string())),
    }
}

fn unavailable() -> (i32, String) {
    (LIMIT, "no process to compile the grammar in".to_string())
}

unsafe fn block_signals() -> libc::sigset_t {
    let mut all: libc::sigset_t = std::mem::zeroed();
    let mut before: libc::sigset_t = std::mem::zeroed();
    libc::sigfillset(&mut all);
    libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
    before
}

/// What the child has to say, until it ends.
fn listen(pipe: c_int, wanted: impl Fn() -> bool) -> Outcome<Vec<u8>> {
    let begin = Instant::now();
    let mut told = Vec::new();
    loop {
        if !wanted() {
            return Err((LIMIT, "nobody waits for it any more".to_string()));
        }
        if begin.elapsed() > PASSED {
            return Err((LIMIT, "compiling took too long beside other work".to_string()));
        }
        let mut ready = libc::pollfd { fd: pipe, events: libc::POLLIN, revents: 0 };
        let mut bytes = [0u8; 4096];
        // SAFETY: one descriptor, and a buffer of the size given.
        let read = unsafe {
            if libc::poll(&mut ready, 1, POLL) <= 0 {
                continue;
            }
            libc::read(pipe, bytes.as_mut_ptr().cast(), bytes.len())
        };
        match read {
            1.. => told.extend_from_slice(&bytes[..read as usize]),
            0 => return Ok(told),
            _ if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            _ => return Ok(told),
        }
    }
}

/// The child: works under limits whose breach ends it, and writes its status and message.
unsafe fn attempt(pipe: c_int, work: impl FnOnce() -> Outcome<()>) -> ! {
    for signal in 1..32 {
        libc::signal(signal, libc::SIG_DFL);
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    libc::setrlimit(libc::RLIMIT_CORE, &none);
    limit_memory();
    let timer = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: PROCESSOR },
    };
    libc::setitimer(ITIMER_PROF as _, &timer, std::ptr::null_mut());
    // The sockets of clients must not stay open here when they are closed there.
    libc::dup2(pipe, 0);
    close_others();
    let mut set: libc::sigset_t = std::mem::zeroed();
    libc::sigemptyset(&mut set);
    libc::pthread_sigmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    let (status, text) = match guarded(work) {
        Ok(()) => (OK, String::new()),
        Err(failed) => failed,
    };
    let mut message = vec![status as u8];
    message.extend_from_slice(&text.as_bytes()[..text.len().min(MAX_MESSAGE)]);
    libc::write(0, message.as_ptr().cast(), message.len());
    libc::_exit(0);
}

/// All descriptors but the first.
unsafe fn close_others() {
    #[cfg(target_os = "linux")]
    if libc::syscall(libc::SYS_close_range, 1 as libc::c_uint, libc::c_uint::MAX, 0 as libc::c_uint) == 0 {
        return;
    }
    for descriptor in 1..4096 {
        libc::close(descriptor);
    }
}

unsafe fn limit_memory() {
    let mut text = [0u8; 64];
    let file = libc::open(c"/proc/self/statm".as_ptr(), libc::O_RDONLY);
    if file < 0 {
        return; // not on this system
    }
    let read = libc::read(file, text.as_mut_ptr().cast(), text.len());
    libc::close(file);
    let digits = text[..read.max(0) as usize].iter().take_while(|byte| byte.is_ascii_digit());
    let pages = digits.fold(0, |number: libc::rlim_t, digit| number * 10 + libc::rlim_t::from(digit - b'0'));
    let limit = pages * libc::sysconf(libc::_SC_PAGESIZE) as libc::rlim_t + MEMORY;
    libc::setrlimit(libc::RLIMIT_AS, &libc::rlimit { rlim_cur: limit, rlim_max: limit });
}
