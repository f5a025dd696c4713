//! All cryptography stands in this room: nothing outside it names a cryptographic library.
//!
//! Two backends do the signing and verifying. aws-lc-rs is the fast one and knows every key kind; the RustCrypto crates
//! are the second opinion, compile to WebAssembly and refuse RSA, because the pure Rust `rsa` crate leaks timing
//! (RUSTSEC-2023-0071). The features decide which one is *active*: aws-lc-rs when `backend-aws-lc` is on, else
//! RustCrypto. The RustCrypto code is always compiled, since the curve arithmetic behind key files, Ed25519ph and P-384
//! with SHA-256 come from it; so with aws-lc-rs on, both can be called by name and compared.
//!
//! What the backends would judge differently is judged once, before either is asked: the encoding and range of ECDSA
//! signatures (`ecdsa`), points on the curve and of large order (`points`), RSA moduli (`rsa`), strict Ed25519.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};

#[cfg(feature = "backend-aws-lc")]
mod aws_lc;
pub(crate) mod der;
mod ecdsa;
pub mod kdf;
pub(crate) mod points;
pub mod rng;
pub(crate) mod rsa;
mod rustcrypto;
pub mod secretbox;
pub mod stream;

#[cfg(not(any(feature = "backend-aws-lc", feature = "backend-rustcrypto")))]
compile_error!("cosign-core needs a crypto backend: enable the feature backend-aws-lc or backend-rustcrypto");

/// The kinds of keys that sign and verify: cosign's own set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256, with SHA-256. What cosign generates.
    EcdsaP256,
    /// ECDSA on NIST P-384, with SHA-384.
    EcdsaP384,
    /// ECDSA on NIST P-521, with SHA-512.
    EcdsaP521,
    /// Ed25519 over the message itself.
    Ed25519,
    /// RSA with 2048 bits, PKCS#1 v1.5 with SHA-256.
    Rsa2048,
    /// RSA with 3072 bits, PKCS#1 v1.5 with SHA-256.
    Rsa3072,
    /// RSA with 4096 bits, PKCS#1 v1.5 with SHA-256.
    Rsa4096,
}

impl KeyAlgorithm {
    /// Every kind.
    pub const ALL: &'static [KeyAlgorithm] = &[
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::EcdsaP521,
        KeyAlgorithm::Ed25519,
        KeyAlgorithm::Rsa2048,
        KeyAlgorithm::Rsa3072,
        KeyAlgorithm::Rsa4096,
    ];

    /// The stable name, such as `ecdsa-p256`.
    pub const fn name(self) -> &'static str {
        match self {
            KeyAlgorithm::EcdsaP256 => "ecdsa-p256",
            KeyAlgorithm::EcdsaP384 => "ecdsa-p384",
            KeyAlgorithm::EcdsaP521 => "ecdsa-p521",
            KeyAlgorithm::Ed25519 => "ed25519",
            KeyAlgorithm::Rsa2048 => "rsa-2048",
            KeyAlgorithm::Rsa3072 => "rsa-3072",
            KeyAlgorithm::Rsa4096 => "rsa-4096",
        }
    }

    /// The kind with this [`KeyAlgorithm::name`]; [`Code::KeyAlgorithm`] for any other text.
    pub fn parse(name: &str) -> Result<KeyAlgorithm> {
        KeyAlgorithm::ALL.iter().copied().find(|algorithm| algorithm.name() == name).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            let known: Vec<&str> = KeyAlgorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
            Error::new(
                Code::KeyAlgorithm,
                format!("{shown:?} is not a key algorithm: expected one of {}", known.join(", ")),
            )
        })
    }

    /// The hash that cosign signs with for this kind; `None` for Ed25519, which signs the message itself.
    pub const fn hash(self) -> Option<Hash> {
        match self {
            KeyAlgorithm::EcdsaP384 => Some(Hash::Sha384),
            KeyAlgorithm::EcdsaP521 => Some(Hash::Sha512),
            KeyAlgorithm::Ed25519 => None,
            _ => Some(Hash::Sha256),
        }
    }

    /// The hashes that a signature of this kind may be over, the usual one first: P-384 and P-521 keys also verify over
    /// SHA-256, which is what cosign verifies by default. None for Ed25519.
    pub(crate) const fn accepted_hashes(self) -> &'static [Hash] {
        match self {
            KeyAlgorithm::EcdsaP384 => &[Hash::Sha384, Hash::Sha256],
            KeyAlgorithm::EcdsaP521 => &[Hash::Sha512, Hash::Sha256],
            KeyAlgorithm::Ed25519 => &[],
            _ => &[Hash::Sha256],
        }
    }

    /// Bytes of a coordinate and of a scalar, for the ECDSA kinds.
    pub(crate) const fn coordinate_len(self) -> Option<usize> {
        match self {
            KeyAlgorithm::EcdsaP256 => Some(32),
            KeyAlgorithm::EcdsaP384 => Some(48),
            KeyAlgorithm::EcdsaP521 => Some(66),
            _ => None,
        }
    }

    const fn is_rsa(self) -> bool {
        matches!(self, KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096)
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyAlgorithm {
    type Err = Error;

    fn from_str(name: &str) -> Result<KeyAlgorithm> {
        KeyAlgorithm::parse(name)
    }
}

/// The hash functions that signatures are made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Every hash, from the shortest.
    pub const ALL: &'static [Hash] = &[Hash::Sha256, Hash::Sha384, Hash::Sha512];

    /// The hash with this [`Hash::name`]; [`Code::Argument`] for any other text.
    pub fn parse(name: &str) -> Result<Hash> {
        Hash::ALL.iter().copied().find(|hash| hash.name() == name).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            Error::new(Code::Argument, format!("{shown:?} is not a hash: expected sha256, sha384 or sha512"))
        })
    }

    /// The stable name, such as `sha256`.
    pub const fn name(self) -> &'static str {
        match self {
            Hash::Sha256 => "sha256",
            Hash::Sha384 => "sha384",
            Hash::Sha512 => "sha512",
        }
    }

    /// Bytes of a hash.
    pub const fn size(self) -> usize {
        match self {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }

    /// The hash of `message`.
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => Sha256::digest(message).to_vec(),
            Hash::Sha384 => Sha384::digest(message).to_vec(),
            Hash::Sha512 => Sha512::digest(message).to_vec(),
        }
    }
}

