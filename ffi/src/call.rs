//! `cosign_call`: what bounds one call, and the loop that keeps to it.
//!
//! Network work runs on the client's own thread while the caller's thread waits here, wakes every 20 ms to look at the
//! cancel flag and the deadline, and at once when the work is done. So callbacks run on the caller's thread, nothing
//! here can meet a runtime of the host, and cancelling is one atomic store. Work on a layout is file work: it runs on
//! the caller's thread and no thread, runtime or socket is made for it.

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cosign_core::call::{Call, Cancel};
use cosign_core::error::{Code, Error, Result};
use zeroize::Zeroizing;

use crate::boundary::{boundary, outside, panic_error};
use crate::error::cosign_code;
use crate::handle::{self, handle};
use crate::runtime::LazyRuntime;
use crate::secret::{Answer, cosign_secret};

/// What one call, or several, may take and ask: a time limit, a password, and the switch to stop it. Free with
/// cosign_call_free.
#[allow(non_camel_case_types)]
pub struct cosign_call {
    _opaque: [u8; 0],
}

/// Destroys user_data. Runs exactly once: when the object that holds the callback is freed, or the callback is
/// replaced.
#[allow(non_camel_case_types)]
pub type cosign_finalizer = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Asks for a password. Answer with cosign_secret_set and return COSIGN_OK; return COSIGN_PASSTHROUGH for "I have
/// none", COSIGN_ERR_CANCELLED to stop; any other code fails the call. `attempt` is 1 first and grows while the answer
/// is wrong; after 3 we give up. 0 asks for the new password of a key that is being written.
#[allow(non_camel_case_types)]
pub type cosign_password_cb = Option<
    unsafe extern "C" fn(
        out: *mut cosign_secret,
        prompt: *const c_char,
        attempt: u32,
        user_data: *mut c_void,
    ) -> cosign_code,
>;

const TICK: Duration = Duration::from_millis(20);
/// How long a stopped call may take to answer for itself, with the stages it has done, before it is abandoned.
const GRACE: Duration = Duration::from_millis(20);
const ATTEMPTS: u32 = 3;
const PASSTHROUGH: i32 = 1;

#[derive(Default)]
pub(crate) struct CallState {
    timeout: Option<Duration>,
    cancel: Cancel,
    password: Option<PasswordCallback>,
    turn: Turn,
    /// How many callbacks of this call run, one inside the other.
    asking: AtomicUsize,
    /// Whether one of them tried to change or free the call.
    meddled: AtomicBool,
}

handle!(Owned cosign_call = CallState, b"cosignCa");

struct PasswordCallback {
    function: unsafe extern "C" fn(*mut cosign_secret, *const c_char, u32, *mut c_void) -> cosign_code,
    data: UserData,
}

/// The host's pointer and what destroys it.
pub(crate) struct UserData {
    pointer: *mut c_void,
    finalizer: cosign_finalizer,
}

impl UserData {
    pub(crate) fn new(pointer: *mut c_void, finalizer: cosign_finalizer) -> UserData {
        UserData { pointer, finalizer }
    }

    pub(crate) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

// SAFETY: the pointer is only handed back to the host: to its callback, which takes turns (`Turn`), and once to its
// finalizer. Rule 6 of the ABI makes the host expect both on whichever thread makes or frees the call.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(finalizer) = self.finalizer.take() {
            // SAFETY: registered for exactly this, and `take` makes it once.
            outside(|| unsafe { finalizer(self.pointer) });
        }
    }
}

/// Lets one thread at a time run the callbacks of a call, and lets that thread come again from inside a callback.
#[derive(Default)]
struct Turn {
    holder: AtomicUsize,
    lock: Mutex<()>,
}

impl Turn {
    fn take<T>(&self, body: impl FnOnce() -> T) -> T {
        thread_local!(static ME: u8 = const { 0 });
        // The address is different for each thread that lives.
        let me = ME.with(|mark| std::ptr::from_ref(mark).addr());
        if self.holder.load(Ordering::Relaxed) == me {
            return body();
        }
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.holder.store(me, Ordering::Relaxed);
        let result = body();
        self.holder.store(0, Ordering::Relaxed);
        result
    }
}

