//! Verifying an image, and the proof that comes of it. Only these functions and those of `blob.rs` make a
//! `cosign_verification`.

use std::ffi::{CString, c_char};

use cosign_core::client::VerifyOptions;
use cosign_core::error::Result;
use cosign_core::oci::ImageRef;
use cosign_core::verify::{Verification, Verified};

use crate::boundary::{boundary, fill, required};
use crate::buffer::Bytes;
use crate::call::cosign_call;
use crate::client::cosign_client;
use crate::error::{c_string, cosign_code, cosign_error};
use crate::handle::{self, handle};
use crate::policy::cosign_policy;
use crate::verify::cosign_verify_options;

/// Proof that an image or blob met a policy; there is none for one that did not. Immutable; free with
/// cosign_verification_free.
#[allow(non_camel_case_types)]
pub struct cosign_verification {
    _opaque: [u8; 0],
}

pub(crate) struct VerificationState {
    digest: CString,
    reference: CString,
    json: CString,
    signatures: Vec<(CString, Bytes)>,
}

handle!(Shared cosign_verification = VerificationState, b"cosignVe");

impl VerificationState {
    pub(crate) fn new(verification: &Verified<Verification>) -> VerificationState {
        VerificationState {
            digest: c_string(&verification.digest().to_string()),
            reference: c_string(verification.reference()),
            json: c_string(&verification.json()),
            signatures: verification
                .signatures()
                .iter()
                .map(|signature| (c_string(signature.format()), Bytes::new(signature.payload())))
                .collect(),
        }
    }

    /// Of a blob: it has a name in place of a reference, and its signatures have no payload.
    pub(crate) fn of_blob<'a>(
        digest: &str,
        name: &str,
        json: &str,
        formats: impl Iterator<Item = &'a str>,
    ) -> VerificationState {
        VerificationState {
            digest: c_string(digest),
            reference: c_string(name),
            json: c_string(json),
            signatures: formats.map(|format| (c_string(format), Bytes::new(&[]))).collect(),
        }
    }
}

/// COSIGN_OK means: the policy is met. `*out` then says by whom, and for which digest; use that digest, not the tag,
/// from here on. On any other result `*out` is NULL. A policy without a key is an error. Signatures of both formats
/// are looked for, and the journal when those are not enough. Blocks; network, or files for a layout. Thread-safe on
/// the same client and policy.
/// @param client     required
/// @param reference  "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param policy     required
/// @param call       NULL: no limit but the built-in ones
/// @param out        required; receives the proof (owned: cosign_verification_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free); its JSON carries the report
/// @return COSIGN_OK; 1xx usage, 3xx refused, 4xx unknown: the evidence could not be read (but 402: no such image),
///         5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_verify_image(
    client: *const cosign_client,
    reference: *const c_char,
    policy: *const cosign_policy,
    call: *const cosign_call,
    out: *mut *mut cosign_verification,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], { verify(client, reference, policy, std::ptr::null(), call, out) })
}

/// cosign_verify_image with options. Blocks; network, or files for a layout. Thread-safe on the same client, policy
/// and options.
/// @param client     required
/// @param reference  "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param policy     required
/// @param options    NULL for the defaults
/// @param call       NULL: no limit but the built-in ones
/// @param out        required; receives the proof (owned: cosign_verification_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free); its JSON carries the report
/// @return as cosign_verify_image. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_verify_image_with(
    client: *const cosign_client,
    reference: *const c_char,
    policy: *const cosign_policy,
    options: *const cosign_verify_options,
    call: *const cosign_call,
    out: *mut *mut cosign_verification,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], { verify(client, reference, policy, options, call, out) })
}