/// An implementation of signing and verifying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// aws-lc-rs: every key kind.
    AwsLc,
    /// The RustCrypto crates and ed25519-dalek: every key kind but RSA.
    RustCrypto,
}

impl Backend {
    /// The backend that [`PrivateKey::sign`](crate::PrivateKey::sign) and
    /// [`PublicKey::verify`](crate::PublicKey::verify) use in this build.
    pub const fn active() -> Backend {
        if cfg!(feature = "backend-aws-lc") { Backend::AwsLc } else { Backend::RustCrypto }
    }

    /// Whether this build contains it.
    pub const fn is_available(self) -> bool {
        match self {
            Backend::AwsLc => cfg!(feature = "backend-aws-lc"),
            Backend::RustCrypto => true,
        }
    }

    /// `aws-lc-rs` or `rustcrypto`.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::AwsLc => "aws-lc-rs",
            Backend::RustCrypto => "rustcrypto",
        }
    }

    /// [`Code::Unsupported`] unless this build can use keys of this kind through this backend.
    pub(crate) fn require(self, algorithm: KeyAlgorithm) -> Result<()> {
        if !self.is_available() {
            return Err(Error::new(
                Code::Unsupported,
                format!("the crypto backend {} is not in this build: enable its feature", self.name()),
            ));
        }
        if self == Backend::RustCrypto && algorithm.is_rsa() {
            return Err(Error::new(
                Code::Unsupported,
                format!("{algorithm} keys need the crypto backend aws-lc-rs (feature backend-aws-lc)"),
            ));
        }
        Ok(())
    }
}

/// Secret key material that was checked: the scalar is in range and the public part belongs to it.
pub(crate) enum Secret {
    /// A scalar of the curve's full width, and the uncompressed point.
    Ec { scalar: Zeroizing<Vec<u8>>, point: Vec<u8> },
    /// The seed of RFC 8032, and the public key.
    Ed25519 { seed: Zeroizing<[u8; 32]>, public: [u8; 32] },
    /// RFC 8017 `RSAPrivateKey`, and `RSAPublicKey`, both DER.
    Rsa { private: Zeroizing<Vec<u8>>, public: Vec<u8> },
}

impl Secret {
    /// The public part as a backend takes it: point, Ed25519 key, or `RSAPublicKey`.
    pub(crate) fn public(&self) -> &[u8] {
        match self {
            Secret::Ec { point, .. } => point,
            Secret::Ed25519 { public, .. } => public,
            Secret::Rsa { public, .. } => public,
        }
    }
}

/// A key loaded into a backend: made once, signs often.
pub(crate) trait Signer: Send + Sync {
    /// Signs with the hash of the key's kind.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;

    /// Signs a message of which only the hash is known: the one of the key's kind, of the right length. Not for Ed25519.
    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>>;
}

/// Loads a key into `backend`.
pub(crate) fn signer(backend: Backend, algorithm: KeyAlgorithm, secret: &Secret) -> Result<Box<dyn Signer>> {
    backend.require(algorithm)?;
    match backend {
        #[cfg(feature = "backend-aws-lc")]
        Backend::AwsLc => aws_lc::signer(algorithm, secret),
        _ => rustcrypto::signer(algorithm, secret),
    }
}

