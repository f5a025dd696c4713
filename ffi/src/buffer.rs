//! `cosign_buffer`: text or bytes that the caller owns, wiped when freed because some of them are secrets.

use std::ffi::c_char;

use zeroize::Zeroizing;

use crate::boundary::boundary;
use crate::handle::{self, handle};

/// Text or bytes that the caller owns. Immutable; wiped and freed by cosign_buffer_free.
#[allow(non_camel_case_types)]
pub struct cosign_buffer {
    _opaque: [u8; 0],
}

/// The bytes with a NUL after the last one, which the length does not count.
pub(crate) struct Bytes(Zeroizing<Vec<u8>>);

handle!(Shared cosign_buffer = Bytes, b"cosignBu");

impl Bytes {
    pub(crate) fn new(content: &[u8]) -> Bytes {
        // The exact size at once: a vector that grows leaves copies of secrets behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(content.len().saturating_add(1)));
        bytes.extend_from_slice(content);
        bytes.push(0);
        Bytes(bytes)
    }

    pub(crate) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len().saturating_sub(1)
    }
}

/// The content, with a NUL after the last byte. Thread-safe.
/// @param buffer  the buffer; NULL gives ""
/// @return the first byte, never NULL; borrowed from `buffer`. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_buffer_data(buffer: *const cosign_buffer) -> *const c_char {
    boundary!(c"".as_ptr(), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(buffer) }.map_or(c"".as_ptr(), Bytes::as_ptr)
    })
}

/// How many bytes the buffer holds, the NUL at its end not counted. Thread-safe.
/// @param buffer  the buffer; NULL gives 0
/// @return the length. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_buffer_len(buffer: *const cosign_buffer) -> usize {
    boundary!(0, {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::peek(buffer) }.map_or(0, Bytes::len)
    })
}

/// Wipes and frees a buffer. Any thread, once.
/// @param buffer  the buffer; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_buffer_free(buffer: *mut cosign_buffer) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(buffer) }
    })
}
