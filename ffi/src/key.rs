//! `cosign_private_key` and `cosign_public_key`: decrypt once, use many times, from any thread.

use std::ffi::{CString, c_char, c_void};

use cosign_core::crypto::KeyAlgorithm;
use cosign_core::error::{Code, Error, Result};
use cosign_core::key::{KeyFormat, PrivateKey, PublicKey};

use crate::boundary::{boundary, fill, required};
use crate::buffer::{Bytes, cosign_buffer};
use crate::call::{CallState, cosign_call};
use crate::error::{c_string, cosign_code, cosign_error};
use crate::handle::{self, handle};

/// A decrypted private key. Immutable; its memory is wiped by cosign_private_key_free.
#[allow(non_camel_case_types)]
pub struct cosign_private_key {
    _opaque: [u8; 0],
}

handle!(Shared cosign_private_key = PrivateKey, b"cosignPr");

/// A public key. Immutable; free with cosign_public_key_free.
#[allow(non_camel_case_types)]
pub struct cosign_public_key {
    _opaque: [u8; 0],
}

pub(crate) struct PublicKeyState {
    pub(crate) key: PublicKey,
    fingerprint: CString,
}

handle!(Shared cosign_public_key = PublicKeyState, b"cosignPu");

impl PublicKeyState {
    fn new(key: PublicKey) -> PublicKeyState {
        let fingerprint = c_string(&key.fingerprint());
        PublicKeyState { key, fingerprint }
    }
}

/// A key file is a few kilobytes; more is not a key, and is not searched for one.
const PEM_LIMIT: usize = 1 << 20;

/// # Safety
/// As [`handle::bytes`].
unsafe fn pem<'a>(data: *const c_void, len: usize) -> Result<&'a [u8]> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { handle::bytes(data, len, "pem") }?;
    if bytes.len() > PEM_LIMIT {
        return Err(Error::new(Code::KeyFormat, format!("a key of {} bytes: the limit is {PEM_LIMIT}", bytes.len())));
    }
    Ok(bytes)
}

/// Makes a new private key. Thread-safe.
/// @param algorithm  "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048", "rsa-3072" or "rsa-4096"; NULL
///                   for "ecdsa-p256"
/// @param out        required; receives the key (owned: cosign_private_key_free)
/// @param err        NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 2xx key. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_private_key_generate(
    algorithm: *const c_char,
    out: *mut *mut cosign_private_key,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        let algorithm = match handle::optional_text(algorithm, "algorithm")? {
            None => KeyAlgorithm::EcdsaP256,
            Some(name) => KeyAlgorithm::parse(name)?,
        };
        fill(out, PrivateKey::generate(algorithm)?);
        Ok(())
    })
}

/// Opens an encrypted key file. The password comes from the call's callback, on this thread; after 3 wrong answers
/// COSIGN_ERR_PASSWORD_WRONG. Thread-safe.
/// @param pem   the file's bytes, required; not required to end with NUL
/// @param len   how many
/// @param call  NULL: nobody is asked, and an encrypted key is COSIGN_ERR_PASSWORD_REQUIRED
/// @param out   required; receives the key (owned: cosign_private_key_free)
/// @param err   NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 2xx key, 5xx stopped. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_private_key_from_pem(
    pem: *const c_void,
    len: usize,
    call: *const cosign_call,
    out: *mut *mut cosign_private_key,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        let call = handle::optional(call, "call")?;
        let pem = self::pem(pem, len)?;
        let bounds = CallState::bounds(call);
        bounds.check()?;
        fill(out, CallState::unlock(call, &bounds, |password| PrivateKey::from_pem(pem, password))?);
        Ok(())
    })
}

/// Imports an unencrypted PKCS#8, SEC 1 or PKCS#1 key that another program made. Thread-safe.
/// @param pem  the file's bytes, required; not required to end with NUL
/// @param len  how many
/// @param out  required; receives the key (owned: cosign_private_key_free)
/// @param err  NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 2xx key. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_private_key_import_pem(
    pem: *const c_void,
    len: usize,
    out: *mut *mut cosign_private_key,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        fill(out, PrivateKey::import_pem(self::pem(pem, len)?)?);
        Ok(())
    })
}

/// Writes a key as an encrypted key file. The new password comes from the call's callback with attempt 0, on this
/// thread. Thread-safe on the same key.
/// @param key     required
/// @param format  "sigstore" or "cosign", the form of 2021 for older readers; NULL for "sigstore"
/// @param call    carries the password callback; NULL is COSIGN_ERR_PASSWORD_REQUIRED
/// @param out     required; receives the PEM text (owned: cosign_buffer_free)
/// @param err     NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 2xx key, 5xx stopped. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_private_key_to_pem(
    key: *const cosign_private_key,
    format: *const c_char,
    call: *const cosign_call,
    out: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        let key = handle::get(key, "key")?;
        let call = handle::optional(call, "call")?;
        let format = match handle::optional_text(format, "format")? {
            None => KeyFormat::Sigstore,
            Some(name) => KeyFormat::parse(name)?,
        };
        CallState::bounds(call).check()?;
        let password = CallState::new_password(call)?;
        fill(out, Bytes::new(key.to_pem(&password, format)?.as_bytes()));
        Ok(())
    })
}

/// The public half of a private key. Thread-safe on the same key.
/// @param key  required
/// @param out  required; receives the public key (owned: cosign_public_key_free)
/// @param err  NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_private_key_public(
    key: *const cosign_private_key,
    out: *mut *mut cosign_public_key,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        fill(out, PublicKeyState::new(handle::get(key, "key")?.public_key()));
        Ok(())
    })
}

/// Wipes and frees a private key. Any thread, once.
/// @param key  the key; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_private_key_free(key: *mut cosign_private_key) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(key) }
    })
}

/// Reads a PEM block "PUBLIC KEY". Thread-safe.
/// @param pem  the file's bytes, required; not required to end with NUL
/// @param len  how many
/// @param out  required; receives the key (owned: cosign_public_key_free)
/// @param err  NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage, 2xx key. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_public_key_from_pem(
    pem: *const c_void,
    len: usize,
    out: *mut *mut cosign_public_key,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        fill(out, PublicKeyState::new(PublicKey::from_pem(self::pem(pem, len)?)?));
        Ok(())
    })
}

/// Writes a public key as a PEM block "PUBLIC KEY". Thread-safe on the same key.
/// @param key  required
/// @param out  required; receives the PEM text (owned: cosign_buffer_free)
/// @param err  NULL, or receives the error (owned: cosign_error_free)
/// @return COSIGN_OK; 1xx usage. @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cosign_public_key_to_pem(
    key: *const cosign_public_key,
    out: *mut *mut cosign_buffer,
    err: *mut *mut cosign_error,
) -> cosign_code {
    boundary!(err, [out], {
        required(out, "out")?;
        fill(out, Bytes::new(handle::get(key, "key")?.key.to_pem().as_bytes()));
        Ok(())
    })
}

/// SHA-256 of the key's SubjectPublicKeyInfo, in lower-case hex. Thread-safe.
/// @param key  the key; NULL gives ""
/// @return the text, never NULL; borrowed from `key`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_public_key_fingerprint(key: *const cosign_public_key) -> *const c_char {
    boundary!(c"".as_ptr(), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(key) }.map_or(c"".as_ptr(), |key| key.fingerprint.as_ptr())
    })
}

/// Frees a public key. Any thread, once.
/// @param key  the key; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_public_key_free(key: *mut cosign_public_key) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(key) }
    })
}
