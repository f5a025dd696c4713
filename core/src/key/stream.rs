//! [`MessageVerifier`]: a signature over a message that comes in pieces.

use super::PublicKey;
use crate::crypto::stream::{Ed25519, Hasher};
use crate::crypto::{Hash, KeyAlgorithm};
use crate::error::{Code, Error, Result};

/// Verifies one signature by one of several keys over a message that is never held: what [`PublicKey::verify`] accepts,
/// this accepts.
pub struct MessageVerifier {
    keys: Vec<(PublicKey, Option<Ed25519>)>,
    signature: Vec<u8>,
    hasher: Hasher,
}

impl MessageVerifier {
    /// Starts to verify `signature` by any of `keys`.
    pub fn new(keys: &[PublicKey], signature: &[u8]) -> MessageVerifier {
        let keys = keys.iter().map(|key| (key.clone(), Ed25519::new(key.algorithm(), key.raw(), signature)));
        MessageVerifier { keys: keys.collect(), signature: signature.to_vec(), hasher: Hasher::new() }
    }

    /// Appends to the message.
    pub fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        for (_, ed25519) in &mut self.keys {
            if let Some(ed25519) = ed25519 {
                ed25519.update(piece);
            }
        }
    }

    /// The hash of the message so far.
    pub fn digest(&self, hash: Hash) -> Vec<u8> {
        self.hasher.digest(hash)
    }

    /// The first key that made the signature over the whole message; [`Code::SignatureInvalid`] when none did.
    pub fn finish(self) -> Result<PublicKey> {
        for (key, ed25519) in self.keys {
            let is_signer = match (key.algorithm(), ed25519) {
                (KeyAlgorithm::Ed25519, Some(ed25519)) => ed25519.finish(&self.hasher),
                (KeyAlgorithm::Ed25519, None) => false,
                _ => [Hash::Sha256, Hash::Sha384, Hash::Sha512]
                    .iter()
                    .any(|hash| key.verify_digest(*hash, &self.hasher.digest(*hash), &self.signature).is_ok()),
            };
            if is_signer {
                return Ok(key);
            }
        }
        Err(Error::new(Code::SignatureInvalid, "the signature was not made by an accepted key"))
    }
}

impl std::fmt::Debug for MessageVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<MessageVerifier of {} keys>", self.keys.len())
    }
}
