//! The signatures of an image as they are stored.

use std::ffi::c_char;

use cosign_core::client::{DownloadOptions, Format, UnverifiedSignature, parse_tag_suffix};

use crate::boundary::{boundary, fill, required};
use crate::buffer::{Bytes, cosign_buffer};
use crate::call::cosign_call;
use crate::client::cosign_client;
use crate::error::{cosign_code, cosign_error};
use crate::handle;

/// Gives the signatures that are stored for an image, one line of JSON each; none of them is verified. Blocks; network,
/// or files for a layout. Thread-safe on the same client.
/// @param client     required
/// @param reference  "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param format     NULL or "both": bundles, then legacy signatures; "legacy" or "bundle": only those
/// @param suffix     of the legacy signature's tag; NULL is ".sig", and 2021 had ".cosign"
/// @param lines_2021 0: the lines of today's `cosign download signature`; anything else: those of `cosign download` in
///                   2021, which say nothing of bundles
/// @param call       NULL: no limit but the built-in ones
/// @param out        required; receives the lines, each with a newline (owned: cosign_buffer_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 301: there is none, 4xx registry, 5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_download(
    client: *const cosign_client,
    reference: *const c_char,
    format: *const c_char,
    suffix: *const c_char,
    lines_2021: i32,
    call: *const cosign_call,
    out: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        let client = handle::get(client, "client")?;
        let reference = handle::text(reference, "reference")?;
        let (format, suffix) = (handle::optional_text(format, "format")?, handle::optional_text(suffix, "suffix")?);
        let call = handle::optional(call, "call")?;
        let mut options = DownloadOptions {
            format: format.map(Format::parse).transpose()?,
            tag_suffix: suffix.map(parse_tag_suffix).transpose()?.map(str::to_owned),
        };
        if lines_2021 != 0 {
            options.format = Some(Format::Legacy);
        }
        let found = client.run(reference, call, |client, image, call| async move {
            client.download(&image, &options, &call).await
        })?;
        let line = |signature: &UnverifiedSignature| match lines_2021 {
            0 => Some(signature.json()),
            _ => signature.json_2021(),
        };
        let lines: String = found.iter().filter_map(line).map(|line| line + "\n").collect();
        fill(out, Bytes::new(lines.as_bytes()));
        Ok(())
    })
}
