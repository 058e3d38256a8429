//! Threads with large stacks. Values nest as deep as memory allows, and dropping or printing one recurses as deep.

use std::sync::mpsc::{channel, Sender};
use std::sync::Mutex;
use std::thread::Builder;

type Job = Box<dyn FnOnce() + Send>;

/// Bytes of stack for a byte of memory: a level of nesting costs about 100 bytes of memory and 300 of stack.
const STACK_PER_BYTE: usize = 4;
const MIN_STACK: usize = 16 << 20;
const MAX_STACK: usize = 8 << 30;

/// Work up to this limit of memory shares threads, which wait for the next work; more of it gets a thread of its own.
const SHARED_MEMORY: usize = 256 << 20;
const MAX_IDLE: usize = 8;

static IDLE: Mutex<Vec<Sender<Job>>> = Mutex::new(Vec::new());

fn start(memory: usize) -> std::io::Result<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    let stack = memory.saturating_mul(STACK_PER_BYTE).clamp(MIN_STACK, MAX_STACK);
    // Stacks are address space until they are used.
    Builder::new().name("text-core".to_string()).stack_size(stack).spawn(move || {
        for job in jobs {
            job();
        }
    })?;
    Ok(sender)
}

fn idle() -> Option<Sender<Job>> {
    IDLE.lock().ok()?.pop()
}

/// Runs `work`, which must not panic, on a thread whose stack suffices for values of `memory` bytes. The thread is kept for
/// other work where `keep` says so of the result: a stack that was used once stays in memory.
pub fn run<T: Send>(
    memory: usize,
    work: impl FnOnce() -> T + Send,
    keep: impl FnOnce(&T) -> bool,
) -> std::io::Result<T> {
    let shared = memory <= SHARED_MEMORY;
    let waiting = if shared { idle() } else { None };
    let thread = match waiting {
        Some(thread) => thread,
        None => start(if shared { SHARED_MEMORY } else { memory })?,
    };
    let mut result = None;
    let (done, finished) = channel::<()>();
    {
        let slot = &mut result;
        let job: Box<dyn FnOnce() + Send + '_> = Box::new(move || {
            *slot = Some(work());
            drop(done);
        });
        // SAFETY: this function waits below until `done` is dropped, which is when the job is through with everything that
        // it borrows, or was dropped without having run.
        let job: Job = unsafe { std::mem::transmute::<Box<dyn FnOnce() + Send + '_>, Job>(job) };
        let _ = thread.send(job);
    }
    let _ = finished.recv();
    let Some(result) = result else {
        return Err(std::io::Error::other("the thread has ended"));
    };
    if shared && keep(&result) {
        if let Ok(mut idle) = IDLE.lock() {
            if idle.len() < MAX_IDLE {
                idle.push(thread);
            }
        }
    }
    Ok(result)
}
