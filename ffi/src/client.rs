//! `cosign_client`: where images are found, with the connections and the thread that go there.

use std::ffi::{c_char, c_void};
use std::mem::ManuallyDrop;

use cosign_core::client::{Client, ClientOptions};
use cosign_core::error::Result;
use cosign_core::oci::ImageRef;

use crate::boundary::{boundary, fill, required};
use crate::buffer::{Bytes, cosign_buffer};
use crate::call::{CallState, cosign_call, drive};
use crate::error::{cosign_code, cosign_error};
use crate::handle::{self, Sticky, handle};
use crate::runtime::LazyRuntime;

/// How a client finds images: a builder for cosign_client_new. Free with cosign_client_options_free.
#[allow(non_camel_case_types)]
pub struct cosign_client_options {
    _opaque: [u8; 0],
}

#[derive(Default)]
pub(crate) struct OptionsState {
    options: ClientOptions,
    sticky: Sticky,
}

handle!(Owned cosign_client_options = OptionsState, b"cosignCO");

/// Finds, signs and verifies images. Immutable: share one client among all threads, and its connections are reused.
/// Free with cosign_client_free.
#[allow(non_camel_case_types)]
pub struct cosign_client {
    _opaque: [u8; 0],
}

pub(crate) struct ClientState {
    client: ManuallyDrop<Client>,
    runtime: LazyRuntime,
}

handle!(Shared cosign_client = ClientState, b"cosignCl");

impl ClientState {
    /// Runs `verb` on the image that `reference` names.
    pub(crate) fn run<T, F>(
        &self,
        reference: &str,
        call: Option<&CallState>,
        verb: impl FnOnce(Client, ImageRef, cosign_core::call::Call) -> F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let image = ImageRef::parse(reference)?;
        let bounds = CallState::bounds(call);
        let is_local = image.is_local();
        let work = verb(Client::clone(&self.client), image, bounds.clone());
        drive(&self.runtime, &bounds, is_local, work)
    }
}

impl Drop for ClientState {
    fn drop(&mut self) {
        // In a forked child the connections belong to threads that do not exist: left alone.
        if !self.runtime.is_forked() {
            // SAFETY: dropped here only, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.client) };
        }
    }
}

/// Changes the options inside the boundary, keeping an error for cosign_client_new.
///
/// # Safety
/// `options` is NULL or live, and no other thread uses it.
unsafe fn set(options: *mut cosign_client_options, name: &str, body: impl FnOnce(&mut ClientOptions) -> Result<()>) {
    // SAFETY: the caller's promise.
    if let Some(state) = unsafe { handle::get_mut(options) } {
        let result = body(&mut state.options);
        state.sticky.note(name, result);
    }
}

/// The default options: system certificate authorities, no credentials, layouts allowed. Thread-safe.
/// @return the options, never NULL; owned: cosign_client_options_free. @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn cosign_client_options_new() -> *mut cosign_client_options {
    boundary!(std::ptr::null_mut(), { handle::new(OptionsState::default()) })
}

/// Sets the text of the User-Agent header. One thread at a time.
/// @param options     required; NULL does nothing
/// @param user_agent  required; visible ASCII. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_set_user_agent(
    options: *mut cosign_client_options,
    user_agent: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_set_user_agent", |options| {
                options.set_user_agent(handle::text(user_agent, "user_agent")?)?;
                Ok(())
            });
        }
    })
}

/// Trusts more certificate authorities, beside the system's. One thread at a time.
/// @param options  required; NULL does nothing
/// @param pem      PEM blocks "CERTIFICATE", required
/// @param len      how many bytes. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_add_ca_pem(
    options: *mut cosign_client_options,
    pem: *const c_void,
    len: usize,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_add_ca_pem", |options| {
                options.add_ca_pem(handle::bytes(pem, len, "pem")?)?;
                Ok(())
            });
        }
    })
}

