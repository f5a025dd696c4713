//! [`PublicKey`]: read from PEM, DER or a policy's inline text; verifies signatures.

use std::fmt;
use std::hash::{Hash as StdHash, Hasher};
use std::sync::Arc;

use super::{decode_pem, encrypted, spki};
use crate::crypto::{self, Backend, Hash, KeyAlgorithm};
use crate::digest::Digest;
use crate::encoding::{base64, pem};
use crate::error::{Code, Error, Result};

/// The length of a raw Ed25519 key.
const RAW_ED25519: usize = 32;

/// A public key of an accepted kind, in canonical form: equal keys have equal DER and equal fingerprints.
#[derive(Clone)]
pub struct PublicKey(Arc<Inner>);

struct Inner {
    algorithm: KeyAlgorithm,
    /// `SubjectPublicKeyInfo`.
    spki: Vec<u8>,
    /// The part of `spki` that a backend takes.
    key: Vec<u8>,
}

impl PublicKey {
    /// Reads PEM: `PUBLIC KEY` (SPKI, or the 32 bytes of an Ed25519 key as cosign wrote them until 2021-03-06), or `RSA PUBLIC KEY` (PKCS#1). Only the first block is read; text around it, CRLF
    /// and any line width are fine, PEM headers are not.
    pub fn from_pem(pem: &[u8]) -> Result<PublicKey> {
        let block = decode_pem(pem)?;
        if !block.headers.is_empty() {
            return Err(Error::new(Code::KeyFormat, "the public key has PEM headers, which no public key has"));
        }
        match block.label.as_str() {
            // Until 2021-03-06 cosign wrote the raw Ed25519 key into the block; no SPKI is that short.
            "PUBLIC KEY" if block.der.len() == RAW_ED25519 => PublicKey::of(KeyAlgorithm::Ed25519, &block.der),
            "PUBLIC KEY" => PublicKey::from_der(&block.der),
            "RSA PUBLIC KEY" => {
                let algorithm = crypto::rsa::public_key(&block.der)?;
                PublicKey::of(algorithm, &block.der)
            }
            label => {
                let advice = match label {
                    "CERTIFICATE" => "a certificate is not a public key",
                    label if encrypted::is_label(label) || label.ends_with("PRIVATE KEY") => {
                        "this is a private key; the public one is in the .pub file"
                    }
                    _ => "are you passing the correct public key?",
                };
                let shown: String = label.chars().take(60).collect();
                Err(Error::new(
                    Code::KeyFormat,
                    format!("unknown public key PEM type {shown:?}: expected PUBLIC KEY; {advice}"),
                ))
            }
        }
    }

    /// Reads a `SubjectPublicKeyInfo` in canonical DER: ECDSA on a named curve with an uncompressed point, Ed25519, or
    /// RSA with 2048, 3072 or 4096 bits and e = 65537.
    pub fn from_der(der: &[u8]) -> Result<PublicKey> {
        let (algorithm, key) = spki::parse(der)?;
        Ok(PublicKey(Arc::new(Inner { algorithm, spki: der.to_vec(), key: key.to_vec() })))
    }

    /// Reads the text of a policy or command line: padded base64 of a `SubjectPublicKeyInfo`, or of a raw Ed25519 key of
    /// 32 bytes, which is what keys were until March 2021.
    pub fn from_inline(text: &str) -> Result<PublicKey> {
        let bytes = base64::decode(text)
            .map_err(|_| Error::new(Code::KeyFormat, "the inline public key is not padded standard base64"))?;
        match bytes.len() {
            0 => Err(Error::new(Code::KeyFormat, "the inline public key is empty")),
            RAW_ED25519 => PublicKey::of(KeyAlgorithm::Ed25519, &bytes),
            _ => PublicKey::from_der(&bytes),
        }
    }

    /// From a key as a backend takes it, which goes through the one parser like any other.
    pub(super) fn of(algorithm: KeyAlgorithm, key: &[u8]) -> Result<PublicKey> {
        PublicKey::from_der(&spki::write(algorithm, key))
    }

    /// PEM with the label `PUBLIC KEY`, as cosign writes `cosign.pub`.
    pub fn to_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.0.spki).as_str().to_owned()
    }

    /// The `SubjectPublicKeyInfo`.
    pub fn to_der(&self) -> &[u8] {
        &self.0.spki
    }

    /// SHA-256 of [`PublicKey::to_der`] in lower-case hex.
    pub fn fingerprint(&self) -> String {
        Digest::sha256(&self.0.spki).hex().to_owned()
    }

    /// The kind of key.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm
    }

    /// Whether `signature` is one of `message` by this key; [`Code::SignatureInvalid`] if not.
    ///
    /// ECDSA signatures are strict DER; a high s is valid. P-384 and P-521 keys verify over their own hash and over
    /// SHA-256, Ed25519 keys plain and prehashed (Ed25519ph): every form that some cosign writes. RSA is
    /// [`Code::Unsupported`] in builds without aws-lc-rs.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        self.verify_with(Backend::active(), message, signature)
    }

    /// [`PublicKey::verify`] through a backend of the caller's choice.
    pub fn verify_with(&self, backend: Backend, message: &[u8], signature: &[u8]) -> Result<()> {
        if crypto::verify(backend, self.0.algorithm, &self.0.key, message, signature)? {
            return Ok(());
        }
        Err(Error::new(
            Code::SignatureInvalid,
            format!("the signature is not one of these bytes by the {} key {}", self.0.algorithm, self.fingerprint()),
        ))
    }
}

impl PublicKey {
    /// [`PublicKey::verify`] of a message of which only the hash is known. Plain Ed25519 signs no hash and is
    /// [`Code::Unsupported`]; a hash that the key's kind does not sign with is [`Code::SignatureInvalid`].
    pub fn verify_digest(&self, hash: Hash, digest: &[u8], signature: &[u8]) -> Result<()> {
        let (algorithm, key) = (self.0.algorithm, &self.0.key);
        if algorithm == KeyAlgorithm::Ed25519 {
            return Err(Error::new(Code::Unsupported, "an Ed25519 signature is of the message, not of a hash"));
        }
        if crypto::verify_digest(Backend::active(), algorithm, key, hash, digest, signature)? {
            return Ok(());
        }
        Err(Error::new(Code::SignatureInvalid, format!("the signature is not one of this hash by the {algorithm} key")))
    }

    /// The part of the key that a backend takes.
    pub(super) fn raw(&self) -> &[u8] {
        &self.0.key
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.0.spki == other.0.spki
    }
}

impl Eq for PublicKey {}

impl StdHash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.spki.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<PublicKey {} sha256:{}>", self.0.algorithm, self.fingerprint())
    }
}
