//! Verifying many images: the caller's thread hands out results while the client's thread works.

use std::ffi::{c_char, c_void};
use std::task::Poll;
use std::time::Duration;

use cosign_core::call::Call;
use cosign_core::client::{BatchOptions, BatchResult, Client, VerifyOptions};
use cosign_core::error::{Code, Error, Result};
use cosign_core::verify::Policy;

use crate::boundary::{boundary, outside};
use crate::call::{CallState, cosign_call};
use crate::client::cosign_client;
use crate::error::{c_string, cosign_code, cosign_error};
use crate::handle::{self, Sticky, handle};
use crate::policy::cosign_policy;
use crate::runtime::LazyRuntime;
use crate::verification::{VerificationState, cosign_verification};
use crate::verify::cosign_verify_options;

/// How much cosign_verify_images does at once: a builder. Free with cosign_batch_options_free.
#[allow(non_camel_case_types)]
pub struct cosign_batch_options {
    _opaque: [u8; 0],
}

#[derive(Default)]
pub(crate) struct OptionsState {
    options: BatchOptions,
    sticky: Sticky,
}

handle!(Owned cosign_batch_options = OptionsState, b"cosignBO");

/// Gives the next reference of a batch: points `*reference` at a text that lives until the next question or the end of
/// the batch, or leaves it NULL when there are no more, and returns COSIGN_OK. COSIGN_ERR_CANCELLED stops the batch; any
/// other code fails it.
#[allow(non_camel_case_types)]
pub type cosign_reference_cb =
    Option<unsafe extern "C" fn(reference: *mut *const c_char, user_data: *mut c_void) -> cosign_code>;

/// Receives one result of a batch. Either `verification` or `error` is NULL: the proof, or why there is none. Everything
/// is borrowed and lives until the callback returns. Return COSIGN_OK to go on; COSIGN_ERR_CANCELLED stops the batch; any
/// other code fails it.
#[allow(non_camel_case_types)]
pub type cosign_result_cb = Option<
    unsafe extern "C" fn(
        index: u64,
        reference: *const c_char,
        verification: *const cosign_verification,
        error: *const cosign_error,
        user_data: *mut c_void,
    ) -> cosign_code,
>;

/// How long to wait before it is seen whether the process is a fork of the one that asked.
const TICK: Duration = Duration::from_millis(20);

/// What a batch asks of the host.
struct Host<'a> {
    call: Option<&'a CallState>,
    user_data: *mut c_void,
}

impl Host<'_> {
    /// Runs a callback and reads its answer.
    fn run(&self, name: &str, callback: impl FnOnce(*mut c_void) -> cosign_code) -> Result<()> {
        match CallState::host(self.call, name, || outside(|| callback(self.user_data)))? {
            0 => Ok(()),
            code if code == Code::Cancelled.number() => {
                Err(Error::new(Code::Cancelled, format!("cancelled by the {name} callback")))
            }
            code => {
                let what = format!("the {name} callback failed with code {code}");
                Err(Error::new(Code::Callback, what).with("callback_code", code))
            }
        }
    }
}

/// Where references come from.
trait Source {
    fn next(&mut self) -> Result<Option<String>>;

    fn left(&self) -> Option<usize> {
        None
    }
}

/// The references of an array.
struct Array<'a>(std::slice::Iter<'a, *const c_char>);

impl Source for Array<'_> {
    fn next(&mut self) -> Result<Option<String>> {
        // SAFETY: cosign_verify_images demands texts that live as long as the call.
        let text = self.0.next().map(|text| unsafe { handle::text(*text, "a reference") });
        Ok(text.transpose()?.map(str::to_owned))
    }

    fn left(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// The references that a callback gives.
struct Asked<'a> {
    function: unsafe extern "C" fn(*mut *const c_char, *mut c_void) -> cosign_code,
    host: &'a Host<'a>,
}

impl Source for Asked<'_> {
    fn next(&mut self) -> Result<Option<String>> {
        let mut text = std::ptr::null();
        // SAFETY: the host gave the function together with this pointer.
        self.host.run("reference", |user_data| unsafe { (self.function)(&raw mut text, user_data) })?;
        // SAFETY: NULL, or a text that lives until the next question.
        Ok(unsafe { handle::optional_text(text, "a reference") }?.map(str::to_owned))
    }
}

/// A source as core wants it; the first trouble ends it, and is kept.
struct References<'a, S> {
    source: S,
    trouble: &'a std::cell::RefCell<Option<Error>>,
}

impl<S: Source> Iterator for References<'_, S> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.source.next().unwrap_or_else(|error| {
            self.trouble.borrow_mut().get_or_insert(error);
            None
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.source.left())
    }
}

/// What both functions verify with.
struct Demands {
    client: Client,
    policy: Policy,
    options: VerifyOptions,
    batch: BatchOptions,
    bounds: Call,
}