impl CallState {
    /// The bounds as core knows them; the time limit starts now.
    pub(crate) fn bounds(state: Option<&CallState>) -> Call {
        let Some(state) = state else { return Call::new() };
        let call = Call::new().with_cancel(state.cancel.clone());
        match state.timeout {
            Some(timeout) => call.with_timeout(timeout),
            None => call,
        }
    }

    /// Runs a callback of the host: never two at once for one call, which the callback neither changes nor frees.
    pub(crate) fn host<T>(state: Option<&CallState>, name: &str, body: impl FnOnce() -> T) -> Result<T> {
        let Some(state) = state else { return Ok(body()) };
        let result = state.turn.take(|| {
            state.asking.fetch_add(1, Ordering::Relaxed);
            let result = body();
            state.asking.fetch_sub(1, Ordering::Relaxed);
            result
        });
        match state.meddled.swap(false, Ordering::Relaxed) {
            true => Err(Error::new(
                Code::Callback,
                format!("the {name} callback tried to change or free the call that it runs for: rule 6 of cosign.h"),
            )),
            false => Ok(result),
        }
    }

    /// One question to the host; `None` is "I have none".
    fn ask(state: Option<&CallState>, prompt: &CStr, attempt: u32) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let Some(callback) = state.and_then(|state| state.password.as_ref()) else { return Ok(None) };
        let (code, answer) = CallState::host(state, "password", || {
            handle::lend::<cosign_secret, _>(Answer::default(), |secret| {
                // SAFETY: the host registered the function together with this pointer.
                outside(|| unsafe { (callback.function)(secret, prompt.as_ptr(), attempt, callback.data.pointer) })
            })
        })?;
        match code {
            0 => {
                answer.sticky.check()?;
                answer.bytes.map(Some).ok_or_else(|| {
                    Error::new(Code::Callback, "the password callback returned COSIGN_OK without cosign_secret_set")
                })
            }
            PASSTHROUGH => Ok(None),
            code if code == Code::Cancelled.number() => {
                Err(Error::new(Code::Cancelled, "cancelled by the password callback"))
            }
            code => Err(Error::new(Code::Callback, format!("the password callback failed with code {code}"))
                .with("callback_code", code)),
        }
    }

    /// Tries `open` with up to three answers of the host.
    pub(crate) fn unlock<T>(
        state: Option<&CallState>,
        bounds: &Call,
        open: impl Fn(Option<&[u8]>) -> Result<T>,
    ) -> Result<T> {
        // Without a password first: a file that is damaged or not encrypted asks nobody.
        let mut last = match open(None) {
            Err(error) if error.code() == Code::PasswordRequired => error,
            other => return other,
        };
        for attempt in 1..=ATTEMPTS {
            bounds.check()?;
            let Some(password) = CallState::ask(state, c"Enter password for private key: ", attempt)? else {
                return Err(last);
            };
            match open(Some(&password)) {
                Err(error) if error.code() == Code::PasswordWrong => last = error,
                other => return other,
            }
        }
        Err(last.with("attempts", ATTEMPTS))
    }

    /// The password for a key that is about to be written.
    pub(crate) fn new_password(state: Option<&CallState>) -> Result<Zeroizing<Vec<u8>>> {
        CallState::ask(state, c"Enter password for private key: ", 0)?.ok_or_else(|| {
            Error::new(
                Code::PasswordRequired,
                "a key is written encrypted, and no new password was given: set a password callback on the call",
            )
        })
    }
}

