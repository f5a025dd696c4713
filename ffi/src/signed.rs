//! What signing an image did: which digest, where each signature is, and how well it is stored.

use std::ffi::{CString, c_char};

use cosign_core::client::Signed;
use cosign_core::store::Protection;

use crate::boundary::boundary;
use crate::error::c_string;
use crate::handle::{self, handle};

/// What signing an image did. Immutable; free with cosign_signed_free.
///
/// The status of a signature is "stored": every tool finds it, and no signer at the same time can make it unseen;
/// "stored_unprotected": every tool finds it now, but a signer at the same time may have overwritten it unseen; or
/// "journal_only": this library finds it, other tools do not. Expect unknown words.
#[allow(non_camel_case_types)]
pub struct cosign_signed {
    _opaque: [u8; 0],
}

pub(crate) struct SignedState {
    digest: CString,
    reference: CString,
    worst: Stored,
    signatures: Vec<StoredState>,
    layout_needs_name: bool,
    json: CString,
}

/// How a signature is stored.
struct Stored {
    status: CString,
    reason: CString,
    added: bool,
}

struct StoredState {
    reference: CString,
    format: CString,
    place: CString,
    stored: Stored,
}

handle!(Shared cosign_signed = SignedState, b"cosignSd");

impl Stored {
    fn new(protection: &Protection, added: bool) -> Stored {
        let reason = c_string(protection.reason().unwrap_or_default());
        Stored { status: c_string(protection.name()), reason, added }
    }
}

impl SignedState {
    pub(crate) fn new(signed: &Signed) -> SignedState {
        let signatures = signed.signatures().iter().map(|signature| StoredState {
            reference: c_string(&signature.reference),
            format: c_string(signature.format.name()),
            place: c_string(&signature.added.place),
            stored: Stored::new(&signature.added.protection, signature.added.added),
        });
        SignedState {
            digest: c_string(&signed.digest().to_string()),
            reference: c_string(signed.reference()),
            worst: Stored::new(signed.protection(), signed.added()),
            signatures: signatures.collect(),
            layout_needs_name: signed.layout_needs_name(),
            json: c_string(&signed.json()),
        }
    }
}

/// A text of the result, "" for NULL.
///
/// # Safety
/// `result` is NULL or live.
unsafe fn text(result: *const cosign_signed, get: impl FnOnce(&SignedState) -> &CString) -> *const c_char {
    boundary!(c"".as_ptr(), {
        // SAFETY: the caller's promise.
        unsafe { handle::peek(result) }.map_or(c"".as_ptr(), |signed| get(signed).as_ptr())
    })
}

/// A text of one signature, "" for NULL and for an index that is too large.
///
/// # Safety
/// `result` is NULL or live.
unsafe fn text_at(
    result: *const cosign_signed,
    index: usize,
    get: impl FnOnce(&StoredState) -> &CString,
) -> *const c_char {
    boundary!(c"".as_ptr(), {
        // SAFETY: the caller's promise.
        let signature = unsafe { handle::peek(result) }.and_then(|signed| signed.signatures.get(index));
        signature.map_or(c"".as_ptr(), |signature| get(signature).as_ptr())
    })
}

/// The digest that was signed, "sha256:…". Thread-safe.
/// @param result  the result; NULL gives ""
/// @return the text, never NULL; borrowed from `result`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_digest(result: *const cosign_signed) -> *const c_char {
    // SAFETY: rule 3 of the ABI.
    unsafe { text(result, |signed| &signed.digest) }
}

/// The image pinned to that digest: "registry/repo@sha256:…" or "oci:PATH@sha256:…". Thread-safe.
/// @param result  the result; NULL gives ""
/// @return the text, never NULL; borrowed from `result`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_reference(result: *const cosign_signed) -> *const c_char {
    // SAFETY: rule 3 of the ABI.
    unsafe { text(result, |signed| &signed.reference) }
}

/// The status of the least protected of the signatures: "stored", "stored_unprotected" or "journal_only". Thread-safe.
/// @param result  the result; NULL gives ""
/// @return the text, never NULL; borrowed from `result`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_status(result: *const cosign_signed) -> *const c_char {
    // SAFETY: rule 3 of the ABI.
    unsafe { text(result, |signed| &signed.worst.status) }
}

/// Why that status is not "stored", as one line of English. Thread-safe.
/// @param result  the result; NULL gives ""
/// @return the text, "" for "stored", never NULL; borrowed from `result`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_reason(result: *const cosign_signed) -> *const c_char {
    // SAFETY: rule 3 of the ABI.
    unsafe { text(result, |signed| &signed.worst.reason) }
}

