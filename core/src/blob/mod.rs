//! The verbs for blobs: sign or verify what a reader yields. They need no client, no runtime and no network, and hold one
//! piece of the blob at a time.

mod sign;
mod verify;

use std::io::{ErrorKind, Read};

pub use sign::{MAX_ED25519_BYTES, SignBlobOptions, SignedBlob, sign_blob};
pub use verify::{VerifyBlobOptions, verify_blob, verify_blob_digest};

use crate::call::Call;
use crate::error::{Code, Error, Result};

/// Large enough that asking for a piece costs nothing, small enough to stay in the processor's cache.
const PIECE_BYTES: usize = 128 * 1024;

/// Shows the whole blob to `each`, piece by piece. Only the reader's own end ends it: what cannot be read to the end is an
/// error, never a shorter blob. A reader that waits is waited for; `call` is asked between two pieces.
fn pieces(mut blob: impl Read, call: &Call, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        call.check()?;
        match blob.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => match buffer.get(..count) {
                Some(piece) => each(piece)?,
                None => return Err(Error::new(Code::Io, "the blob's reader says that it read more than it was asked")),
            },
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
}

/// An error of the reader; one of ours that it carries comes out as it was.
fn unreadable(error: std::io::Error) -> Error {
    if let Some(ours) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return ours.clone();
    }
    let unreadable = Error::new(Code::Io, format!("the blob cannot be read: {error}"));
    match error.raw_os_error() {
        Some(errno) => unreadable.with("errno", errno),
        None => unreadable,
    }
}
