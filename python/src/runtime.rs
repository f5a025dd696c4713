//! Waiting for the core without holding the interpreter.
//!
//! A call on a layout runs in place: no runtime, no socket. A call on a registry runs on a tokio runtime that is built
//! at the first such call and belongs to one process id: threads do not survive `fork()`, so a child builds its own and
//! leaks the inherited one, which it must never touch. While waiting, the main thread looks for Ctrl-C every 50 ms.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use cosign_core::{Call, Cancel, Code, Error, Result};
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::errors::raise;

/// How often a waiting main thread looks for signals.
pub const TICK: Duration = Duration::from_millis(50);

/// How long a cancelled call on a layout may take to notice; it checks between its steps.
const GRACE: Duration = Duration::from_secs(2);

static RUNTIME: PerProcess<Runtime> = PerProcess::new();

/// A value that is made again after `fork()`. The value inherited from the parent is leaked, never dropped: its threads
/// and locks belong to a process that this one is not. Lock-free, because a lock held by another thread while forking
/// would stay locked in the child forever.
pub struct PerProcess<T>(AtomicPtr<(u32, T)>);

impl<T: Send + Sync> PerProcess<T> {
    /// Empty; the value is made at first use.
    pub const fn new() -> Self {
        PerProcess(AtomicPtr::new(ptr::null_mut()))
    }

    /// This process's value.
    pub fn get(&self, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        let pid = std::process::id();
        let seen = self.0.load(Ordering::Acquire);
        // SAFETY: a stored pointer comes from `Box::into_raw` below and is freed only by `drop`, which has `&mut self`.
        if let Some((owner, value)) = unsafe { seen.as_ref() }
            && *owner == pid
        {
            return Ok(value);
        }
        let fresh = Box::into_raw(Box::new((pid, make()?)));
        match self.0.compare_exchange(seen, fresh, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: `fresh` was just stored and lives as long as `self`.
            Ok(_) => Ok(unsafe { &(*fresh).1 }),
            Err(winner) => {
                // SAFETY: `fresh` was not stored, so this is its only owner; `winner` was stored by another thread.
                unsafe {
                    drop(Box::from_raw(fresh));
                    Ok(&(*winner).1)
                }
            }
        }
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let stored = *self.0.get_mut();
        // SAFETY: as in `get`; `&mut self` means nobody borrows the value any more.
        unsafe {
            if stored.as_ref().is_some_and(|(owner, _)| *owner == std::process::id()) {
                drop(Box::from_raw(stored));
            }
        }
    }
}

/// A call with the caller's timeout in seconds, and the flag that stops it.
pub fn call(py: Python<'_>, timeout: Option<f64>) -> PyResult<Call> {
    let call = Call::new().with_cancel(Cancel::new());
    let Some(seconds) = timeout else { return Ok(call) };
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(call.with_timeout(duration)),
        _ => {
            let message = format!("timeout must be a positive number of seconds, not {seconds}");
            Err(raise(py, &Error::new(Code::Argument, message)))
        }
    }
}

/// Runs a verb of the core to its end, detached from the interpreter. `local` says that it touches only files.
pub fn wait<T, F>(py: Python<'_>, local: bool, call: &Call, future: F) -> PyResult<T>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let cancel = call.cancel().clone();
    let outcome = py.detach(move || {
        if local {
            on_thread(&cancel, move || cosign_core::client::run_local(future))
        } else {
            on_runtime(&cancel, future)
        }
    });
    outcome?.map_err(|error| raise(py, &error))
}

/// This process's runtime, for work that outlives one call.
pub fn handle() -> Result<Handle> {
    Ok(RUNTIME.get(build)?.handle().clone())
}

/// Runs blocking work (reading a file, a key derivation) detached from the interpreter, open to Ctrl-C.
pub fn work<T, F>(py: Python<'_>, job: F) -> PyResult<T>
where
    F: FnOnce() -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    py.detach(move || on_thread(&Cancel::new(), job))?.map_err(|error| raise(py, &error))
}

/// Runs short work detached from the interpreter, in place.
pub fn quick<T: Send>(py: Python<'_>, job: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    py.detach(|| caught(job)).map_err(|error| raise(py, &error))
}

fn on_thread<T, F>(cancel: &Cancel, job: F) -> PyResult<Result<T>>
where
    F: FnOnce() -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    if !is_main_thread() {
        return Ok(caught(job));
    }
    let (sender, receiver) = sync_channel(1);
    let spawned = std::thread::Builder::new().name("cosign".into()).spawn(move || {
        let _ = sender.send(caught(job));
    });
    if let Err(error) = spawned {
        return Ok(Err(Error::new(Code::Io, format!("cannot start a thread: {error}"))));
    }
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Disconnected) => return Ok(Err(Error::new(Code::Internal, "a worker vanished"))),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(interrupt) = Python::attach(|py| py.check_signals()) {
                    cancel.cancel();
                    let _ = receiver.recv_timeout(GRACE);
                    return Err(interrupt);
                }
            }
        }
    }
}

fn on_runtime<T, F>(cancel: &Cancel, future: F) -> PyResult<Result<T>>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let runtime = match RUNTIME.get(build) {
        Ok(runtime) => runtime,
        Err(error) => return Ok(Err(error)),
    };
    let main = is_main_thread();
    let mut handle = runtime.spawn(future);
    loop {
        match runtime.block_on(async { tokio::time::timeout(TICK, &mut handle).await }) {
            Ok(Ok(result)) => return Ok(result),
            Ok(Err(_)) => return Ok(Err(internal())),
            Err(_) if main => {
                if let Err(interrupt) = Python::attach(|py| py.check_signals()) {
                    cancel.cancel();
                    handle.abort();
                    return Err(interrupt);
                }
            }
            Err(_) => {}
        }
    }
}

fn build() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("cosign")
        .enable_all()
        .build()
        .map_err(|error| Error::new(Code::Io, format!("cannot start the network runtime: {error}")))
}

/// Only the main thread may run signal handlers.
#[cfg(target_os = "linux")]
fn is_main_thread() -> bool {
    // SAFETY: both calls have no arguments and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) == libc::c_long::from(libc::getpid()) }
}

#[cfg(not(target_os = "linux"))]
fn is_main_thread() -> bool {
    true
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic is a defect, told to the caller as `InternalError`: nothing is printed on the host's standard error. This
/// hook belongs to this module's own copy of the standard library and touches no other Rust code in the process.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!("{}:{}", at.file(), at.line()));
        LAST_PANIC.with(|last| *last.borrow_mut() = place);
    }));
}

fn internal() -> Error {
    let place = LAST_PANIC.with(|last| last.borrow_mut().take());
    let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
    Error::new(Code::Internal, format!("a defect in libcosign{place}; please report it"))
}

/// Runs a job; a panic in it is an error.
pub fn caught<T>(job: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|_| Err(internal()))
}
