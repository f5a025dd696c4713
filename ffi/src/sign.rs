//! Signing an image, and the options of it.

use std::ffi::c_char;

use cosign_core::client::SignOptions;
use cosign_core::error::{Code, Error, Result};

use crate::boundary::{boundary, fill};
use crate::buffer::{Bytes, cosign_buffer};
use crate::call::cosign_call;
use crate::client::cosign_client;
use crate::error::{cosign_code, cosign_error};
use crate::handle::{self, Sticky, handle};
use crate::key::cosign_private_key;

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

/// The default options: no annotations. Thread-safe.
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

/// Frees the options. Any thread, once.
/// @param options  the options; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_sign_options_free(options: *mut cosign_sign_options) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(options) }
    })
}

/// Signs what `reference` names now, and stores the signature beside it in the registry or layout. Blocks; network, or
/// files for a layout. Thread-safe on the same client.
/// @param client      required
/// @param reference   "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param key         required
/// @param options     NULL for the defaults
/// @param call        NULL: no limit but the built-in ones
/// @param out_digest  NULL, or receives the digest that was signed (owned: cosign_buffer_free)
/// @param err         NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 2xx key, 4xx registry, 5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_sign_image(
    client: *const cosign_client,
    reference: *const c_char,
    key: *const cosign_private_key,
    options: *const cosign_sign_options,
    call: *const cosign_call,
    out_digest: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out_digest], {
        let client = handle::get(client, "client")?;
        let reference = handle::text(reference, "reference")?;
        let key = handle::get(key, "key")?.clone();
        let call = handle::optional(call, "call")?;
        let options = match handle::optional(options, "options")? {
            None => SignOptions::default(),
            Some(state) => {
                state.sticky.check()?;
                state.options.clone()
            }
        };
        let signed = client.run(reference, call, |client, image, call| async move {
            client.sign(&image, &key, &options, &call).await
        })?;
        fill(out_digest, Bytes::new(signed.digest().to_string().as_bytes()));
        Ok(())
    })
}