/// Borrows a call to change it. While a callback of it runs there is nothing to borrow: the function that asked still
/// reads it, and returns an error instead (rule 6 of the ABI).
///
/// # Safety
/// As [`handle::get_mut`].
unsafe fn idle<'a>(call: *mut cosign_call) -> Option<&'a mut CallState> {
    // SAFETY: the caller's promise.
    if unsafe { is_asking(call) } {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe { handle::get_mut(call) }
}

/// Whether a callback of the call runs; then it is noted that somebody wanted to change or free the call.
///
/// # Safety
/// As [`handle::probe`].
unsafe fn is_asking(call: *const cosign_call) -> bool {
    // SAFETY: the caller's promise.
    let Some(state) = (unsafe { handle::probe(call) }) else { return false };
    let asking = state.asking.load(Ordering::Relaxed) > 0;
    if asking {
        state.meddled.store(true, Ordering::Relaxed);
    }
    asking
}

/// Runs the work of a verb: in place for a layout, else on the client's thread while this one watches.
pub(crate) fn drive<T: Send + 'static>(
    runtime: &LazyRuntime,
    bounds: &Call,
    is_local: bool,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    runtime.check_process()?;
    bounds.check()?;
    if is_local {
        return cosign_core::client::run_local(work);
    }
    let handle = runtime.handle()?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let task = handle.spawn(work);
    let abandon = task.abort_handle();
    handle.spawn(async move {
        // Nobody receives after the call was abandoned.
        let _ = sender.send(task.await);
    });
    let mut stopped: Option<(Error, Instant)> = None;
    loop {
        let wait = match bounds.deadline() {
            Some(deadline) if stopped.is_none() => TICK.min(deadline.saturating_duration_since(Instant::now())),
            _ => TICK,
        };
        match receiver.recv_timeout(wait) {
            Ok(Ok(result)) => return result,
            Ok(Err(join)) => {
                return Err(match join.try_into_panic() {
                    Ok(payload) => panic_error(payload.as_ref(), None),
                    Err(_) => Error::new(Code::Internal, "the work of this call was dropped"),
                });
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::new(Code::Internal, "the network thread of the client ended"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        match (&stopped, bounds.check()) {
            (None, Err(error)) => stopped = Some((error, Instant::now())),
            (Some((error, since)), _) if since.elapsed() >= GRACE => {
                abandon.abort();
                return Err(error.clone());
            }
            _ => {}
        }
    }
}

/// A call without a time limit of its own (the built-in ones for connecting and idling hold) and without callbacks.
/// @return the call, never NULL; owned: cosign_call_free. Thread-safe. @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn cosign_call_new() -> *mut cosign_call {
    boundary!(std::ptr::null_mut(), { handle::new(CallState::default()) })
}

/// Limits the total time of each operation that uses the call, from its start; then it returns COSIGN_ERR_TIMEOUT.
/// One thread at a time.
/// @param call        required; NULL does nothing
/// @param timeout_ms  milliseconds; 0 is no limit. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_call_set_timeout_ms(call: *mut cosign_call, timeout_ms: u64) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        if let Some(state) = unsafe { idle(call) } {
            state.timeout = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms));
        }
    })
}

/// Says who is asked for passwords: by cosign_private_key_from_pem and cosign_private_key_to_pem, on the thread that
/// calls them. Replaces what was set before. One thread at a time.
/// @param call       required; with NULL only the finalizer runs
/// @param callback   asks for the password; NULL: nobody is asked
/// @param user_data  handed to the callback; may be NULL. We keep the pointer, and finalizer says when it is done with
/// @param finalizer  destroys user_data, exactly once, also when callback is NULL; NULL: nothing to destroy. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_call_set_password_cb(
    call: *mut cosign_call,
    callback: cosign_password_cb,
    user_data: *mut c_void,
    finalizer: cosign_finalizer,
) {
    // Before anything else, so that every way out of here runs the finalizer.
    let data = UserData { pointer: user_data, finalizer };
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        if let Some(state) = unsafe { idle(call) } {
            state.password = callback.map(|function| PasswordCallback { function, data });
        }
    })
}

/// Stops every operation that uses `call`, now and later; they return COSIGN_ERR_CANCELLED, normally within 50 ms.
/// Safe from any thread and from a signal handler.
/// @param call  the call; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_call_cancel(call: *const cosign_call) {
    // No boundary: a signal handler may run this, so it is a comparison and a store, with no thread-local behind it.
    // SAFETY: rule 3 of the ABI.
    if let Some(state) = unsafe { handle::probe(call) } {
        state.cancel.cancel();
    }
}

/// Frees a call and runs the finalizer of its callback. No operation may still use it. Any thread, once.
/// @param call  the call; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_call_free(call: *mut cosign_call) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe {
            if !is_asking(call) {
                handle::free(call);
            }
        }
    })
}
