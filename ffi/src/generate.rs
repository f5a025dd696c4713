//! The payload that signing would sign, for signing it elsewhere; and signing it here without storing.

use std::ffi::c_char;

use crate::boundary::{boundary, fill, required};
use crate::buffer::{Bytes, cosign_buffer};
use crate::call::cosign_call;
use crate::client::cosign_client;
use crate::error::{cosign_code, cosign_error};
use crate::handle;
use crate::key::cosign_private_key;
use crate::sign::{checked, cosign_sign_options};

/// Gives the payload that cosign_sign_image signs with the same options: another program may sign it, for
/// cosign_attach_signature. A registry is asked only to resolve a tag. Blocks; network, or files for a layout.
/// Thread-safe on the same client and options.
/// @param client     required
/// @param reference  "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param options    NULL for the defaults
/// @param call       NULL: no limit but the built-in ones
/// @param out        required; receives the payload, which has no newline at its end (owned: cosign_buffer_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_generate(
    client: *const cosign_client,
    reference: *const c_char,
    options: *const cosign_sign_options,
    call: *const cosign_call,
    out: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        let client = handle::get(client, "client")?;
        let reference = handle::text(reference, "reference")?;
        let options = checked(options)?;
        let call = handle::optional(call, "call")?;
        let payload = client.run(reference, call, |client, image, call| async move {
            client.generate(&image, &options, &call).await
        })?;
        fill(out, Bytes::new(&payload));
        Ok(())
    })
}

/// Signs what cosign_sign_image would sign, and stores nothing. No server is touched when the reference is a digest or
/// the options have a payload. Blocks; network, or files for a layout. Thread-safe on the same client and options.
/// @param client     required
/// @param reference  "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param key        required
/// @param options    NULL for the defaults
/// @param call       NULL: no limit but the built-in ones
/// @param signature  required; receives the raw signature (owned: cosign_buffer_free)
/// @param payload    NULL, or receives the bytes that it signs (owned: cosign_buffer_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 2xx key, 4xx registry, 5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_sign_detached(
    client: *const cosign_client,
    reference: *const c_char,
    key: *const cosign_private_key,
    options: *const cosign_sign_options,
    call: *const cosign_call,
    signature: *mut *mut cosign_buffer,
    payload: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [signature, payload], {
        required(signature, "signature")?;
        let client = handle::get(client, "client")?;
        let reference = handle::text(reference, "reference")?;
        let key = handle::get(key, "key")?.clone();
        let options = checked(options)?;
        let call = handle::optional(call, "call")?;
        let made = client.run(reference, call, |client, image, call| async move {
            client.sign_detached(&image, &key, &options, &call).await
        })?;
        fill(signature, Bytes::new(made.signature()));
        fill(payload, Bytes::new(made.payload()));
        Ok(())
    })
}
