//! Cleaning, collecting and copying: what was done comes back as JSON.

use std::ffi::c_char;

use cosign_core::client::{CleanKind, CleanOptions, CopyKind, CopyOptions, GcOptions};
use cosign_core::oci::ImageRef;

use crate::boundary::{boundary, fill, required};
use crate::buffer::{Bytes, cosign_buffer};
use crate::call::cosign_call;
use crate::client::cosign_client;
use crate::error::{cosign_code, cosign_error};
use crate::handle;

/// Removes the signatures, attestations and SBOMs of an image, the journal first, so that nobody who signs later brings
/// them back. Asks no question. A manifest that other tags name is left, and told in "kept". In a layout, payloads that
/// nothing leads to any more stay. Blocks; network, or files for a layout. Thread-safe on the same client.
/// @param client     required
/// @param reference  "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param kind       NULL for "all", or "signature", "attestation", "referrer", "sbom"
/// @param call       NULL: no limit but the built-in ones
/// @param out        required; receives {"digest", "reference", "removed": [{"place", "by_digest", "note"}], "kept":
///                   [{"place", "reason"}]} (owned: cosign_buffer_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free); its JSON says what was "removed" before
/// @return COSIGN_OK; COSIGN_ERR_UNSUPPORTED when the registry deletes nothing; 1xx usage, 4xx registry, 5xx stopped,
///         6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_clean_image(
    client: *const cosign_client,
    reference: *const c_char,
    kind: *const c_char,
    call: *const cosign_call,
    out: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        let client = handle::get(client, "client")?;
        let reference = handle::text(reference, "reference")?;
        let kind = handle::optional_text(kind, "kind")?.map_or(Ok(CleanKind::All), CleanKind::parse)?;
        let call = handle::optional(call, "call")?;
        let options = CleanOptions { kind };
        let cleaned = client
            .run(reference, call, |client, image, call| async move { client.clean(&image, &options, &call).await })?;
        fill(out, Bytes::new(cleaned.json().as_bytes()));
        Ok(())
    })
}

/// Removes journal entries that are older than 24 hours and in their standard place, or whose image is gone. Blocks;
/// network. A layout has no journal. Thread-safe on the same client.
/// @param client            required
/// @param reference         "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param repair            not 0: merges what the standard places have lost first, whatever its age
/// @param whole_repository  not 0: the journals of all images in the repository
/// @param call              NULL: no limit but the built-in ones
/// @param out               required; receives {"removed": [{"place", "by_digest", "note"}], "kept": [{"place",
///                          "reason"}], "repaired": [{"place", "status", "reason"}], "lost", "images"} (owned:
///                          cosign_buffer_free); "lost" counts entries that a repair would merge
/// @param err               NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_gc(
    client: *const cosign_client,
    reference: *const c_char,
    repair: i32,
    whole_repository: i32,
    call: *const cosign_call,
    out: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        let client = handle::get(client, "client")?;
        let reference = handle::text(reference, "reference")?;
        let call = handle::optional(call, "call")?;
        let options = GcOptions { repair: repair != 0, whole_repository: whole_repository != 0 };
        let collected = client
            .run(reference, call, |client, image, call| async move { client.gc(&image, &options, &call).await })?;
        fill(out, Bytes::new(collected.json().as_bytes()));
        Ok(())
    })
}

/// Copies an image with all that hangs on it between registries and layouts: an index with its children, what refers to
/// it, attestations, SBOM, signatures last. Signatures are merged into those at the destination. Blobs that are there
/// are not sent again. Blocks; network, or files between layouts. Thread-safe on the same client.
/// @param client       required
/// @param source       "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param destination  the same; a folder that is not there becomes a layout; required
/// @param only         NULL for all, or of "sig", "att", "sbom" those that are to be copied, with commas
/// @param platform     NULL for all, or "os/architecture[/variant]": of an index only that image
/// @param force        not 0: the destination's name may be taken from another image
/// @param call         NULL: no limit but the built-in ones
/// @param out          required; receives {"digest", "source", "destination", "manifests", "blobs_sent", "blobs_there",
///                     "added", "status", "reason", "left": [{"place", "reason"}]} (owned: cosign_buffer_free)
/// @param err          NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; COSIGN_ERR_FILE_EXISTS when the destination names another image; 1xx usage, 4xx registry, 5xx
///         stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_copy_image(
    client: *const cosign_client,
    source: *const c_char,
    destination: *const c_char,
    only: *const c_char,
    platform: *const c_char,
    force: i32,
    call: *const cosign_call,
    out: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        let client = handle::get(client, "client")?;
        let platform = handle::optional_text(platform, "platform")?.map(str::to_owned);
        let from = ImageRef::parse(handle::text(source, "source")?)?;
        let to = ImageRef::parse(handle::text(destination, "destination")?)?;
        let only = match handle::optional_text(only, "only")? {
            None => Vec::new(),
            Some(names) => names.split(',').map(CopyKind::parse).collect::<Result<_, _>>()?,
        };
        let call = handle::optional(call, "call")?;
        let options = CopyOptions { only, force: force != 0, platform };
        let is_local = from.is_local() && to.is_local();
        let copied = client
            .run_parsed(is_local, call, |client, call| async move { client.copy(&from, &to, &options, &call).await })?;
        fill(out, Bytes::new(copied.json().as_bytes()));
        Ok(())
    })
}