/// Whether anything new was stored: a key that has signed the same before adds nothing in the legacy format.
/// Thread-safe.
/// @param result  the result; NULL gives 0
/// @return 1 or 0. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_added(result: *const cosign_signed) -> i32 {
    boundary!(0, {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(result) }.map_or(0, |signed| i32::from(signed.worst.added))
    })
}

/// Whether the image's entry in its layout has no name, which tools that copy by name need beside a signature.
/// Thread-safe.
/// @param result  the result; NULL gives 0
/// @return 1 or 0; 0 for registries. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_layout_needs_name(result: *const cosign_signed) -> i32 {
    boundary!(0, {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(result) }.map_or(0, |signed| i32::from(signed.layout_needs_name))
    })
}

/// How many signatures there are: one for each format; with cosign_sign_options_set_recursive for each format and image,
/// those of the index first. Thread-safe.
/// @param result  the result; NULL gives 0
/// @return the number. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_count(result: *const cosign_signed) -> usize {
    boundary!(0, {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(result) }.map_or(0, |signed| signed.signatures.len())
    })
}

/// The image that one signature is of, pinned: the one that was named, or one that its index leads to. Thread-safe.
/// @param result  the result; NULL gives ""
/// @param index   from 0; at or above cosign_signed_count gives ""
/// @return the text, never NULL; borrowed from `result`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_reference_at(result: *const cosign_signed, index: usize) -> *const c_char {
    // SAFETY: rule 3 of the ABI.
    unsafe { text_at(result, index, |signature| &signature.reference) }
}

/// The format of one signature: "legacy" or "bundle". Thread-safe.
/// @param result  the result; NULL gives ""
/// @param index   from 0; at or above cosign_signed_count gives ""
/// @return the text, never NULL; borrowed from `result`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_format_at(result: *const cosign_signed, index: usize) -> *const c_char {
    // SAFETY: rule 3 of the ABI.
    unsafe { text_at(result, index, |signature| &signature.format) }
}

/// Where one signature is: "registry/repo:sha256-….sig", or the pinned manifest of a bundle. Thread-safe.
/// @param result  the result; NULL gives ""
/// @param index   from 0; at or above cosign_signed_count gives ""
/// @return the text, never NULL; borrowed from `result`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_place_at(result: *const cosign_signed, index: usize) -> *const c_char {
    // SAFETY: rule 3 of the ABI.
    unsafe { text_at(result, index, |signature| &signature.place) }
}

/// The status of one signature: "stored", "stored_unprotected" or "journal_only". Thread-safe.
/// @param result  the result; NULL gives ""
/// @param index   from 0; at or above cosign_signed_count gives ""
/// @return the text, never NULL; borrowed from `result`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_status_at(result: *const cosign_signed, index: usize) -> *const c_char {
    // SAFETY: rule 3 of the ABI.
    unsafe { text_at(result, index, |signature| &signature.stored.status) }
}

/// Why the status of one signature is not "stored". Thread-safe.
/// @param result  the result; NULL gives ""
/// @param index   from 0; at or above cosign_signed_count gives ""
/// @return the text, "" for "stored", never NULL; borrowed from `result`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_reason_at(result: *const cosign_signed, index: usize) -> *const c_char {
    // SAFETY: rule 3 of the ABI.
    unsafe { text_at(result, index, |signature| &signature.stored.reason) }
}

/// Whether one signature is new. Thread-safe.
/// @param result  the result; NULL gives 0
/// @param index   from 0; at or above cosign_signed_count gives 0
/// @return 1 or 0. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_added_at(result: *const cosign_signed, index: usize) -> i32 {
    boundary!(0, {
        // SAFETY: rule 3 of the ABI.
        let signature = unsafe { handle::peek(result) }.and_then(|signed| signed.signatures.get(index));
        signature.map_or(0, |signature| i32::from(signature.stored.added))
    })
}

/// The result as JSON. Thread-safe.
/// @param result  the result; NULL gives ""
/// @return the text, never NULL; borrowed from `result`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_json(result: *const cosign_signed) -> *const c_char {
    // SAFETY: rule 3 of the ABI.
    unsafe { text(result, |signed| &signed.json) }
}

/// Frees a result and every text borrowed from it. Any thread, once.
/// @param result  the result; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_signed_free(result: *mut cosign_signed) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(result) }
    })
}
