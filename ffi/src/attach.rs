//! Storing a signature that was made elsewhere.

use std::ffi::{c_char, c_void};

use crate::boundary::{boundary, fill};
use crate::call::cosign_call;
use crate::client::cosign_client;
use crate::error::{cosign_code, cosign_error};
use crate::handle;
use crate::sign::{checked, cosign_sign_options};
use crate::signed::{SignedState, cosign_signed};

/// Stores a raw signature of an image that was made elsewhere, so that others who sign at the same time lose nothing.
/// What it signs is the payload of the options, kept to the byte, or else what cosign_generate gives for the same
/// options. It is not verified: there is no key to do it with. Blocks; network, or files for a layout. Thread-safe on
/// the same client and options.
/// @param client         required
/// @param reference      "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param signature      the raw bytes, not base64; required, not empty
/// @param signature_len  how many, at most 4 KiB
/// @param options        NULL for the defaults
/// @param call           NULL: no limit but the built-in ones
/// @param out            NULL, or receives what was done (owned: cosign_signed_free)
/// @param err            NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_attach_signature(
    client: *const cosign_client,
    reference: *const c_char,
    signature: *const c_void,
    signature_len: usize,
    options: *const cosign_sign_options,
    call: *const cosign_call,
    out: *mut *mut cosign_signed,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        let client = handle::get(client, "client")?;
        let reference = handle::text(reference, "reference")?;
        let signature = handle::bytes(signature, signature_len, "signature")?.to_vec();
        let options = checked(options)?;
        let call = handle::optional(call, "call")?;
        let signed = client.run(reference, call, |client, image, call| async move {
            client.attach_signature(&image, &signature, &options, &call).await
        })?;
        fill(out, SignedState::new(&signed));
        Ok(())
    })
}
