//! Which tools can read the signatures of an image.

use std::ffi::c_char;

use crate::boundary::{boundary, fill, required};
use crate::buffer::{Bytes, cosign_buffer};
use crate::call::cosign_call;
use crate::client::cosign_client;
use crate::error::{cosign_code, cosign_error};
use crate::handle;

/// Says for each signature of an image which tools can read it, and what to do about those that cannot. Nothing is
/// verified. What could not be read is no error: "complete" is then false, and "unread" says what and why. Blocks;
/// network, or files for a layout. Thread-safe on the same client.
/// @param client     required
/// @param reference  "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param call       NULL: no limit but the built-in ones
/// @param out        required; receives it as JSON, docs/commands.md (owned: cosign_buffer_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_doctor(
    client: *const cosign_client,
    reference: *const c_char,
    call: *const cosign_call,
    out: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        let client = handle::get(client, "client")?;
        let reference = handle::text(reference, "reference")?;
        let call = handle::optional(call, "call")?;
        let found =
            client.run(reference, call, |client, image, call| async move { client.doctor(&image, &call).await })?;
        fill(out, Bytes::new(found.json().as_bytes()));
        Ok(())
    })
}
