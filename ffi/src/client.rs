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
    pub(crate) fn runtime(&self) -> &LazyRuntime {
        &self.runtime
    }

    /// Core's client; not in a forked child.
    pub(crate) fn core(&self) -> Client {
        Client::clone(&self.client)
    }

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
        self.run_where(reference, call, ImageRef::is_local, verb)
    }

    /// [`ClientState::run`] of a verb that says itself whether it touches nothing but files.
    pub(crate) fn run_where<T, F>(
        &self,
        reference: &str,
        call: Option<&CallState>,
        is_local: impl FnOnce(&ImageRef) -> bool,
        verb: impl FnOnce(Client, ImageRef, cosign_core::call::Call) -> F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let image = ImageRef::parse(reference)?;
        self.run_parsed(is_local(&image), call, |client, call| verb(client, image, call))
    }

    /// Runs `verb`; with `is_local` it touches files only.
    pub(crate) fn run_parsed<T, F>(
        &self,
        is_local: bool,
        call: Option<&CallState>,
        verb: impl FnOnce(Client, cosign_core::call::Call) -> F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let bounds = CallState::bounds(call);
        let work = verb(Client::clone(&self.client), bounds.clone());
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

/// What a user of the command line expects, from the environment: credentials from the files of docker and podman and
/// the helpers that they name, certificate authorities from SSL_CERT_FILE and SSL_CERT_DIR, certificates per registry
/// from the folders certs.d, proxies from HTTPS_PROXY, HTTP_PROXY and NO_PROXY, the transparency log from REKOR_SERVER,
/// the signatures' repository from COSIGN_REPOSITORY. A file that a variable names and that cannot be read is the
/// builder's first error. Thread-safe while no thread changes the environment.
/// @return the options, never NULL; owned: cosign_client_options_free. @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn cosign_client_options_from_env() -> *mut cosign_client_options {
    boundary!(std::ptr::null_mut(), {
        let mut state = OptionsState::default();
        let read = ClientOptions::from_env().map(|options| state.options = options);
        state.sticky.note("cosign_client_options_from_env", read);
        handle::new(state)
    })
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

/// Sets the transparency log to which signatures go and in which they are looked for; only calls that were told to use a
/// log ask it. One thread at a time.
/// @param options  required; NULL does nothing
/// @param url      "https://…", or "http://…" on loopback and for hosts that
///                 cosign_client_options_dangerous_allow_http allows; required. Rekor's public log by default. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_set_rekor_url(options: *mut cosign_client_options, url: *const c_char) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_set_rekor_url", |options| {
                options.set_rekor_url(handle::text(url, "url")?)?;
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

/// Keeps signatures in this repository instead of the images' own, as COSIGN_REPOSITORY does for cosign: every verb
/// looks for them there and nowhere else. Layouts keep theirs. One thread at a time.
/// @param options     required; NULL does nothing
/// @param repository  "registry.example/team/signatures", without tag or digest; required. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_set_signature_repository(
    options: *mut cosign_client_options,
    repository: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_set_signature_repository", |options| {
                options.set_signature_repository(handle::text(repository, "repository")?)?;
                Ok(())
            });
        }
    })
}

/// Trusts these certificate authorities instead of the system's, and instead of those added before. One thread at a
/// time.
/// @param options  required; NULL does nothing
/// @param pem      PEM blocks "CERTIFICATE", required
/// @param len      how many bytes. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_set_ca_pem(
    options: *mut cosign_client_options,
    pem: *const c_void,
    len: usize,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_set_ca_pem", |options| {
                options.set_ca_pem(handle::bytes(pem, len, "pem")?)?;
                Ok(())
            });
        }
    })
}

/// Shows this certificate to registries that ask for one, not to hosts that they redirect to. One thread at a time.
/// @param options          required; NULL does nothing
/// @param certificate      PEM blocks "CERTIFICATE", the client's own first, required
/// @param certificate_len  how many bytes
/// @param key              its private key as PEM, unencrypted, required; never written to a log or an error
/// @param key_len          how many bytes. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_set_client_certificate(
    options: *mut cosign_client_options,
    certificate: *const c_void,
    certificate_len: usize,
    key: *const c_void,
    key_len: usize,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_set_client_certificate", |options| {
                let certificate = handle::bytes(certificate, certificate_len, "certificate")?;
                options.set_client_certificate(certificate, handle::bytes(key, key_len, "key")?)?;
                Ok(())
            });
        }
    })
}

/// Reads certificates for each registry below this folder, as docker and podman keep them: FOLDER/HOST[:PORT]/ with
/// *.crt (authorities), *.cert and *.key (a client's). Of several folders the first that has some for a host counts.
/// One thread at a time.
/// @param options  required; NULL does nothing
/// @param folder   required; read when a host is first connected to. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_add_certs_dir(
    options: *mut cosign_client_options,
    folder: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_add_certs_dir", |options| {
                options.add_certs_dir(std::path::Path::new(handle::text(folder, "folder")?));
                Ok(())
            });
        }
    })
}

/// Whether the programs docker-credential-NAME that a docker config names may be started to ask them for credentials;
/// not by default. Without permission a host whose credentials such a program keeps is an error, never anonymous. One
/// thread at a time.
/// @param options  required; NULL does nothing
/// @param allowed  0 forbids it; anything else allows it. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_allow_credential_helpers(
    options: *mut cosign_client_options,
    allowed: i32,
) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_allow_credential_helpers", |options| {
                options.allow_credential_helpers(allowed != 0);
                Ok(())
            });
        }
    })
}

/// Lets the credentials for a registry go to this token server although it belongs to another domain. Without this
/// only hosts below the registry's own domain get them. One thread at a time.
/// @param options   required; NULL does nothing
/// @param registry  "registry.example" or "registry.example:5000", required
/// @param server    the token server's host, required. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_allow_token_server(
    options: *mut cosign_client_options,
    registry: *const c_char,
    server: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_allow_token_server", |options| {
                options.allow_token_server(handle::text(registry, "registry")?, handle::text(server, "server")?);
                Ok(())
            });
        }
    })
}

/// Sends requests through proxies, but never those to loopback hosts. One thread at a time.
/// @param options   required; NULL does nothing
/// @param https     the proxy for https, "http://host:port" or "https://host:port"; NULL or "": none
/// @param http      the proxy for plain http; NULL or "": none
/// @param no_proxy  hosts that are asked directly, in the form of NO_PROXY; NULL or "": none. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_client_options_set_proxy(
    options: *mut cosign_client_options,
    https: *const c_char,
    http: *const c_char,
    no_proxy: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_client_options_set_proxy", |options| {
                let https = handle::optional_text(https, "https")?.unwrap_or_default();
                let http = handle::optional_text(http, "http")?.unwrap_or_default();
                options.set_proxy(https, http, handle::optional_text(no_proxy, "no_proxy")?.unwrap_or_default())?;
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
