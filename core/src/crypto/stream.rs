//! Messages that come in pieces: hashed, and verified, without being held.

use ed25519_dalek::StreamVerifier;
use sha2::{Digest as _, Sha512};

use super::{Hash, KeyAlgorithm, points, rustcrypto};

/// The hashes of a message that were asked for, and no others, computed in one pass.
#[derive(Clone, Default)]
pub struct Hasher(Vec<(Hash, State)>);

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(hash, _)| hash)).finish()
    }
}

impl Hasher {
    /// Computes no hash yet: [`Hasher::demand`] some before the first piece.
    pub fn new() -> Hasher {
        Hasher::default()
    }

    /// Computes `hash` too, of the pieces from here on.
    pub fn demand(&mut self, hash: Hash) {
        if !self.0.iter().any(|(known, _)| *known == hash) {
            self.0.push((hash, State::new(hash)));
            self.0.sort_by_key(|(hash, _)| *hash);
        }
    }

    /// The hashes that are computed, the shortest first.
    pub fn hashes(&self) -> impl Iterator<Item = Hash> + '_ {
        self.0.iter().map(|(hash, _)| *hash)
    }

    /// Appends to the message.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.iter_mut().for_each(|(_, state)| state.update(piece));
    }

    /// The hash of the message so far; `None` for one that was not demanded.
    pub fn digest(&self, hash: Hash) -> Option<Vec<u8>> {
        self.0.iter().find(|(known, _)| *known == hash).map(|(_, state)| state.digest())
    }
}

/// One hash being computed, by the active backend: on a large file this is all the time that there is.
#[cfg(feature = "backend-aws-lc")]
#[derive(Clone)]
struct State(aws_lc_rs::digest::Context);

#[cfg(feature = "backend-aws-lc")]
impl State {
    fn new(hash: Hash) -> State {
        use aws_lc_rs::digest::{Context, SHA256, SHA384, SHA512};
        State(Context::new(match hash {
            Hash::Sha256 => &SHA256,
            Hash::Sha384 => &SHA384,
            Hash::Sha512 => &SHA512,
        }))
    }

    fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    fn digest(&self) -> Vec<u8> {
        self.0.clone().finish().as_ref().to_vec()
    }
}

#[cfg(not(feature = "backend-aws-lc"))]
#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(Sha512),
}

#[cfg(not(feature = "backend-aws-lc"))]
impl State {
    fn new(hash: Hash) -> State {
        match hash {
            Hash::Sha256 => State::Sha256(sha2::Sha256::new()),
            Hash::Sha384 => State::Sha384(sha2::Sha384::new()),
            Hash::Sha512 => State::Sha512(Sha512::new()),
        }
    }

    fn update(&mut self, piece: &[u8]) {
        match self {
            State::Sha256(state) => state.update(piece),
            State::Sha384(state) => state.update(piece),
            State::Sha512(state) => state.update(piece),
        }
    }

    fn digest(&self) -> Vec<u8> {
        match self {
            State::Sha256(state) => state.clone().finalize().to_vec(),
            State::Sha384(state) => state.clone().finalize().to_vec(),
            State::Sha512(state) => state.clone().finalize().to_vec(),
        }
    }
}

/// One Ed25519 signature, plain or prehashed, over a message that comes in pieces.
pub(crate) struct Ed25519 {
    public: [u8; 32],
    signature: [u8; 64],
    plain: StreamVerifier,
    /// Only when the signature may be a prehashed one.
    prehash: Option<Sha512>,
}

impl Ed25519 {
    /// `None` for another kind of key, or when nothing can make the signature valid: its length, a point of small order,
    /// an s out of range.
    pub(crate) fn new(
        algorithm: KeyAlgorithm,
        public: &[u8],
        signature: &[u8],
        maybe_prehashed: bool,
    ) -> Option<Ed25519> {
        if algorithm != KeyAlgorithm::Ed25519 {
            return None;
        }
        let public = <[u8; 32]>::try_from(public).ok()?;
        let signature = <[u8; 64]>::try_from(signature).ok()?;
        if !points::ed25519_is_strong(&public) || !points::ed25519_nonce_is_strong(&signature) {
            return None;
        }
        let plain = rustcrypto::ed25519_stream(&public, &signature)?;
        Some(Ed25519 { public, signature, plain, prehash: maybe_prehashed.then(Sha512::new) })
    }

    /// Appends to the message.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.plain.update(piece);
        if let Some(prehash) = &mut self.prehash {
            prehash.update(piece);
        }
    }

    /// Whether the signature is one of the whole message.
    pub(crate) fn finish(self) -> bool {
        self.plain.finalize_and_verify().is_ok()
            || self
                .prehash
                .is_some_and(|prehash| rustcrypto::verify_ed25519ph_hashed(&self.public, prehash, &self.signature))
    }
}
