//! Where the signatures of an image are stored.

use std::ffi::c_char;

use cosign_core::client::TriangulateOptions;

use crate::boundary::{boundary, fill, required};
use crate::buffer::{Bytes, cosign_buffer};
use crate::call::cosign_call;
use crate::client::cosign_client;
use crate::error::{cosign_code, cosign_error};
use crate::handle;

/// Names the place that holds the signatures of an image, "registry/repo:sha256-<hex>.sig"; says nothing about whether
/// there are any. A registry is asked only to resolve a tag. Blocks; network, or files for a layout. Thread-safe on the
/// same client.
/// @param client     required
/// @param reference  "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param suffix     NULL is ".sig"; ".att", ".sbom", or ".cosign" as in 2021
/// @param call       NULL: no limit but the built-in ones
/// @param out        required; receives the name (owned: cosign_buffer_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_triangulate(
    client: *const cosign_client,
    reference: *const c_char,
    suffix: *const c_char,
    call: *const cosign_call,
    out: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        let client = handle::get(client, "client")?;
        let reference = handle::text(reference, "reference")?;
        let suffix = handle::optional_text(suffix, "suffix")?.map(str::to_owned);
        let options = suffix.map_or_else(TriangulateOptions::default, |suffix| TriangulateOptions { suffix });
        let call = handle::optional(call, "call")?;
        let found = client.run(reference, call, |client, image, call| async move {
            client.triangulate(&image, &options, &call).await
        })?;
        fill(out, Bytes::new(found.as_bytes()));
        Ok(())
    })
}
