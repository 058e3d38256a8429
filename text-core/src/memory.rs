//! How much memory one thread holds, so that a template can be stopped before it takes the machine's.
//!
//! Nothing is refused here: an allocation that fails ends the program in stable Rust. Work under a limit asks `exceeded`
//! after each step that may have grown something, and `fits` before a step that may multiply it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LIMIT: Cell<isize> = const { Cell::new(isize::MAX) };
}

struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fn count(bytes: isize) {
    // Fails while the thread ends, when nobody asks any more.
    let _ = HELD.try_with(|held| {
        let now = held.get().wrapping_add(bytes);
        held.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        System.alloc(layout)
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        System.alloc_zeroed(layout)
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        System.dealloc(memory, layout);
        count(-(layout.size() as isize));
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        System.realloc(memory, layout, size)
    }
}

/// Runs `work` with a limit on what this thread holds on top of what it holds now. Returns what it held at most, too.
pub fn limited<T>(bytes: usize, work: impl FnOnce() -> T) -> (T, usize) {
    HELD.set(0);
    PEAK.set(0);
    LIMIT.set(isize::try_from(bytes).unwrap_or(isize::MAX));
    let result = work();
    LIMIT.set(isize::MAX);
    (result, PEAK.get() as usize)
}

/// True where this thread holds more than its limit.
pub fn exceeded() -> bool {
    HELD.get() > LIMIT.get()
}

/// True where this many bytes more would not exceed the limit.
pub fn fits(bytes: usize) -> bool {
    isize::try_from(bytes).is_ok_and(|bytes| HELD.get().saturating_add(bytes) <= LIMIT.get())
}
