//! Messages that come in pieces: hashed, and verified, without being held.

use ed25519_dalek::StreamVerifier;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::{Hash, KeyAlgorithm, points, rustcrypto};

/// The three hashes that signatures are made over, computed in one pass.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    sha256: Sha256,
    sha384: Sha384,
    sha512: Sha512,
}

impl Hasher {
    /// A hasher of nothing yet.
    pub fn new() -> Hasher {
        Hasher::default()
    }

    /// Appends to the message.
    pub fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.sha384.update(piece);
        self.sha512.update(piece);
    }

    /// The hash of the message so far.
    pub fn digest(&self, hash: Hash) -> Vec<u8> {
        match hash {
            Hash::Sha256 => self.sha256.clone().finalize().to_vec(),
            Hash::Sha384 => self.sha384.clone().finalize().to_vec(),
            Hash::Sha512 => self.sha512.clone().finalize().to_vec(),
        }
    }
}

/// One Ed25519 signature, plain or prehashed, over a message that comes in pieces.
pub(crate) struct Ed25519 {
    public: [u8; 32],
    signature: [u8; 64],
    plain: StreamVerifier,
}

impl Ed25519 {
    /// `None` for another kind of key, or when nothing can make the signature valid: its length, a point of small order,
    /// an s out of range.
    pub(crate) fn new(algorithm: KeyAlgorithm, public: &[u8], signature: &[u8]) -> Option<Ed25519> {
        if algorithm != KeyAlgorithm::Ed25519 {
            return None;
        }
        let public = <[u8; 32]>::try_from(public).ok()?;
        let signature = <[u8; 64]>::try_from(signature).ok()?;
        if !points::ed25519_is_strong(&public) || !points::ed25519_nonce_is_strong(&signature) {
            return None;
        }
        let plain = rustcrypto::ed25519_stream(&public, &signature)?;
        Some(Ed25519 { public, signature, plain })
    }

    /// Appends to the message.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.plain.update(piece);
    }

    /// Whether the signature is one of the message; `hasher` got the same pieces.
    pub(crate) fn finish(self, hasher: &Hasher) -> bool {
        self.plain.finalize_and_verify().is_ok()
            || rustcrypto::verify_ed25519ph_hashed(&self.public, hasher.sha512.clone(), &self.signature)
    }
}