impl Demands {
    /// # Safety
    /// Rules 1 to 4 of the ABI.
    unsafe fn read(
        client: *const cosign_client,
        policy: *const cosign_policy,
        options: *const cosign_verify_options,
        batch: *const cosign_batch_options,
        call: Option<&CallState>,
    ) -> Result<Demands> {
        // SAFETY: the caller's promise.
        unsafe {
            let client = handle::get(client, "client")?;
            client.runtime().check_process()?;
            let batch = match handle::optional(batch, "batch")? {
                None => BatchOptions::default(),
                Some(state) => {
                    state.sticky.check()?;
                    state.options.clone()
                }
            };
            Ok(Demands {
                client: client.core(),
                policy: handle::get(policy, "policy")?.checked()?,
                options: match handle::optional(options, "options")? {
                    None => VerifyOptions::default(),
                    Some(state) => state.checked()?,
                },
                batch,
                bounds: CallState::bounds(call),
            })
        }
    }

    /// Hands out the results of `source` until there are no more or the host wants none.
    fn run(
        &self,
        runtime: &LazyRuntime,
        source: impl Source,
        host: &Host<'_>,
        on_result: unsafe extern "C" fn(
            u64,
            *const c_char,
            *const cosign_verification,
            *const cosign_error,
            *mut c_void,
        ) -> cosign_code,
    ) -> Result<()> {
        let trouble = std::cell::RefCell::new(None);
        let references = References { source, trouble: &trouble };
        let batch = self.client.verify_images(references, &self.policy, &self.options, &self.batch, &self.bounds)?;
        let mut batch = batch.on(|| runtime.handle());
        let mut stopped = None;
        let outcome = loop {
            let next = batch.wait(TICK);
            if let Err(forked) = runtime.check_process() {
                // The tasks belong to threads that this process does not have.
                std::mem::forget(batch);
                return Err(forked);
            }
            if let Some(error) = trouble.borrow_mut().take() {
                break Err(error);
            }
            let result = match next {
                Poll::Pending => continue,
                Poll::Ready(None) => break Ok(()),
                Poll::Ready(Some(result)) => result,
            };
            if let (Err(error), Err(stop)) = (&result.outcome, self.bounds.check())
                && error.code() == stop.code()
            {
                stopped = Some(stop);
            }
            if let Err(error) = give(host, &result, on_result) {
                break Err(error);
            }
        };
        if let Err(forked) = runtime.check_process() {
            std::mem::forget(batch);
            return Err(forked);
        }
        // Every reference has its answer, and some of them only that the call was stopped.
        outcome.and(stopped.map_or(Ok(()), Err))
    }
}

/// Shows one result to the host.
fn give(
    host: &Host<'_>,
    result: &BatchResult,
    on_result: unsafe extern "C" fn(
        u64,
        *const c_char,
        *const cosign_verification,
        *const cosign_error,
        *mut c_void,
    ) -> cosign_code,
) -> Result<()> {
    let reference = c_string(&result.reference);
    let tell = |verification: *const cosign_verification, error: *const cosign_error| {
        host.run("result", |user_data| {
            // SAFETY: the host gave the function together with this pointer; the rest lives until it returns.
            unsafe { on_result(result.index, reference.as_ptr(), verification, error, user_data) }
        })
    };
    match &result.outcome {
        Ok(verification) => {
            handle::lend::<cosign_verification, _>(VerificationState::new(verification), |proof| {
                tell(proof, std::ptr::null())
            })
            .0
        }
        Err(error) => {
            handle::lend::<cosign_error, _>(cosign_error::text(error), |error| tell(std::ptr::null(), error)).0
        }
    }
}

/// The default options. Thread-safe.
/// @return the options, never NULL; owned: cosign_batch_options_free. @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn cosign_batch_options_new() -> *mut cosign_batch_options {
    boundary!(std::ptr::null_mut(), { handle::new(OptionsState::default()) })
}

/// Changes the options inside the boundary; an impossible limit is kept for the function that uses them.
///
/// # Safety
/// `options` is NULL or live, and no other thread uses it.
unsafe fn set(options: *mut cosign_batch_options, name: &str, body: impl FnOnce(&mut BatchOptions)) {
    // SAFETY: the caller's promise.
    if let Some(state) = unsafe { handle::get_mut(options) } {
        let mut changed = state.options.clone();
        body(&mut changed);
        let result = changed.check().map(|()| state.options = changed);
        state.sticky.note(name, result);
    }
}

/// How many images are verified at once, on all hosts together; 256 by default. Eight times as many references are taken
/// ahead of the results. One thread at a time.
/// @param options  required; NULL does nothing
/// @param images   at least 1. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_batch_options_set_at_once(options: *mut cosign_batch_options, images: u32) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_batch_options_set_at_once", |options| {
                options.at_once = usize::try_from(images).unwrap_or(usize::MAX);
            });
        }
    })
}