/// Sets a user and password for a registry. One thread at a time.
/// @param options   required; NULL does nothing
/// @param host      "registry.example" or "registry.example:5000", required
/// @param user      required
/// @param password  required; never written to a log or an error. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_set_auth_basic(
    options: *mut cosign_client_options,
    host: *const c_char,
    user: *const c_char,
    password: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_set_auth_basic", |options| {
                let host = handle::text(host, "host")?;
                let user = handle::text(user, "user")?;
                options.set_auth_basic(host, user, handle::text(password, "password")?);
                Ok(())
            });
        }
    })
}

/// Sets a bearer token for a registry. One thread at a time.
/// @param options  required; NULL does nothing
/// @param host     "registry.example" or "registry.example:5000", required
/// @param token    required; never written to a log or an error. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_set_auth_token(
    options: *mut cosign_client_options,
    host: *const c_char,
    token: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_set_auth_token", |options| {
                options.set_auth_token(handle::text(host, "host")?, handle::text(token, "token")?);
                Ok(())
            });
        }
    })
}

/// Takes credentials from the text of a docker config.json. No file is read and no credential helper is run. One
/// thread at a time.
/// @param options  required; NULL does nothing
/// @param json     the text, required
/// @param len      how many bytes. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_set_docker_config(
    options: *mut cosign_client_options,
    json: *const c_void,
    len: usize,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_set_docker_config", |options| {
                options.set_docker_config(handle::bytes(json, len, "json")?)?;
                Ok(())
            });
        }
    })
}

/// Talks plain HTTP to this host: everyone on the way can read credentials and change what is not signed. Loopback
/// hosts need no permission. One thread at a time.
/// @param options  required; NULL does nothing
/// @param host     "registry.example" or "registry.example:5000", required. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_dangerous_allow_http(
    options: *mut cosign_client_options,
    host: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_dangerous_allow_http", |options| {
                options.dangerous_allow_http(handle::text(host, "host")?);
                Ok(())
            });
        }
    })
}

/// Whether "oci:PATH" names an OCI image layout on disk; allowed by default. Switch it off in a service that takes
/// references from strangers. One thread at a time.
/// @param options  required; NULL does nothing
/// @param allowed  0 refuses such references; anything else allows them. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_set_layouts(options: *mut cosign_client_options, allowed: i32) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_set_layouts", |options| {
                options.set_layouts(allowed != 0);
                Ok(())
            });
        }
    })
}

/// Frees the options; clients made from them keep theirs. Any thread, once.
/// @param options  the options; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_free(options: *mut cosign_client_options) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(options) }
    })
}

/// Makes a client. Nothing is connected, read or started until it is used. Thread-safe on the same options.
/// @param options  NULL for the defaults; copied
/// @param out      required; receives the client (owned: cosign_client_free)
/// @param err      NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_client_new(
    options: *const cosign_client_options,
    out: *mut *mut cosign_client,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        let options = match handle::optional(options, "options")? {
            None => ClientOptions::default(),
            Some(state) => {
                state.sticky.check()?;
                state.options.clone()
            }
        };
        fill(out, ClientState { client: ManuallyDrop::new(Client::new(options)?), runtime: LazyRuntime::new() });
        Ok(())
    })
}

/// Pins what a reference names now to its digest: "registry/repo@sha256:…", or "oci:PATH@sha256:…". Blocks; network,
/// or files for a layout. Thread-safe on the same client.
/// @param client     required
/// @param reference  "registry/repo:tag", "registry/repo@sha256:…" or "oci:PATH[:TAG]"; required
/// @param call       NULL: no limit but the built-in ones
/// @param out        required; receives the pinned reference (owned: cosign_buffer_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_client_resolve(
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
        let pinned =
            client.run(reference, call, |client, image, call| async move { client.resolve(&image, &call).await })?;
        fill(out, Bytes::new(pinned.as_bytes()));
        Ok(())
    })
}

/// Frees a client and ends its thread; calls must have returned. Any thread, once; in a forked child too.
/// @param client  the client; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_free(client: *mut cosign_client) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(client) }
    })
}