/// # Safety
/// Rules 1 to 4 of the ABI.
unsafe fn verify(
    client: *const cosign_client,
    reference: *const c_char,
    policy: *const cosign_policy,
    options: *const cosign_verify_options,
    call: *const cosign_call,
    out: *mut *mut cosign_verification,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        required(out, "out")?;
        let client = handle::get(client, "client")?;
        let reference = handle::text(reference, "reference")?;
        let policy = handle::get(policy, "policy")?.checked()?;
        let options = match handle::optional(options, "options")? {
            None => VerifyOptions::default(),
            Some(state) => state.checked()?,
        };
        let call = handle::optional(call, "call")?;
        let is_local = {
            let (options, policy) = (options.clone(), policy.clone());
            move |image: &ImageRef| options.is_local(image, &policy)
        };
        let verification = client.run_where(reference, call, is_local, |client, image, call| async move {
            client.verify(&image, &policy, &options, &call).await
        })?;
        fill(out, VerificationState::new(&verification));
        Ok(())
    }
}

/// The digest that was verified, "sha256:…". Act on it, not on the tag. Thread-safe.
/// @param verification  the proof; NULL gives ""
/// @return the text, never NULL; borrowed from `verification`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verification_digest(verification: *const cosign_verification) -> *const c_char {
    boundary!(c"".as_ptr(), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(verification) }.map_or(c"".as_ptr(), |verification| verification.digest.as_ptr())
    })
}

/// The image pinned to that digest: "registry/repo@sha256:…" or "oci:PATH@sha256:…". Thread-safe.
/// @param verification  the proof; NULL gives ""
/// @return the text, never NULL; borrowed from `verification`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verification_reference(verification: *const cosign_verification) -> *const c_char {
    boundary!(c"".as_ptr(), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(verification) }.map_or(c"".as_ptr(), |verification| verification.reference.as_ptr())
    })
}

/// How many signatures the policy accepted. Thread-safe.
/// @param verification  the proof; NULL gives 0
/// @return the number, at least 1 for a proof. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verification_count(verification: *const cosign_verification) -> usize {
    boundary!(0, {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(verification) }.map_or(0, |verification| verification.signatures.len())
    })
}

/// The format of an accepted signature: "legacy" or "bundle". Thread-safe.
/// @param verification  the proof; NULL gives ""
/// @param index         from 0; at or above cosign_verification_count gives ""
/// @return the text, never NULL; borrowed from `verification`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verification_format_at(
    verification: *const cosign_verification,
    index: usize,
) -> *const c_char {
    boundary!(c"".as_ptr(), {
        // SAFETY: rule 3 of the ABI.
        let signature =
            unsafe { handle::peek(verification) }.and_then(|verification| verification.signatures.get(index));
        signature.map_or(c"".as_ptr(), |(format, _)| format.as_ptr())
    })
}

/// The exact bytes that an accepted signature signed, with a NUL after the last one: the simple-signing payload of a
/// legacy signature, the in-toto statement of a bundle. Thread-safe.
/// @param verification  the proof; NULL gives ""
/// @param index         from 0; at or above cosign_verification_count gives ""
/// @param len           NULL, or receives how many bytes
/// @return the bytes, never NULL; borrowed from `verification`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verification_payload(
    verification: *const cosign_verification,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    boundary!(c"".as_ptr(), {
        // SAFETY: rule 3 of the ABI.
        let signature =
            unsafe { handle::peek(verification) }.and_then(|verification| verification.signatures.get(index));
        let payload = signature.map(|(_, payload)| payload);
        if !len.is_null() {
            // SAFETY: not NULL, and writable by rule 2 of the ABI.
            unsafe { len.write(payload.map_or(0, Bytes::len)) };
        }
        payload.map_or(c"".as_ptr(), Bytes::as_ptr)
    })
}

/// The proof as JSON: the digest, and every signature with every check: passed, failed or skipped, and why.
/// Thread-safe.
/// @param verification  the proof; NULL gives ""
/// @return the text, never NULL; borrowed from `verification`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verification_json(verification: *const cosign_verification) -> *const c_char {
    boundary!(c"".as_ptr(), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(verification) }.map_or(c"".as_ptr(), |verification| verification.json.as_ptr())
    })
}

/// Frees a proof and every text borrowed from it. Any thread, once.
/// @param verification  the proof; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verification_free(verification: *mut cosign_verification) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(verification) }
    })
}
