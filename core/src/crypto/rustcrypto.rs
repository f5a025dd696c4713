//! The pure Rust backend: p256, p384, p521 and ed25519-dalek. ECDSA nonces are those of RFC 6979, so that signing needs
//! no randomness.

use ed25519_dalek::{Signature, Signer as _, SigningKey, StreamVerifier, VerifyingKey};
use p256::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
use sha2::{Digest as _, Sha512};

use super::ecdsa::{Scalars, pad};
use super::{Hash, KeyAlgorithm, Secret, Signer};
use crate::error::{Code, Error, Result};

pub(super) fn verify_ecdsa(algorithm: KeyAlgorithm, digest: &[u8], point: &[u8], scalars: &Scalars<'_>) -> bool {
    macro_rules! verify {
        ($curve:ident, $length:literal) => {{
            let check = || {
                let (r, s) = (pad::<$length>(scalars.r)?, pad::<$length>(scalars.s)?);
                let signature = $curve::ecdsa::Signature::from_scalars(r, s).ok()?;
                let key = $curve::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
                key.verify_prehash(digest, &signature).ok()
            };
            check().is_some()
        }};
    }
    match algorithm {
        KeyAlgorithm::EcdsaP256 => verify!(p256, 32),
        KeyAlgorithm::EcdsaP384 => verify!(p384, 48),
        KeyAlgorithm::EcdsaP521 => verify!(p521, 66),
        _ => false,
    }
}

pub(super) fn verify_ed25519(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(public)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

/// Ed25519ph (RFC 8032) with an empty context, as cosign signs images with Ed25519 keys. aws-lc-rs has none.
pub(super) fn verify_ed25519ph(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    verify_ed25519ph_hashed(public, Sha512::new_with_prefix(message), signature)
}

/// A verifier of a plain Ed25519 signature over a message that comes in pieces. Keys and nonces of small order are the
/// caller's to refuse.
pub(super) fn ed25519_stream(public: &[u8; 32], signature: &[u8; 64]) -> Option<StreamVerifier> {
    VerifyingKey::from_bytes(public).ok()?.verify_stream(&Signature::from_bytes(signature)).ok()
}

/// [`verify_ed25519ph`] of a message that was hashed in pieces.
pub(super) fn verify_ed25519ph_hashed(public: &[u8; 32], prehash: Sha512, signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(public)
        .is_ok_and(|key| key.verify_prehashed_strict(prehash, None, &Signature::from_bytes(signature)).is_ok())
}

// The keys below wipe themselves when dropped (ZeroizeOnDrop in both crates).
enum Loaded {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Ed25519(SigningKey),
}

pub(super) fn signer(algorithm: KeyAlgorithm, secret: &Secret) -> Result<Box<dyn Signer>> {
    Ok(Box::new(load(algorithm, secret)?))
}

/// Signs a SHA-256 hash with a P-384 or P-521 key.
pub(super) fn sign_sha256(algorithm: KeyAlgorithm, secret: &Secret, digest: &[u8]) -> Result<Vec<u8>> {
    load(algorithm, secret)?.sign_hash(digest)
}

fn load(algorithm: KeyAlgorithm, secret: &Secret) -> Result<Loaded> {
    let loaded = match (algorithm, secret) {
        (KeyAlgorithm::EcdsaP256, Secret::Ec { scalar, .. }) => {
            p256::ecdsa::SigningKey::from_slice(scalar).ok().map(Loaded::P256)
        }
        (KeyAlgorithm::EcdsaP384, Secret::Ec { scalar, .. }) => {
            p384::ecdsa::SigningKey::from_slice(scalar).ok().map(Loaded::P384)
        }
        (KeyAlgorithm::EcdsaP521, Secret::Ec { scalar, .. }) => {
            p521::ecdsa::SigningKey::from_slice(scalar).ok().map(Loaded::P521)
        }
        (KeyAlgorithm::Ed25519, Secret::Ed25519 { seed, .. }) => Some(Loaded::Ed25519(SigningKey::from_bytes(seed))),
        _ => None,
    };
    loaded.ok_or_else(|| Error::new(Code::Internal, format!("the {algorithm} key does not load")))
}

impl Loaded {
    fn sign_hash(&self, digest: &[u8]) -> Result<Vec<u8>> {
        macro_rules! sign {
            ($curve:ident, $key:ident) => {{
                let signature: Option<$curve::ecdsa::Signature> = $key.sign_prehash(digest).ok();
                signature.map(|signature| signature.to_der().as_bytes().to_vec())
            }};
        }
        let signature = match self {
            Loaded::P256(key) => sign!(p256, key),
            Loaded::P384(key) => sign!(p384, key),
            Loaded::P521(key) => sign!(p521, key),
            Loaded::Ed25519(_) => None,
        };
        signature.ok_or_else(|| Error::new(Code::Internal, "signing failed"))
    }
}

impl Signer for Loaded {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match self {
            Loaded::P256(_) => self.sign_hash(&Hash::Sha256.digest(message)),
            Loaded::P384(_) => self.sign_hash(&Hash::Sha384.digest(message)),
            Loaded::P521(_) => self.sign_hash(&Hash::Sha512.digest(message)),
            Loaded::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
        }
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>> {
        self.sign_hash(digest)
    }
}