/// Signs with another hash than the key's own: SHA-256 with P-384 and P-521, which is what cosign verifies by default
/// (cosign#5091). Always through RustCrypto: aws-lc-rs has no P-384 with SHA-256 for signing.
pub(crate) fn sign_sha256(algorithm: KeyAlgorithm, secret: &Secret, digest: &[u8]) -> Result<Vec<u8>> {
    rustcrypto::sign_sha256(algorithm, secret, digest)
}

/// A new key.
pub(crate) fn generate(algorithm: KeyAlgorithm) -> Result<Secret> {
    if !algorithm.is_rsa() {
        return points::generate(algorithm);
    }
    Backend::active().require(algorithm)?;
    #[cfg(feature = "backend-aws-lc")]
    return rsa::private_key(&aws_lc::generate_rsa(algorithm)?).map(|(_, secret)| secret);
    #[cfg(not(feature = "backend-aws-lc"))]
    return Err(Error::new(Code::Unsupported, format!("this build cannot make {algorithm} keys")));
}

/// Whether `signature` is one of `message` by the checked public key `public`, in any form that cosign writes or reads:
/// P-384 and P-521 over their own hash or SHA-256, Ed25519 plain or prehashed. Never P1363.
pub(crate) fn verify(
    backend: Backend,
    algorithm: KeyAlgorithm,
    public: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<bool> {
    backend.require(algorithm)?;
    Ok(match algorithm {
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => {
            verify_ecdsa(backend, algorithm, public, message, signature)
        }
        KeyAlgorithm::Ed25519 => verify_ed25519(backend, public, message, signature),
        _ => verify_rsa(backend, public, message, signature),
    })
}

/// [`verify`] of a message of which only a hash is known. False for plain Ed25519, which signs no hash.
pub(crate) fn verify_digest(
    backend: Backend,
    algorithm: KeyAlgorithm,
    public: &[u8],
    hash: Hash,
    digest: &[u8],
    signature: &[u8],
) -> Result<bool> {
    backend.require(algorithm)?;
    if digest.len() != hash.size() || !algorithm.accepted_hashes().contains(&hash) {
        return Ok(false);
    }
    let scalars = match algorithm.coordinate_len() {
        Some(_) => match ecdsa::parse(algorithm, signature) {
            None => return Ok(false),
            scalars => scalars,
        },
        None => None,
    };
    Ok(match backend {
        #[cfg(feature = "backend-aws-lc")]
        Backend::AwsLc => aws_lc::verify_digest(algorithm, hash, public, digest, signature),
        _ => scalars.is_some_and(|scalars| rustcrypto::verify_ecdsa(algorithm, digest, public, &scalars)),
    })
}

fn verify_ecdsa(backend: Backend, algorithm: KeyAlgorithm, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Some(scalars) = ecdsa::parse(algorithm, signature) else { return false };
    algorithm.accepted_hashes().iter().any(|hash| match backend {
        #[cfg(feature = "backend-aws-lc")]
        Backend::AwsLc => aws_lc::verify_ecdsa(algorithm, *hash, public, message, signature),
        _ => rustcrypto::verify_ecdsa(algorithm, &hash.digest(message), public, &scalars),
    })
}

fn verify_ed25519(backend: Backend, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(public), Ok(signature)) = (<&[u8; 32]>::try_from(public), <&[u8; 64]>::try_from(signature)) else {
        return false;
    };
    // aws-lc accepts keys and nonces of small order, with which one signature fits many messages.
    if !points::ed25519_is_strong(public) || !points::ed25519_nonce_is_strong(signature) {
        return false;
    }
    let plain = match backend {
        #[cfg(feature = "backend-aws-lc")]
        Backend::AwsLc => aws_lc::verify_ed25519(public, message, signature),
        _ => rustcrypto::verify_ed25519(public, message, signature),
    };
    plain || rustcrypto::verify_ed25519ph(public, message, signature)
}

#[cfg_attr(not(feature = "backend-aws-lc"), allow(unused_variables))]
fn verify_rsa(backend: Backend, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match backend {
        #[cfg(feature = "backend-aws-lc")]
        Backend::AwsLc => aws_lc::verify_rsa(public, message, signature),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_algorithms_come_back() {
        for algorithm in KeyAlgorithm::ALL {
            assert_eq!(KeyAlgorithm::parse(algorithm.name()).unwrap(), *algorithm);
        }
        for name in ["", "ECDSA-P256", "ecdsa-p224", "rsa-1024", "ecdsa-p256 "] {
            assert_eq!(KeyAlgorithm::parse(name).unwrap_err().code(), Code::KeyAlgorithm);
        }
    }
}
