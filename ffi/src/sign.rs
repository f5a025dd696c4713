//! Signing an image, and the options of it.

use std::ffi::{c_char, c_void};

use cosign_core::client::{Format, SignOptions, TlogUpload, parse_tag_suffix};
use cosign_core::error::{Code, Error, Result};
use cosign_core::oci::ImageRef;
use cosign_core::payload::simple_signing::PayloadForm;

use crate::boundary::{boundary, fill};
use crate::call::cosign_call;
use crate::client::cosign_client;
use crate::error::{cosign_code, cosign_error};
use crate::handle::{self, Sticky, handle};
use crate::key::cosign_private_key;
use crate::signed::{SignedState, cosign_signed};

/// How to sign: a builder for cosign_sign_image. Free with cosign_sign_options_free.
#[allow(non_camel_case_types)]
pub struct cosign_sign_options {
    _opaque: [u8; 0],
}

#[derive(Default)]
pub(crate) struct OptionsState {
    options: SignOptions,
    sticky: Sticky,
}

handle!(Owned cosign_sign_options = OptionsState, b"cosignSO");

impl OptionsState {
    fn add_annotation(&mut self, key: Result<&str>, value: Result<&str>) -> Result<()> {
        let (key, value) = (key?, value?);
        if key.is_empty() {
            return Err(Error::new(Code::Argument, "an annotation needs a key that is not empty"));
        }
        self.options.annotations.push((key.to_owned(), value.to_owned()));
        Ok(())
    }
}

/// The options, or the first error of their setters; the defaults for NULL.
///
/// # Safety
/// `options` is NULL or live.
pub(crate) unsafe fn checked(options: *const cosign_sign_options) -> Result<SignOptions> {
    // SAFETY: the caller's promise.
    match unsafe { handle::optional(options, "options") }? {
        None => Ok(SignOptions::default()),
        Some(state) => {
            state.sticky.check()?;
            Ok(state.options.clone())
        }
    }
}

/// Changes the options inside the boundary, keeping an error for cosign_sign_image.
///
/// # Safety
/// `options` is NULL or live, and no other thread uses it.
unsafe fn set(options: *mut cosign_sign_options, name: &str, body: impl FnOnce(&mut SignOptions) -> Result<()>) {
    // SAFETY: the caller's promise.
    if let Some(state) = unsafe { handle::get_mut(options) } {
        let result = body(&mut state.options);
        state.sticky.note(name, result);
    }
}

/// The default options: the legacy format, a journal, no annotations. Thread-safe.
/// @return the options, never NULL; owned: cosign_sign_options_free. @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn cosign_sign_options_new() -> *mut cosign_sign_options {
    boundary!(std::ptr::null_mut(), { handle::new(OptionsState::default()) })
}

/// Signs this pair along with the image's digest. One thread at a time.
/// @param options  required; NULL does nothing
/// @param key      required, not empty
/// @param value    required. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_add_annotation(
    options: *mut cosign_sign_options,
    key: *const c_char,
    value: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            if let Some(state) = handle::get_mut(options) {
                let result = state.add_annotation(handle::text(key, "key"), handle::text(value, "value"));
                state.sticky.note("cosign_sign_options_add_annotation", result);
            }
        }
    })
}

/// Sets the format of the signature. One thread at a time.
/// @param options  required; NULL does nothing
/// @param format   required: "legacy" (the default; what cosign 1 to 3, skopeo and podman read), "bundle" (sigstore's,
///                 which cosign 3 writes) or "both". @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_set_format(options: *mut cosign_sign_options, format: *const c_char) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_sign_options_set_format", |options| {
                options.format = Format::parse(handle::text(format, "format")?)?;
                Ok(())
            });
        }
    })
}

/// Whether a journal protects the signature from others who sign at the same time; it does by default. Without it
/// signing takes fewer requests, and signatures can be lost. One thread at a time.
/// @param options  required; NULL does nothing
/// @param journal  0 writes none; anything else writes one. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_set_journal(options: *mut cosign_sign_options, journal: i32) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_sign_options_set_journal", |options| {
                options.journal = journal != 0;
                Ok(())
            });
        }
    })
}

/// Sets what the legacy payload calls the image instead of its repository. One thread at a time.
/// @param options   required; NULL does nothing
/// @param identity  required. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_set_identity(options: *mut cosign_sign_options, identity: *const c_char) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_sign_options_set_identity", |options| {
                options.identity = Some(handle::text(identity, "identity")?.to_owned());
                Ok(())
            });
        }
    })
}

