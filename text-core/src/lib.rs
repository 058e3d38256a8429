//! Chat templates and constraints for facet behind the C interface of include/text_core.h. Nothing here opens a file, reads the
//! environment or the network, and no panic crosses the boundary.

mod constraint;
mod context;
mod guard;
mod memory;
mod python;
mod template;
mod trial;
mod worker;

use minijinja::ErrorKind;
use std::error::Error as _;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

/// Values of `tc_status`.
const OK: i32 = 0;
const ERROR: i32 = 1;
const RAISED: i32 = 2;
const LIMIT: i32 = 3;

/// Bytes that the caller owns and gives back with `tc_text_free`.
#[repr(C)]
pub struct Text {
    data: *mut u8,
    size: usize,
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        let mut bytes = text.into_bytes().into_boxed_slice();
        let text = Text { data: bytes.as_mut_ptr(), size: bytes.len() };
        std::mem::forget(bytes);
        text
    }
}

#[repr(C)]
pub struct Limits {
    fuel: u64,
    memory: usize,
}

pub struct Template {
    compiled: template::Compiled,
}

type Outcome<T> = Result<T, (i32, String)>;

fn describe(error: &minijinja::Error) -> (i32, String) {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(raised) = cause.downcast_ref::<template::Raised>() {
            return (RAISED, raised.0.clone());
        }
        if let Some(refused) = cause.downcast_ref::<guard::TooMuchMemory>() {
            return (LIMIT, refused.to_string());
        }
        source = cause.source();
    }
    if error.kind() == ErrorKind::OutOfFuel {
        return (LIMIT, "the template takes too many steps".to_string());
    }
    let mut text = match error.detail() {
        Some(detail) => format!("{}: {}", error.kind(), detail),
        None => error.kind().to_string(),
    };
    if let Some(line) = error.line() {
        text.push_str(&format!(" (line {line})"));
    }
    (ERROR, text)
}

/// Panics are reported as statuses, not on stderr.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}

/// Threads that held no more than this have a small stack still, and are kept.
const SMALL: usize = 32 << 20;

/// Runs `work` under a memory limit, on a thread whose stack holds whatever that lets it nest.
fn contained<T: Send>(memory: usize, work: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T> {
    let limited = || {
        memory::limited(memory, || match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(_)) if memory::exceeded() => Err((LIMIT, guard::TooMuchMemory.to_string())),
            Ok(outcome) => outcome,
            Err(_) => Err((ERROR, "the template engine failed".to_string())),
        })
    };
    match worker::run(memory, limited, |(_, peak)| *peak <= SMALL) {
        Ok((outcome, _)) => outcome,
        Err(error) => Err((LIMIT, format!("no thread to render the template: {error}"))),
    }
}

/// A panic of the constraint engine is an error of its grammar.
fn guarded<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err((ERROR, "the constraint engine failed".to_string())))
}

unsafe fn text_of<'a>(data: *const u8, size: usize) -> Outcome<&'a str> {
    let bytes = if size == 0 { &[] } else { std::slice::from_raw_parts(data, size) };
    std::str::from_utf8(bytes).map_err(|error| {
        (ERROR, format!("not UTF-8 at byte {}", error.valid_up_to()))
    })
}

unsafe fn report<T>(outcome: Outcome<T>, text: *mut Text, value: impl FnOnce(T)) -> i32 {
    match outcome {
        Ok(result) => {
            value(result);
            OK
        }
        Err((status, message)) => {
            *text = message.into();
            status
        }
    }
}

/// # Safety
/// As include/text_core.h says.
#[no_mangle]
pub unsafe extern "C" fn tc_template_new(
    source: *const u8,
    size: usize,
    template: *mut *mut Template,
    error: *mut Text,
) -> i32 {
    silence_panics();
    let outcome = text_of(source, size).and_then(|source| {
        contained((64 << 20) + source.len().saturating_mul(64), || {
            template::compile(source).map_err(|error| describe(&error))
        })
    });
    report(outcome, error, |compiled| {
        *template = Box::into_raw(Box::new(Template { compiled }));
    })
}

/// # Safety
/// As include/text_core.h says.
#[no_mangle]
pub unsafe extern "C" fn tc_template_render(
    template: *const Template,
    context: *const u8,
    size: usize,
    limits: Limits,
    text: *mut Text,
) -> i32 {
    let compiled = &(*template).compiled;
    let outcome = text_of(context, size).and_then(|context| {
        contained(limits.memory, || {
            template::render(compiled, context, limits.fuel).map_err(|error| describe(&error))
        })
    });
    report(outcome, text, |rendered| *text = rendered.into())
}

/// # Safety
/// `template` is null or from `tc_template_new`, and not used again.
#[no_mangle]
pub unsafe extern "C" fn tc_template_free(template: *mut Template) {
    if !template.is_null() {
        drop(Box::from_raw(template));
    }
}

/// # Safety
/// `text` was written by one of these functions and is not used again.
#[no_mangle]
pub unsafe extern "C" fn tc_text_free(text: Text) {
    if !text.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(text.data, text.size)));
    }
}
