//! The wall between C and Rust: every exported function runs inside [`boundary!`].
//!
//! A panic must not unwind into C, so it is caught and becomes code 900, or the neutral value of a function that has no
//! room for a code. The default panic hook would still print on the host's standard error: ours stays silent for
//! threads that are inside this library and hands every other panic to the hook that was there before.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use cosign_core::error::{Code, Error, Result};

use crate::error::{cosign_code, cosign_error};
use crate::handle;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

fn install_hook() {
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if DEPTH.try_with(Cell::get).unwrap_or(0) == 0 {
                previous(info);
                return;
            }
            let place = info.location().map(|location| format!("{}:{}", location.file(), location.line()));
            let _ = PLACE.try_with(|slot| slot.replace(place));
        }));
    });
}

/// Marks this thread as ours for good, so that a panic on it prints nothing. For the threads of a client's runtime.
pub(crate) fn adopt_thread() {
    install_hook();
    DEPTH.with(|depth| depth.set(depth.get().saturating_add(1)));
}

struct Inside(u32);

impl Inside {
    fn enter() -> Inside {
        install_hook();
        let before = DEPTH.get();
        DEPTH.set(before.saturating_add(1));
        Inside(before)
    }

    /// For the time of a callback the thread is the host's again, and so are its panics.
    fn leave() -> Inside {
        Inside(DEPTH.replace(0))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(self.0);
    }
}

/// Runs the host's code: a callback or a finalizer.
pub(crate) fn outside<T>(callback: impl FnOnce() -> T) -> T {
    let _outside = Inside::leave();
    callback()
}

/// The error that a panic becomes.
pub(crate) fn panic_error(payload: &(dyn Any + Send), place: Option<String>) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    let error = Error::new(Code::Internal, format!("a defect in libcosign, please report it: {text}"));
    match place {
        Some(place) => error.with("place", place),
        None => error,
    }
}

fn caught<T>(body: impl FnOnce() -> T) -> Result<T> {
    let _inside = Inside::enter();
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let error = panic_error(payload.as_ref(), PLACE.take());
        // A payload whose own Drop panics must not escape either.
        if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            std::mem::forget(second);
        }
        error
    })
}

/// The body of a function that returns a code and fills `err`.
///
/// # Safety
/// `err` is NULL or points to writable memory for one pointer.
pub(crate) unsafe fn fallible(err: *mut *mut cosign_error, body: impl FnOnce() -> Result<()>) -> cosign_code {
    // SAFETY: the caller's promise.
    unsafe { clear(err) };
    match caught(body).and_then(|result| result) {
        Ok(()) => 0,
        Err(error) => {
            let code = error.code().number();
            if !err.is_null() {
                // SAFETY: not NULL, and writable by the caller's promise. Building the object can only fail by panic.
                unsafe { err.write(caught(|| cosign_error::from_core(&error)).unwrap_or(std::ptr::null_mut())) };
            }
            code
        }
    }
}

/// The body of a function that has no room for an error: a panic gives `neutral`.
pub(crate) fn infallible<T>(neutral: T, body: impl FnOnce() -> T) -> T {
    caught(body).unwrap_or(neutral)
}

/// Sets an out parameter to NULL; what was in it is not read.
///
/// # Safety
/// `out` is NULL or points to writable memory for one pointer.
pub(crate) unsafe fn clear<T>(out: *mut *mut T) {
    if !out.is_null() {
        // SAFETY: not NULL, and writable by the caller's promise.
        unsafe { out.write(std::ptr::null_mut()) };
    }
}

/// Fills an out parameter that the caller demanded to be there.
///
/// # Safety
/// `out` is NULL or points to writable memory for one pointer.
pub(crate) unsafe fn fill<H: handle::Handle>(out: *mut *mut H, value: H::Inner) {
    if !out.is_null() {
        // SAFETY: not NULL, and writable by the caller's promise.
        unsafe { out.write(handle::new::<H>(value)) };
    }
}

/// An error when a required out parameter is NULL: work whose result nobody can receive is not begun.
pub(crate) fn required<T>(out: *mut *mut T, name: &str) -> Result<()> {
    if out.is_null() {
        return Err(Error::new(Code::Argument, format!("{name} is NULL: the result needs a place")));
    }
    Ok(())
}

/// Runs the body of an exported function; an expression, because cbindgen reads the functions but no macros.
///
/// `boundary!(err, [out…], { … Ok(()) })` for a function with an error object, `boundary!(neutral, { … })` otherwise.
macro_rules! boundary {
    ($err:expr, [$($out:expr),*], $body:block) => {{
        // SAFETY: an exported function's out parameters are NULL or writable (rule 2 of the ABI).
        unsafe {
            $($crate::boundary::clear($out);)*
            #[allow(unused_unsafe)]
            $crate::boundary::fallible($err, || $body)
        }
    }};
    ($neutral:expr, $body:block) => {
        $crate::boundary::infallible($neutral, || $body)
    };
}
pub(crate) use boundary;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::error::{cosign_error_code, cosign_error_free, cosign_error_message};
    use std::ffi::CStr;

    fn panicking(out: *mut *mut cosign_error, err: *mut *mut cosign_error) -> cosign_code {
        boundary!(err, [out], { panic!("planted {}", 1) })
    }

    #[test]
    fn a_panic_becomes_900_and_clears_the_outs() {
        let mut out = std::ptr::dangling_mut::<cosign_error>();
        let mut err = std::ptr::dangling_mut::<cosign_error>();
        assert_eq!(panicking(&raw mut out, &raw mut err), 900);
        assert!(out.is_null());
        unsafe {
            assert_eq!(cosign_error_code(err), 900);
            let message = CStr::from_ptr(cosign_error_message(err)).to_str().unwrap();
            assert!(message.contains("planted 1"), "{message}");
            cosign_error_free(err);
        }
        assert_eq!(panicking(std::ptr::null_mut(), std::ptr::null_mut()), 900);
        assert_eq!(boundary!(7, { panic!("planted") }), 7);
        assert_eq!(DEPTH.get(), 0);
    }

    const CHILD: &str = "COSIGN_TEST_CHILD";

    /// Does its work only as a child of the test below.
    #[test]
    fn child_that_panics_inside() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        assert_eq!(panicking(std::ptr::null_mut(), std::ptr::null_mut()), 900);
        std::thread::spawn(|| {
            adopt_thread();
            panic!("planted on a thread of ours");
        })
        .join()
        .unwrap_err();
    }

    /// Does its work only as a child of the test below.
    #[test]
    fn child_that_panics_outside() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let _ = boundary!(0, { outside(|| std::panic::catch_unwind(|| panic!("the host's own")).map_or(1, |()| 0)) });
    }

    #[test]
    fn a_panic_inside_prints_nothing_and_a_panic_outside_keeps_its_hook() {
        let stderr_of = |name: &str| {
            let run = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--nocapture", "--exact", &format!("boundary::tests::{name}")])
                .env(CHILD, "1")
                .output()
                .unwrap();
            assert!(run.status.success(), "{run:?}");
            String::from_utf8(run.stderr).unwrap()
        };
        assert_eq!(stderr_of("child_that_panics_inside"), "");
        assert!(stderr_of("child_that_panics_outside").contains("the host's own"));
    }
}
