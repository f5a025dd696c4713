//! `cosign_error`: why a call failed, as an object that knows no thread.

use std::ffi::{CString, c_char};

use cosign_core::error::Error;

use crate::boundary::boundary;
use crate::handle::{self, handle};

/// COSIGN_OK, or one of the COSIGN_ERR_ numbers. Expect numbers that this header does not know, and treat them by
/// their class (rule 9).
#[allow(non_camel_case_types)]
pub type cosign_code = i32;

/// Why a call failed. Immutable; free with cosign_error_free.
#[allow(non_camel_case_types)]
pub struct cosign_error {
    _opaque: [u8; 0],
}

pub(crate) struct ErrorText {
    code: i32,
    message: CString,
    json: CString,
    retryable: bool,
}

handle!(Shared cosign_error = ErrorText, b"cosignEr");

/// A text for C: what follows an interior NUL would be lost there, so such bytes become U+FFFD.
pub(crate) fn c_string(text: &str) -> CString {
    match text.contains('\0') {
        true => CString::new(text.replace('\0', "\u{fffd}")),
        false => CString::new(text),
    }
    .unwrap_or_default()
}

/// The error's JSON with the report of a refused verification in it.
fn json_with_report(error: &Error) -> String {
    let json = error.json();
    let Some(report) = error.report() else { return json };
    // As text: as a tree, the report on a thousand signatures would take megabytes.
    match json.strip_suffix('}') {
        Some(open) => format!("{open},\"report\":{}}}", report.json()),
        None => json,
    }
}

impl cosign_error {
    pub(crate) fn from_core(error: &Error) -> *mut cosign_error {
        handle::new(cosign_error::text(error))
    }

    pub(crate) fn text(error: &Error) -> ErrorText {
        ErrorText {
            code: error.code().number(),
            message: c_string(error.message()),
            json: c_string(&json_with_report(error)),
            retryable: error.is_retryable(),
        }
    }
}

/// The code of an error, the same that the failed function returned. Thread-safe.
/// @param err  the error; NULL gives COSIGN_OK
/// @return the code. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_error_code(err: *const cosign_error) -> cosign_code {
    boundary!(900, {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(err) }.map_or(0, |error| error.code)
    })
}

/// One line of English that says what was expected, what was found and what to do. Never a secret. Thread-safe.
/// @param err  the error; NULL gives ""
/// @return the text, never NULL; borrowed from `err`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_error_message(err: *const cosign_error) -> *const c_char {
    boundary!(c"".as_ptr(), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(err) }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
    })
}

/// The error as a JSON object: "code", "name", "class", "message", and facts such as the HTTP status; a refused
/// verification carries its whole report as "report". Thread-safe.
/// @param err  the error; NULL gives ""
/// @return the text, never NULL; borrowed from `err`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_error_json(err: *const cosign_error) -> *const c_char {
    boundary!(c"".as_ptr(), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(err) }.map_or(c"".as_ptr(), |error| error.json.as_ptr())
    })
}

/// Whether the same call may succeed later. Thread-safe.
/// @param err  the error; NULL gives 0
/// @return 1 or 0. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_error_is_retryable(err: *const cosign_error) -> i32 {
    boundary!(0, {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(err) }.map_or(0, |error| i32::from(error.retryable))
    })
}

/// Frees an error and every text borrowed from it. Any thread, once.
/// @param err  the error; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_error_free(err: *mut cosign_error) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(err) }
    })
}
