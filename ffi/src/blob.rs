//! Signing and verifying blobs: files by their path, memory, and what a callback reads.

use std::ffi::{c_char, c_void};
use std::fs::File;
use std::io::{Error as IoError, Read};

use cosign_core::call::Call;
use cosign_core::crypto::Hash;
use cosign_core::error::{Code, Error, Result};
use cosign_core::verify::BlobSignature;
use cosign_core::{SignBlobOptions, SignedBlob, VerifyBlobOptions, sign_blob, verify_blob};

use crate::boundary::{boundary, fill, outside, required};
use crate::buffer::{Bytes, cosign_buffer};
use crate::call::{CallState, UserData, cosign_call, cosign_finalizer};
use crate::error::{cosign_code, cosign_error};
use crate::handle::{self, Sticky, handle};
use crate::key::cosign_private_key;
use crate::policy::cosign_policy;
use crate::verification::{VerificationState, cosign_verification};

/// Reads the next piece of a blob: at most `size` bytes to `buffer`, and how many to `*read`. 0 bytes are the blob's end.
/// Return COSIGN_OK; COSIGN_ERR_CANCELLED to stop; any other code fails the call: what cannot be read is never the end.
#[allow(non_camel_case_types)]
pub type cosign_read_cb = Option<
    unsafe extern "C" fn(buffer: *mut c_void, size: usize, read: *mut usize, user_data: *mut c_void) -> cosign_code,
>;

/// What is said to have signed a blob: a builder for cosign_verify_blob. Free with cosign_verify_blob_options_free.
#[allow(non_camel_case_types)]
pub struct cosign_verify_blob_options {
    _opaque: [u8; 0],
}

#[derive(Default)]
pub(crate) struct OptionsState {
    options: VerifyBlobOptions,
    signatures: Vec<BlobSignature>,
    sticky: Sticky,
}

handle!(Owned cosign_verify_blob_options = OptionsState, b"cosignVB");

/// The host's function that reads a blob.
struct Reader<'a> {
    function: unsafe extern "C" fn(*mut c_void, usize, *mut usize, *mut c_void) -> cosign_code,
    data: UserData,
    call: Option<&'a CallState>,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut count = 0_usize;
        let (place, size, read) = (buffer.as_mut_ptr().cast(), buffer.len(), &raw mut count);
        let code = CallState::host(self.call, "read", || {
            // SAFETY: the host registered the function together with this pointer; `buffer` has `size` writable bytes.
            outside(|| unsafe { (self.function)(place, size, read, self.data.pointer()) })
        });
        let refused = |code: Code, message: String| Err(IoError::other(Error::new(code, message)));
        match code.map_err(IoError::other)? {
            0 if count <= size => Ok(count),
            0 => refused(Code::Callback, format!("the read callback read {count} bytes, {size} were asked for")),
            code if code == Code::Cancelled.number() => {
                refused(Code::Cancelled, "cancelled by the read callback".to_owned())
            }
            code => refused(Code::Callback, format!("the read callback failed with code {code}")),
        }
    }
}

