//! A budget for the memory that one thread may hold, so that a template cannot take the machine's.
//!
//! An allocation beyond the budget is refused; the hook turns the refusal into a panic, which unwinds and is caught where
//! the budget was set.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

const UNLIMITED: usize = usize::MAX;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(UNLIMITED) };
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

struct Budgeted;

#[global_allocator]
static ALLOCATOR: Budgeted = Budgeted;

fn take(bytes: usize) -> bool {
    LEFT.try_with(|left| match left.get() {
        UNLIMITED => true,
        n if n < bytes => false,
        n => {
            left.set(n - bytes);
            true
        }
    })
    .unwrap_or(true)
}

fn give(bytes: usize) {
    let _ = LEFT.try_with(|left| {
        if left.get() != UNLIMITED {
            left.set(left.get().saturating_add(bytes).min(UNLIMITED - 1));
        }
    });
}

unsafe impl GlobalAlloc for Budgeted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        System.alloc(layout)
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        System.alloc_zeroed(layout)
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        System.dealloc(memory, layout);
        give(layout.size());
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > layout.size() && !take(size - layout.size()) {
            return std::ptr::null_mut();
        }
        let moved = System.realloc(memory, layout, size);
        if size < layout.size() {
            give(layout.size() - size);
        }
        moved
    }
}

/// Limits what this thread may hold from now on, on top of what it holds.
pub fn limit(bytes: usize) {
    std::alloc::set_alloc_error_hook(refuse);
    REFUSED.with(|refused| refused.set(false));
    LEFT.with(|left| left.set(bytes.min(UNLIMITED - 1)));
}

/// Lifts the limit; true where an allocation was refused under it.
pub fn unlimit() -> bool {
    LEFT.with(|left| left.set(UNLIMITED));
    REFUSED.with(|refused| refused.replace(false))
}

fn refuse(layout: Layout) {
    LEFT.with(|left| left.set(UNLIMITED)); // the panic itself needs memory
    REFUSED.with(|refused| refused.set(true));
    std::panic::panic_any(layout.size());
}
