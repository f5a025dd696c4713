//! The default backend: aws-lc-rs. It wipes the keys it holds when they are dropped.

use aws_lc_rs::digest::{Digest, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING,
    ED25519, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use zeroize::Zeroizing;

use super::der::{OCTET_STRING, Reader};
use super::{Hash, KeyAlgorithm, Secret, Signer};
use crate::error::{Code, Error, Result};

pub(super) fn verify_ecdsa(
    algorithm: KeyAlgorithm,
    hash: Hash,
    point: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    let verification: &'static dyn VerificationAlgorithm = match (algorithm, hash) {
        (KeyAlgorithm::EcdsaP256, Hash::Sha256) => &ECDSA_P256_SHA256_ASN1,
        (KeyAlgorithm::EcdsaP384, Hash::Sha384) => &ECDSA_P384_SHA384_ASN1,
        (KeyAlgorithm::EcdsaP384, Hash::Sha256) => &ECDSA_P384_SHA256_ASN1,
        (KeyAlgorithm::EcdsaP521, Hash::Sha512) => &ECDSA_P521_SHA512_ASN1,
        (KeyAlgorithm::EcdsaP521, Hash::Sha256) => &ECDSA_P521_SHA256_ASN1,
        _ => return false,
    };
    UnparsedPublicKey::new(verification, point).verify(message, signature).is_ok()
}

/// Of a hash that was computed elsewhere.
pub(super) fn verify_digest(
    algorithm: KeyAlgorithm,
    hash: Hash,
    public: &[u8],
    digest: &[u8],
    signature: &[u8],
) -> bool {
    let (verification, hash): (&'static dyn VerificationAlgorithm, _) = match (algorithm, hash) {
        (KeyAlgorithm::EcdsaP256, Hash::Sha256) => (&ECDSA_P256_SHA256_ASN1, &SHA256),
        (KeyAlgorithm::EcdsaP384, Hash::Sha384) => (&ECDSA_P384_SHA384_ASN1, &SHA384),
        (KeyAlgorithm::EcdsaP384, Hash::Sha256) => (&ECDSA_P384_SHA256_ASN1, &SHA256),
        (KeyAlgorithm::EcdsaP521, Hash::Sha512) => (&ECDSA_P521_SHA512_ASN1, &SHA512),
        (KeyAlgorithm::EcdsaP521, Hash::Sha256) => (&ECDSA_P521_SHA256_ASN1, &SHA256),
        (algorithm, Hash::Sha256) if algorithm.is_rsa() => (&RSA_PKCS1_2048_8192_SHA256, &SHA256),
        _ => return false,
    };
    let Ok(digest) = Digest::import_less_safe(digest, hash) else { return false };
    UnparsedPublicKey::new(verification, public).verify_digest(&digest, signature).is_ok()
}

pub(super) fn verify_ed25519(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

pub(super) fn verify_rsa(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(message, signature).is_ok()
}

enum Loaded {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

pub(super) fn signer(algorithm: KeyAlgorithm, secret: &Secret) -> Result<Box<dyn Signer>> {
    // Each constructor compares the public part with the one it computes.
    let loaded = match secret {
        Secret::Ec { scalar, point } => {
            let signing = match algorithm {
                KeyAlgorithm::EcdsaP256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
                KeyAlgorithm::EcdsaP384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
                _ => &ECDSA_P521_SHA512_ASN1_SIGNING,
            };
            EcdsaKeyPair::from_private_key_and_public_key(signing, scalar, point).map(Loaded::Ecdsa)
        }
        Secret::Ed25519 { seed, public } => {
            Ed25519KeyPair::from_seed_and_public_key(seed.as_slice(), public).map(Loaded::Ed25519)
        }
        Secret::Rsa { private, .. } => RsaKeyPair::from_der(private).map(Loaded::Rsa),
    };
    let loaded = loaded.map_err(|error| {
        Error::new(Code::KeyFormat, format!("the {algorithm} key is not consistent ({error}): its numbers do not fit"))
    })?;
    // An RSA key whose numbers do not fit can give its factors away with one signature; the public half must agree
    // with a signature before any leaves this library.
    if let (Loaded::Rsa(_), Secret::Rsa { public, .. }) = (&loaded, secret) {
        let probe = b"libcosign key check";
        if !verify_rsa(public, probe, &loaded.sign(probe)?) {
            return Err(Error::new(Code::KeyFormat, format!("the {algorithm} key is not consistent")));
        }
    }
    Ok(Box::new(loaded))
}

impl Signer for Loaded {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let failed = |_| Error::new(Code::Internal, "signing failed");
        let random = SystemRandom::new();
        match self {
            Loaded::Ecdsa(key) => Ok(key.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Loaded::Ed25519(key) => Ok(key.try_sign(message).map_err(failed)?.as_ref().to_vec()),
            Loaded::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>> {
        let failed = |_| Error::new(Code::Internal, "signing failed");
        let import = |algorithm| Digest::import_less_safe(digest, algorithm).map_err(failed);
        match self {
            Loaded::Ecdsa(key) => {
                // The key signs with one hash only, and refuses the two others.
                let algorithm = match digest.len() {
                    32 => &SHA256,
                    48 => &SHA384,
                    _ => &SHA512,
                };
                Ok(key.sign_digest(&import(algorithm)?).map_err(failed)?.as_ref().to_vec())
            }
            Loaded::Ed25519(_) => Err(Error::new(Code::Internal, "Ed25519 signs no hash")),
            Loaded::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(&RSA_PKCS1_SHA256, &import(&SHA256)?, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

/// A new RSA key: `RSAPrivateKey`, DER.
pub(super) fn generate_rsa(algorithm: KeyAlgorithm) -> Result<Zeroizing<Vec<u8>>> {
    let size = match algorithm {
        KeyAlgorithm::Rsa2048 => KeySize::Rsa2048,
        KeyAlgorithm::Rsa3072 => KeySize::Rsa3072,
        _ => KeySize::Rsa4096,
    };
    let failed = || Error::new(Code::Internal, "making the RSA key failed");
    let key = RsaKeyPair::generate(size).map_err(|_| failed())?;
    let pkcs8: Pkcs8V1Der<'static> = key.as_der().map_err(|_| failed())?;
    let inner = || {
        let mut info = Reader::new(pkcs8.as_ref()).sequence()?;
        info.unsigned()?;
        info.sequence()?;
        info.take(OCTET_STRING)
    };
    Ok(Zeroizing::new(inner().map_err(|_| failed())?.to_vec()))
}