/// Where a blob comes from.
enum Source<'a> {
    File(&'a str),
    Memory(&'a [u8]),
    Reader(Reader<'a>),
}

impl Source<'_> {
    fn run<T>(self, verb: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
        match self {
            Source::Memory(mut bytes) => verb(&mut bytes),
            Source::Reader(mut reader) => verb(&mut reader),
            Source::File(path) => {
                let in_file = |error: Error| error.context(path).with("path", path);
                let unreadable = |error: IoError| Error::new(Code::Io, format!("cannot read the file: {error}"));
                let mut file = File::open(path).map_err(|error| in_file(unreadable(error)))?;
                verb(&mut file).map_err(|error| if error.code() == Code::Io { in_file(error) } else { error })
            }
        }
    }
}

/// The forms in which a signature is handed out.
fn written(signed: &SignedBlob, form: &str) -> Option<Vec<u8>> {
    match form {
        "raw" => Some(signed.signature().to_vec()),
        "base64" => Some(signed.base64().into_bytes()),
        "bundle" => Some(signed.bundle().into_bytes()),
        "old-bundle" => Some(signed.old_bundle().into_bytes()),
        _ => None,
    }
}

/// # Safety
/// Rules 1 to 4 of the ABI.
unsafe fn sign(
    key: *const cosign_private_key,
    source: impl FnOnce(Option<&CallState>) -> Result<Source<'_>>,
    form: *const c_char,
    hash: *const c_char,
    call: *const cosign_call,
    out: *mut *mut cosign_buffer,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        required(out, "out")?;
        let key = handle::get(key, "key")?;
        let form = handle::optional_text(form, "form")?.unwrap_or("raw");
        if !["raw", "base64", "bundle", "old-bundle"].contains(&form) {
            let shown: String = form.chars().take(40).collect();
            let known = "raw, base64, bundle or old-bundle";
            return Err(Error::new(
                Code::Argument,
                format!("{shown:?} is not a form of a signature: expected {known}"),
            ));
        }
        let mut options = SignBlobOptions::new();
        options.hash = handle::optional_text(hash, "hash")?.map(Hash::parse).transpose()?;
        let call = handle::optional(call, "call")?;
        let bounds: Call = CallState::bounds(call);
        let signed = source(call)?.run(|blob| sign_blob(blob, key, &options, &bounds))?;
        let written = written(&signed, form).ok_or_else(|| Error::new(Code::Internal, "a form without bytes"))?;
        fill(out, Bytes::new(&written));
        Ok(())
    }
}

/// # Safety
/// Rules 1 to 4 of the ABI.
unsafe fn verify(
    source: impl FnOnce(Option<&CallState>) -> Result<Source<'_>>,
    policy: *const cosign_policy,
    options: *const cosign_verify_blob_options,
    call: *const cosign_call,
    out: *mut *mut cosign_verification,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        required(out, "out")?;
        let policy = handle::get(policy, "policy")?.checked()?;
        let state = handle::get(options, "options")?;
        let call = handle::optional(call, "call")?;
        let source = source(call)?;
        state.sticky.check()?;
        let mut options = state.options.clone();
        if let (Source::File(path), true) = (&source, options.name.is_empty()) {
            options.name = (*path).to_owned();
        }
        let bounds = CallState::bounds(call);
        let verified = source.run(|blob| verify_blob(blob, &state.signatures, &policy, &options, &bounds))?;
        let digest = verified.digest().to_owned();
        let formats = verified.signatures().iter().map(|signature| signature.format());
        fill(out, VerificationState::of_blob(&digest, verified.name(), &verified.json(), formats));
        Ok(())
    }
}

/// The source that a callback is.
fn reader(read: cosign_read_cb, data: UserData, call: Option<&CallState>) -> Result<Source<'_>> {
    let function = read.ok_or_else(|| Error::new(Code::Argument, "read is NULL"))?;
    Ok(Source::Reader(Reader { function, data, call }))
}

/// Signs what a callback reads, as cosign sign-blob does, without holding it. With Ed25519 keys it is held, and has at
/// most 64 MiB. Thread-safe on the same key.
/// @param key        required
/// @param read       required; called on this thread until it reads 0 bytes
/// @param user_data  handed to `read`; may be NULL
/// @param finalizer  destroys user_data, exactly once, before this returns; NULL: nothing to destroy
/// @param form       NULL or "raw", "base64", "bundle" (sigstore's, as cosign 3 writes it) or "old-bundle" (the JSON
///                   before it)
/// @param hash       NULL: the one of the key's kind; or "sha256" with P-384 and P-521
/// @param call       NULL: no limit; looked at between two pieces
/// @param out        required; receives the signature in that form (owned: cosign_buffer_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage (104: too large for the key), 5xx stopped. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_sign_blob(
    key: *const cosign_private_key,
    read: cosign_read_cb,
    user_data: *mut c_void,
    finalizer: cosign_finalizer,
    form: *const c_char,
    hash: *const c_char,
    call: *const cosign_call,
    out: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    // Before anything else, so that every way out of here runs the finalizer.
    let data = UserData::new(user_data, finalizer);
    boundary!(err, [out], { sign(key, move |call| reader(read, data, call), form, hash, call, out) })
}

