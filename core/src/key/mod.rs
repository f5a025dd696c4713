//! Keys: the encrypted key file of cosign, the PEM and DER forms that keys arrive in, and signing and verifying bytes.
//!
//! Parsing is where a key is judged, once: what a [`PublicKey`] or [`PrivateKey`] holds is canonical, on its curve and
//! of an accepted kind, and no later step asks again.

mod algorithm;
mod encrypted;
mod import;
mod pkcs8;
mod private;
mod public;
mod spki;
mod stream;

pub use encrypted::KeyFormat;
pub use private::PrivateKey;
pub use public::PublicKey;
pub use stream::MessageVerifier;

use crate::encoding::pem;
use crate::error::{Code, Error, Result};

/// More than any key file has, text around the PEM block included.
const MAX_PEM: usize = 256 * 1024;

/// The first PEM block of a key file.
fn decode_pem(input: &[u8]) -> Result<pem::Block> {
    if input.len() > MAX_PEM {
        return Err(Error::new(
            Code::KeyFormat,
            format!("the key has {} bytes, more than the {MAX_PEM} that any key needs", input.len()),
        ));
    }
    pem::decode_first(input).map_err(|error| {
        Error::new(Code::KeyFormat, format!("invalid pem block, expected a whole key file: {}", error.message()))
    })
}