/// How many images are verified at once on one registry host; 100 by default. One thread at a time.
/// @param options  required; NULL does nothing
/// @param images   at least 1. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_batch_options_set_per_host(options: *mut cosign_batch_options, images: u32) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_batch_options_set_per_host", |options| {
                options.per_host = usize::try_from(images).unwrap_or(usize::MAX);
            });
        }
    })
}

/// Limits the time of each image, from its first request; then its result is COSIGN_ERR_TIMEOUT. The time limit of the
/// call is that of the whole batch. One thread at a time.
/// @param options     required; NULL does nothing
/// @param timeout_ms  milliseconds; 0 is what a single call has by default. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_batch_options_set_image_timeout_ms(
    options: *mut cosign_batch_options,
    timeout_ms: u64,
) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_batch_options_set_image_timeout_ms", |options| {
                options.image_timeout = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms));
            });
        }
    })
}

/// Frees the options. Any thread, once.
/// @param options  the options; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_batch_options_free(options: *mut cosign_batch_options) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(options) }
    })
}

/// Verifies many images over shared connections and hands out each result as soon as it is known: what
/// cosign_verify_image would have said of that reference. A tag that is given many times is resolved once, an image that
/// is in hand already is not verified twice. on_result runs on this thread, once for each reference, unless it stops the
/// batch. Blocks; network, or files for layouts. Thread-safe on the same client, policy and options.
/// @param client      required
/// @param references  count texts, each as for cosign_verify_image; one that is malformed is an error of its own. NULL
///                    only with count 0
/// @param count       how many
/// @param policy      required
/// @param options     NULL for the defaults
/// @param batch       NULL for the defaults
/// @param call        NULL: no limit but each image's built-in ones; its time limit is that of the whole batch
/// @param on_result   required
/// @param user_data   handed to on_result; may be NULL
/// @param err         NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK: every reference was answered, which says nothing of their verdicts; 500 or 501: stopped by the
///         call, and those not yet verified were answered with that; 500 or 502: stopped by on_result; 1xx usage. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_verify_images(
    client: *const cosign_client,
    references: *const *const c_char,
    count: usize,
    policy: *const cosign_policy,
    options: *const cosign_verify_options,
    batch: *const cosign_batch_options,
    call: *const cosign_call,
    on_result: cosign_result_cb,
    user_data: *mut c_void,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [], {
        let on_result = on_result.ok_or_else(|| required("on_result"))?;
        let list = match count {
            0 => &[],
            _ if references.is_null() || isize::try_from(count.saturating_mul(size_of::<*const c_char>())).is_err() => {
                return Err(required("references"));
            }
            // SAFETY: not NULL, and an array of `count` texts by the caller's promise.
            _ => unsafe { std::slice::from_raw_parts(references, count) },
        };
        // A batch that would end in the middle is not begun.
        for text in list {
            // SAFETY: rule 1 of the ABI.
            unsafe { handle::text(*text, "a reference") }?;
        }
        // SAFETY: rules 1 to 4 of the ABI.
        unsafe {
            let state = handle::optional(call, "call")?;
            let demands = Demands::read(client, policy, options, batch, state)?;
            let host = Host { call: state, user_data };
            demands.run(handle::get(client, "client")?.runtime(), Array(list.iter()), &host, on_result)
        }
    })
}

/// cosign_verify_images for references that are asked for one by one, at most eight times at_once ahead of the results:
/// for lists that have no end, or do not fit into memory. When the call is stopped no more are asked for; those taken are
/// answered. Both callbacks run on this thread. Blocks; network, or files for layouts. Thread-safe on the same client,
/// policy and options.
/// @param client     required
/// @param next       required; gives the references
/// @param policy     required
/// @param options    NULL for the defaults
/// @param batch      NULL for the defaults
/// @param call       NULL: no limit but each image's built-in ones; its time limit is that of the whole batch
/// @param on_result  required
/// @param user_data  handed to next and on_result; may be NULL
/// @param err        NULL, or receives the error (owned: cosign_error_free)
/// @return as cosign_verify_images; 502 also when next failed. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_verify_images_from(
    client: *const cosign_client,
    next: cosign_reference_cb,
    policy: *const cosign_policy,
    options: *const cosign_verify_options,
    batch: *const cosign_batch_options,
    call: *const cosign_call,
    on_result: cosign_result_cb,
    user_data: *mut c_void,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [], {
        let function = next.ok_or_else(|| required("next"))?;
        let on_result = on_result.ok_or_else(|| required("on_result"))?;
        // SAFETY: rules 1 to 4 of the ABI.
        unsafe {
            let state = handle::optional(call, "call")?;
            let demands = Demands::read(client, policy, options, batch, state)?;
            let host = Host { call: state, user_data };
            let source = Asked { function, host: &host };
            demands.run(handle::get(client, "client")?.runtime(), source, &host, on_result)
        }
    })
}

fn required(name: &str) -> Error {
    Error::new(Code::Argument, format!("{name} is NULL"))
}
