//! Where public keys come from and what makes them sound: points on their curve and of large order, scalars in range.
//!
//! Every public key passes here once, when it is parsed; the backends then take its bytes as they are.

use ed25519_dalek::{SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::{KeyAlgorithm, Secret, rng};
use crate::error::{Code, Error, Result};

/// Whether `bytes` are a public key of this kind: an uncompressed point on the curve, or a canonical Ed25519 key of
/// large order. Compressed, hybrid and identity encodings are none.
pub(crate) fn is_public(algorithm: KeyAlgorithm, bytes: &[u8]) -> bool {
    match algorithm.coordinate_len() {
        Some(length) => {
            let uncompressed = bytes.first() == Some(&4) && bytes.len() == 2 * length + 1;
            uncompressed
                && match algorithm {
                    KeyAlgorithm::EcdsaP256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).is_ok(),
                    KeyAlgorithm::EcdsaP384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(bytes).is_ok(),
                    _ => p521::ecdsa::VerifyingKey::from_sec1_bytes(bytes).is_ok(),
                }
        }
        None => algorithm == KeyAlgorithm::Ed25519 && <&[u8; 32]>::try_from(bytes).is_ok_and(ed25519_is_strong),
    }
}

/// Whether an Ed25519 public key is canonical, on the curve and not of small order.
pub(crate) fn ed25519_is_strong(public: &[u8; 32]) -> bool {
    // y < p = 2^255 - 19. Libraries reduce a larger y silently, which gives one key two encodings.
    let [first, middle @ .., last] = public;
    let reduced = *first < 0xed || middle.iter().any(|byte| *byte != 0xff) || last & 0x7f != 0x7f;
    reduced && VerifyingKey::from_bytes(public).is_ok_and(|key| !key.is_weak())
}

/// Whether the nonce point R of an Ed25519 signature is on the curve and not of small order.
pub(crate) fn ed25519_nonce_is_strong(signature: &[u8; 64]) -> bool {
    let nonce = signature.first_chunk::<32>();
    nonce.is_some_and(|nonce| VerifyingKey::from_bytes(nonce).is_ok_and(|point| !point.is_weak()))
}

/// The key with this scalar: exactly as wide as the curve, at least 1 and below the order.
pub(crate) fn ec_secret(algorithm: KeyAlgorithm, scalar: &[u8]) -> Option<Secret> {
    macro_rules! point {
        ($curve:ident) => {
            $curve::ecdsa::SigningKey::from_slice(scalar).ok()?.verifying_key().to_sec1_point(false).as_bytes().to_vec()
        };
    }
    if algorithm.coordinate_len() != Some(scalar.len()) {
        return None;
    }
    let point = match algorithm {
        KeyAlgorithm::EcdsaP256 => point!(p256),
        KeyAlgorithm::EcdsaP384 => point!(p384),
        _ => point!(p521),
    };
    Some(Secret::Ec { scalar: Zeroizing::new(scalar.to_vec()), point })
}

/// The key with this seed.
pub(crate) fn ed25519_secret(seed: &[u8; 32]) -> Secret {
    let public = SigningKey::from_bytes(seed).verifying_key().to_bytes();
    Secret::Ed25519 { seed: Zeroizing::new(*seed), public }
}

/// A new ECDSA or Ed25519 key.
pub(super) fn generate(algorithm: KeyAlgorithm) -> Result<Secret> {
    let Some(length) = algorithm.coordinate_len() else {
        let mut seed = Zeroizing::new([0; 32]);
        rng::fill(seed.as_mut_slice())?;
        return Ok(ed25519_secret(&seed));
    };
    let mut scalar = Zeroizing::new(vec![0; length]);
    // A scalar out of range is drawn again, as Go does: reducing it would favour small ones. The bound only stops a
    // broken source of randomness; a sound one misses with a chance below 2^-32 per draw (P-521: 1/2^200 after masking).
    for _ in 0..64 {
        rng::fill(&mut scalar)?;
        if let (KeyAlgorithm::EcdsaP521, Some(first)) = (algorithm, scalar.first_mut()) {
            *first &= 1;
        }
        if let Some(secret) = ec_secret(algorithm, &scalar) {
            return Ok(secret);
        }
    }
    Err(Error::new(Code::Internal, "the source of random bytes gives no valid scalar"))
}