/// cosign_sign_blob of bytes in memory. Thread-safe on the same key.
/// @param key   required
/// @param data  the blob; NULL with `len` 0 is the empty one
/// @param len   how many bytes
/// @param form  NULL or "raw", "base64", "bundle" or "old-bundle"
/// @param hash  NULL: the one of the key's kind; or "sha256" with P-384 and P-521
/// @param call  NULL: no limit; looked at between two pieces
/// @param out   required; receives the signature in that form (owned: cosign_buffer_free)
/// @param err   NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage (104: too large for the key), 5xx stopped. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_sign_blob_buffer(
    key: *const cosign_private_key,
    data: *const c_void,
    len: usize,
    form: *const c_char,
    hash: *const c_char,
    call: *const cosign_call,
    out: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        sign(key, |_| handle::bytes(data, len, "data").map(Source::Memory), form, hash, call, out)
    })
}

/// cosign_sign_blob of a file. Blocks; files. Thread-safe on the same key.
/// @param key   required
/// @param path  the file, required
/// @param form  NULL or "raw", "base64", "bundle" or "old-bundle"
/// @param hash  NULL: the one of the key's kind; or "sha256" with P-384 and P-521
/// @param call  NULL: no limit; looked at between two pieces
/// @param out   required; receives the signature in that form (owned: cosign_buffer_free)
/// @param err   NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage (104: too large for the key), 5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_sign_blob_file(
    key: *const cosign_private_key,
    path: *const c_char,
    form: *const c_char,
    hash: *const c_char,
    call: *const cosign_call,
    out: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], { sign(key, |_| handle::text(path, "path").map(Source::File), form, hash, call, out) })
}

/// COSIGN_OK means: what the callback read to its end is signed as the policy demands. On any other result `*out` is NULL.
/// The blob is not held. A policy without a key is an error, and one that demands annotations too: blobs have none. Of
/// `*out`, cosign_verification_digest says the hash of what was read, and cosign_verification_reference its name; its
/// payloads are empty. Thread-safe on the same policy and options.
/// @param read       required; called on this thread until it reads 0 bytes
/// @param user_data  handed to `read`; may be NULL
/// @param finalizer  destroys user_data, exactly once, before this returns; NULL: nothing to destroy
/// @param policy     required
/// @param options    required: the signatures
/// @param call       NULL: no limit; looked at between two pieces
/// @param out        required; receives the proof (owned: cosign_verification_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free); its JSON carries the report
/// @return COSIGN_OK; 1xx usage, 3xx refused, 5xx stopped. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_verify_blob(
    read: cosign_read_cb,
    user_data: *mut c_void,
    finalizer: cosign_finalizer,
    policy: *const cosign_policy,
    options: *const cosign_verify_blob_options,
    call: *const cosign_call,
    out: *mut *mut cosign_verification,
    err: *mut *mut cosign_error,
) -> cosign_code {
    // Before anything else, so that every way out of here runs the finalizer.
    let data = UserData::new(user_data, finalizer);
    boundary!(err, [out], { verify(move |call| reader(read, data, call), policy, options, call, out) })
}

/// cosign_verify_blob of bytes in memory. Thread-safe on the same policy and options.
/// @param data     the blob; NULL with `len` 0 is the empty one
/// @param len      how many bytes
/// @param policy   required
/// @param options  required: the signatures
/// @param call     NULL: no limit; looked at between two pieces
/// @param out      required; receives the proof (owned: cosign_verification_free)
/// @param err      NULL, or receives the error (owned: cosign_error_free); its JSON carries the report
/// @return COSIGN_OK; 1xx usage, 3xx refused, 5xx stopped. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_verify_blob_buffer(
    data: *const c_void,
    len: usize,
    policy: *const cosign_policy,
    options: *const cosign_verify_blob_options,
    call: *const cosign_call,
    out: *mut *mut cosign_verification,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        verify(|_| handle::bytes(data, len, "data").map(Source::Memory), policy, options, call, out)
    })
}