/// Whether a new legacy signature image has Docker's media types; it does not by default. One thread at a time.
/// @param options  required; NULL does nothing
/// @param docker   0: OCI's; anything else: Docker's. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_set_docker_media_types(options: *mut cosign_sign_options, docker: i32) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_sign_options_set_docker_media_types", |options| {
                options.docker_media_types = docker != 0;
                Ok(())
            });
        }
    })
}

/// Names the image's entry in its layout, in the write that signs it. One thread at a time.
/// @param options  required; NULL does nothing
/// @param tag      required; an error for an image in a registry. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_set_layout_tag(options: *mut cosign_sign_options, tag: *const c_char) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_sign_options_set_layout_tag", |options| {
                options.layout_tag = Some(handle::text(tag, "tag")?.to_owned());
                Ok(())
            });
        }
    })
}

/// Sets the suffix of the legacy signature's tag. One thread at a time.
/// @param options  required; NULL does nothing
/// @param suffix   required: ".sig" (the default), or ".cosign" as in 2021. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_set_tag_suffix(options: *mut cosign_sign_options, suffix: *const c_char) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_sign_options_set_tag_suffix", |options| {
                options.tag_suffix = Some(parse_tag_suffix(handle::text(suffix, "suffix")?)?.to_owned());
                Ok(())
            });
        }
    })
}

/// Whether everything that an index leads to is signed as well, each image for itself; it is not by default. At most 1,000
/// images, four levels deep. One thread at a time.
/// @param options    required; NULL does nothing
/// @param recursive  0: the index alone; anything else: all of them. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_set_recursive(options: *mut cosign_sign_options, recursive: i32) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_sign_options_set_recursive", |options| {
                options.recursive = recursive != 0;
                Ok(())
            });
        }
    })
}

/// Whether the signature goes to the transparency log of the client, which tells everybody that it was made, by whom and of
/// what digest. The JSON of the result says what came of it. One thread at a time.
/// @param options  required; NULL does nothing
/// @param tlog     required: "never" (the default), "public" (if everybody may read the image; images in layouts are
///                 private) or "always". @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_set_tlog(options: *mut cosign_sign_options, tlog: *const c_char) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_sign_options_set_tlog", |options| {
                options.tlog = TlogUpload::parse(handle::text(tlog, "tlog")?)?;
                Ok(())
            });
        }
    })
}

/// Sets the spelling of the legacy payload. One thread at a time.
/// @param options  required; NULL does nothing
/// @param form     required: "today" (the default), or "2021" as cosign wrote it in March 2021. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_set_payload_form(options: *mut cosign_sign_options, form: *const c_char) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_sign_options_set_payload_form", |options| {
                options.payload_form = PayloadForm::parse(handle::text(form, "form")?)?;
                Ok(())
            });
        }
    })
}

/// Sets the exact bytes to sign or to attach, in any format, instead of a payload of our own; the legacy format only.
/// One thread at a time.
/// @param options  required; NULL does nothing
/// @param data     the bytes, copied; required, not empty
/// @param len      how many, at most 1 MiB. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_set_payload(
    options: *mut cosign_sign_options,
    data: *const c_void,
    len: usize,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_sign_options_set_payload", |options| {
                let bytes = handle::bytes(data, len, "data")?;
                if bytes.is_empty() {
                    return Err(Error::new(Code::Argument, "the payload is empty"));
                }
                options.payload = Some(bytes.to_vec());
                Ok(())
            });
        }
    })
}

/// Frees the options. Any thread, once.
/// @param options  the options; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_free(options: *mut cosign_sign_options) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(options) }
    })
}

/// Signs what `reference` names now, and stores the signature beside it in the registry or layout, so that others who
/// sign at the same time lose nothing. COSIGN_OK means that it is signed; cosign_signed_status says how well the
/// signature is stored. Blocks; network, or files for a layout. Thread-safe on the same client.
/// @param client     required
/// @param reference  "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param key        required
/// @param options    NULL for the defaults
/// @param call       NULL: no limit but the built-in ones
/// @param out        NULL, or receives what was done (owned: cosign_signed_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 2xx key, 4xx registry, 5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_sign_image(
    client: *const cosign_client,
    reference: *const c_char,
    key: *const cosign_private_key,
    options: *const cosign_sign_options,
    call: *const cosign_call,
    out: *mut *mut cosign_signed,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        let client = handle::get(client, "client")?;
        let reference = handle::text(reference, "reference")?;
        let key = handle::get(key, "key")?.clone();
        let call = handle::optional(call, "call")?;
        let options = checked(options)?;
        let is_local = {
            let options = options.clone();
            move |image: &ImageRef| options.is_local(image)
        };
        let signed = client.run_where(reference, call, is_local, |client, image, call| async move {
            client.sign(&image, &key, &options, &call).await
        })?;
        fill(out, SignedState::new(&signed));
        Ok(())
    })
}
