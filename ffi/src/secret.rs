//! `cosign_secret`: where a password callback puts its answer. Written by C, never readable, wiped after use.

use std::ffi::c_void;

use cosign_core::error::Result;
use zeroize::Zeroizing;

use crate::boundary::boundary;
use crate::handle::{self, Sticky, handle};

/// Where a password callback puts its answer. It lives as long as the callback runs.
#[allow(non_camel_case_types)]
pub struct cosign_secret {
    _opaque: [u8; 0],
}

/// The answer so far.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) bytes: Option<Zeroizing<Vec<u8>>>,
    pub(crate) sticky: Sticky,
}

handle!(Owned cosign_secret = Answer, b"cosignSe");

/// Puts a secret where the callback was told to; the bytes are copied and wiped after use. Only inside the callback.
/// @param secret  the callback's `out`, required; NULL does nothing
/// @param data    the bytes; NULL with `len` 0 is the empty secret
/// @param len     how many bytes. Thread: the callback's. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_secret_set(secret: *mut cosign_secret, data: *const c_void, len: usize) {
    boundary!((), {
        // SAFETY: rules 1 and 6 of the ABI.
        if let Some(answer) = unsafe { handle::get_mut(secret) } {
            let result: Result<()> = unsafe { handle::bytes(data, len, "data") }.map(|bytes| {
                answer.bytes = Some(Zeroizing::new(bytes.to_vec()));
            });
            answer.sticky.note("cosign_secret_set", result);
        }
    })
}