/// cosign_verify_blob of a file. Blocks; files. Thread-safe on the same policy and options.
/// @param path     the file, required
/// @param policy   required
/// @param options  required: the signatures
/// @param call     NULL: no limit; looked at between two pieces
/// @param out      required; receives the proof (owned: cosign_verification_free)
/// @param err      NULL, or receives the error (owned: cosign_error_free); its JSON carries the report
/// @return COSIGN_OK; 1xx usage, 3xx refused, 5xx stopped, 6xx file. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_verify_blob_file(
    path: *const c_char,
    policy: *const cosign_policy,
    options: *const cosign_verify_blob_options,
    call: *const cosign_call,
    out: *mut *mut cosign_verification,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], { verify(|_| handle::text(path, "path").map(Source::File), policy, options, call, out) })
}

/// Changes the options inside the boundary, keeping an error for cosign_verify_blob.
///
/// # Safety
/// `options` is NULL or live, and no other thread uses it.
unsafe fn set(
    options: *mut cosign_verify_blob_options,
    name: &str,
    body: impl FnOnce(&mut OptionsState) -> Result<()>,
) {
    // SAFETY: the caller's promise.
    if let Some(state) = unsafe { handle::get_mut(options) } {
        let result = body(state);
        state.sticky.note(name, result);
    }
}

/// No signature yet, which verification refuses: add one. Thread-safe.
/// @return the options, never NULL; owned: cosign_verify_blob_options_free. @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn cosign_verify_blob_options_new() -> *mut cosign_verify_blob_options {
    boundary!(std::ptr::null_mut(), { handle::new(OptionsState::default()) })
}

/// Adds a signature by itself, raw or in base64. All that are added count together for the policy's threshold. One thread
/// at a time.
/// @param options  required; NULL does nothing
/// @param data     the signature's bytes; NULL with `len` 0 is an empty one, which is refused
/// @param len      how many bytes. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_blob_options_add_signature(
    options: *mut cosign_verify_blob_options,
    data: *const c_void,
    len: usize,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_verify_blob_options_add_signature", |state| {
                state.signatures.push(BlobSignature::detached("", handle::bytes(data, len, "data")?));
                Ok(())
            });
        }
    })
}

/// Adds a bundle: sigstore's, or the JSON before it. A key inside it is never trusted. One thread at a time.
/// @param options  required; NULL does nothing
/// @param data     the bundle's bytes; NULL with `len` 0 is an empty one, which is refused
/// @param len      how many bytes. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_blob_options_add_bundle(
    options: *mut cosign_verify_blob_options,
    data: *const c_void,
    len: usize,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_verify_blob_options_add_bundle", |state| {
                state.signatures.push(BlobSignature::bundle("", handle::bytes(data, len, "data")?));
                Ok(())
            });
        }
    })
}

/// Sets what the report and errors call the blob; a file's path by default. One thread at a time.
/// @param options  required; NULL does nothing
/// @param name     required. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_blob_options_set_name(
    options: *mut cosign_verify_blob_options,
    name: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_verify_blob_options_set_name", |state| {
                state.options.name = handle::text(name, "name")?.to_owned();
                Ok(())
            });
        }
    })
}

/// Sets the only hash that signatures may be over; by default each that the key's kind signs with, or the one that a
/// bundle names. One thread at a time.
/// @param options  required; NULL does nothing
/// @param hash     required: "sha256", "sha384" or "sha512". @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_blob_options_set_hash(
    options: *mut cosign_verify_blob_options,
    hash: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(options, "cosign_verify_blob_options_set_hash", |state| {
                state.options.hash = Some(Hash::parse(handle::text(hash, "hash")?)?);
                Ok(())
            });
        }
    })
}

/// Frees the options. Any thread, once.
/// @param options  the options; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_verify_blob_options_free(options: *mut cosign_verify_blob_options) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(options) }
    })
}
