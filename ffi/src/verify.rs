//! The options of verifying an image.

use std::ffi::c_char;

use cosign_core::client::{Format, VerifyOptions, parse_tag_suffix};
use cosign_core::error::Result;
use cosign_core::oci::ImageRef;

use crate::boundary::boundary;
use crate::handle::{self, Sticky, handle};

/// Where and how strictly to look for signatures: a builder for cosign_verify_image_with. Free with
/// cosign_verify_options_free.
#[allow(non_camel_case_types)]
pub struct cosign_verify_options {
    _opaque: [u8; 0],
}

#[derive(Default)]
pub(crate) struct OptionsState {
    options: VerifyOptions,
    sticky: Sticky,
}

handle!(Owned cosign_verify_options = OptionsState, b"cosignVO");

impl OptionsState {
    /// The options, or the first error of their setters.
    pub(crate) fn checked(&self) -> Result<VerifyOptions> {
        self.sticky.check()?;
        Ok(self.options.clone())
    }
}

/// Changes the options inside the boundary, keeping an error for cosign_verify_image_with.
///
/// # Safety
/// `options` is NULL or live, and no other thread uses it.
unsafe fn set(options: *mut cosign_verify_options, name: &str, body: impl FnOnce(&mut VerifyOptions) -> Result<()>) {
    // SAFETY: the caller's promise.
    if let Some(state) = unsafe { handle::get_mut(options) } {
        let result = body(&mut state.options);
        state.sticky.note(name, result);
    }
}

/// The default options: both formats, the journal, every check. Thread-safe.
/// @return the options, never NULL; owned: cosign_verify_options_free. @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn cosign_verify_options_new() -> *mut cosign_verify_options {
    boundary!(std::ptr::null_mut(), { handle::new(OptionsState::default()) })
}

/// Looks for signatures of one format only. One thread at a time.
/// @param options  required; NULL does nothing
/// @param format   required: "legacy", "bundle" or "both" (the default). @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_options_set_format(options: *mut cosign_verify_options, format: *const c_char) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_verify_options_set_format", |options| {
                options.format = Some(Format::parse(handle::text(format, "format")?)?);
                Ok(())
            });
        }
    })
}

/// Whether the journal is read when the standard places hold nothing acceptable; it is by default. One thread at a time.
/// @param options  required; NULL does nothing
/// @param journal  0 never reads it; anything else does. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_options_set_journal(options: *mut cosign_verify_options, journal: i32) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_verify_options_set_journal", |options| {
                options.journal = journal != 0;
                Ok(())
            });
        }
    })
}

/// Sets the suffix of the legacy signature's tag. One thread at a time.
/// @param options  required; NULL does nothing
/// @param suffix   required: ".sig" (the default), or ".cosign" as in 2021. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_options_set_tag_suffix(
    options: *mut cosign_verify_options,
    suffix: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_verify_options_set_tag_suffix", |options| {
                options.tag_suffix = Some(parse_tag_suffix(handle::text(suffix, "suffix")?)?.to_owned());
                Ok(())
            });
        }
    })
}

/// Reads this signature image, of the legacy format, instead of looking for signatures of the image. One thread at a
/// time.
/// @param options    required; NULL does nothing
/// @param reference  "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH:TAG"; required. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_options_set_signature_reference(
    options: *mut cosign_verify_options,
    reference: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_verify_options_set_signature_reference", |options| {
                options.signature_reference = Some(ImageRef::parse(handle::text(reference, "reference")?)?);
                Ok(())
            });
        }
    })
}

/// Whether no transparency log is asked: an entry that the policy demands must then stand beside the signature. One thread
/// at a time.
/// @param options  required; NULL does nothing
/// @param offline  0 asks the client's log where it must (the default); anything else never does. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_options_set_offline(options: *mut cosign_verify_options, offline: i32) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_verify_options_set_offline", |options| {
                options.offline = offline != 0;
                Ok(())
            });
        }
    })
}

/// Accepts legacy payloads of any type: a signature that was made for something else may count. The report says so. One
/// thread at a time.
/// @param options  required; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_options_dangerous_any_payload_type(options: *mut cosign_verify_options) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_verify_options_dangerous_any_payload_type", |options| {
                options.any_payload_type = true;
                Ok(())
            });
        }
    })
}

/// Counts attestations by an accepted key as signatures too, as cosign 3.1 does: a statement that a scan failed may
/// count. The report says so. One thread at a time.
/// @param options  required; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_options_dangerous_any_predicate_type(options: *mut cosign_verify_options) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_verify_options_dangerous_any_predicate_type", |options| {
                options.any_predicate_type = true;
                Ok(())
            });
        }
    })
}

/// Does not check what the payload says: a signature of another image, stored beside this one, counts. The report says
/// so. One thread at a time.
/// @param options  required; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_options_dangerous_ignore_claims(options: *mut cosign_verify_options) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_verify_options_dangerous_ignore_claims", |options| {
                options.check_claims = false;
                Ok(())
            });
        }
    })
}

/// Frees the options. Any thread, once.
/// @param options  the options; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_options_free(options: *mut cosign_verify_options) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(options) }
    })
}
