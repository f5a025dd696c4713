//! [`PrivateKey`]: decrypted or generated once, ready to sign often, from any thread.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::encrypted::{self, EncryptedKey};
use super::{KeyFormat, PublicKey, import, pkcs8};
use crate::crypto::{self, Backend, Hash, KeyAlgorithm, Secret, Signer, points};
use crate::error::{Code, Error, Result};

/// A private key, loaded into the crypto backend. Clones share it; the secret is wiped when the last one is dropped.
/// `Debug` shows the kind and the public key's fingerprint only.
#[derive(Clone)]
pub struct PrivateKey(Arc<Inner>);

struct Inner {
    public: PublicKey,
    secret: Secret,
    signer: Box<dyn Signer>,
}

impl PrivateKey {
    /// A new key. cosign itself makes only [`KeyAlgorithm::EcdsaP256`]. RSA is [`Code::Unsupported`] in builds without
    /// aws-lc-rs.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<PrivateKey> {
        PrivateKey::load(Backend::active(), algorithm, crypto::generate(algorithm)?)
    }

    /// Opens an encrypted key file: `ENCRYPTED SIGSTORE PRIVATE KEY` or `ENCRYPTED COSIGN PRIVATE KEY`.
    ///
    /// `password` is taken as bytes exactly as given; `None` is [`Code::PasswordRequired`], and the empty password is a
    /// password. A wrong password and a changed file are [`Code::PasswordWrong`]; anything else that is not such a file,
    /// an unencrypted key included, is [`Code::KeyFormat`]. Takes 70 to 300 ms and up to 128 MiB, which is what the
    /// file's scrypt cost asks for. Files from before 2021-03-06, whose plaintext is a raw Ed25519 key, open as well.
    pub fn from_pem(pem: &[u8], password: Option<&[u8]>) -> Result<PrivateKey> {
        let file = EncryptedKey::from_pem(pem)?;
        let password = password.ok_or_else(|| {
            Error::new(Code::PasswordRequired, "the private key is encrypted and no password was given")
        })?;
        let plaintext = file.open(password)?;
        let (algorithm, secret) = match raw_ed25519(&plaintext) {
            Some(secret) => (KeyAlgorithm::Ed25519, secret),
            None => pkcs8::parse(&plaintext)?,
        };
        PrivateKey::load(Backend::active(), algorithm, secret)
    }

    /// Takes over an unencrypted key made by another tool: PEM with PKCS#8, SEC1 or PKCS#1, of RSA with 2048, 3072 or
    /// 4096 bits, ECDSA on P-256, P-384 or P-521, or Ed25519. Only the first PEM block is read.
    pub fn import_pem(pem: &[u8]) -> Result<PrivateKey> {
        let (algorithm, secret) = import::from_pem(pem)?;
        PrivateKey::load(Backend::active(), algorithm, secret)
    }

    /// The same key, signing through another backend of this build.
    pub fn with_backend(&self, backend: Backend) -> Result<PrivateKey> {
        let (algorithm, secret) = pkcs8::parse(&self.to_pkcs8())?;
        PrivateKey::load(backend, algorithm, secret)
    }

    fn load(backend: Backend, algorithm: KeyAlgorithm, secret: Secret) -> Result<PrivateKey> {
        let signer = crypto::signer(backend, algorithm, &secret)?;
        let public = PublicKey::of(algorithm, secret.public())?;
        Ok(PrivateKey(Arc::new(Inner { public, secret, signer })))
    }

    /// The encrypted key file, with a new salt and nonce each time. `password` may be empty.
    pub fn to_pem(&self, password: &[u8], format: KeyFormat) -> Result<Zeroizing<String>> {
        encrypted::seal(&self.to_pkcs8(), password, format)
    }

    /// The secret itself, PKCS#8 DER as Go writes it: the plaintext of the key file.
    fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        pkcs8::write(self.algorithm(), &self.0.secret)
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        self.0.public.clone()
    }

    /// The kind of key.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.0.public.algorithm()
    }

    /// Signs `message` as cosign does for this kind of key: ECDSA in DER over SHA-256 (P-256), SHA-384 (P-384) or
    /// SHA-512 (P-521); RSA PKCS#1 v1.5 over SHA-256; Ed25519 over the message itself, not prehashed.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.0.signer.sign(message)
    }

    /// Signs `message` with a chosen hash: the kind's own, or SHA-256 with P-384 and P-521, which cosign verifies
    /// without `--signature-digest-algorithm`. Anything else is [`Code::Unsupported`].
    pub fn sign_with_hash(&self, message: &[u8], hash: Hash) -> Result<Vec<u8>> {
        match (self.algorithm(), hash) {
            (algorithm, hash) if algorithm.hash() == Some(hash) => self.sign(message),
            (algorithm @ (KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521), Hash::Sha256) => {
                crypto::sign_sha256(algorithm, &self.0.secret, &hash.digest(message))
            }
            (algorithm, hash) => Err(does_not_sign(algorithm, hash)),
        }
    }

    /// [`PrivateKey::sign_with_hash`] of a message of which only the hash is known. Ed25519 signs no hash and is
    /// [`Code::Unsupported`]; a hash of another length than its kind's is [`Code::Argument`].
    pub fn sign_digest(&self, hash: Hash, digest: &[u8]) -> Result<Vec<u8>> {
        if digest.len() != hash.size() {
            let (found, expected) = (digest.len(), hash.size());
            return Err(Error::new(Code::Argument, format!("{} has {expected} bytes, not {found}", hash.name())));
        }
        match (self.algorithm(), hash) {
            (algorithm, hash) if algorithm.hash() == Some(hash) => self.0.signer.sign_digest(digest),
            (algorithm @ (KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521), Hash::Sha256) => {
                crypto::sign_sha256(algorithm, &self.0.secret, digest)
            }
            (algorithm, hash) => Err(does_not_sign(algorithm, hash)),
        }
    }
}

fn does_not_sign(algorithm: KeyAlgorithm, hash: Hash) -> Error {
    Error::new(Code::Unsupported, format!("{algorithm} keys do not sign with {}", hash.name()))
}

/// The key of a file from before 2021-03-06: not PKCS#8, but Go's `ed25519.PrivateKey`, the seed and the public key. A
/// plaintext of 64 bytes whose second half is no such public key is left to the parser of PKCS#8.
fn raw_ed25519(plaintext: &[u8]) -> Option<Secret> {
    if plaintext.len() != 64 {
        return None;
    }
    let (seed, public) = plaintext.split_first_chunk::<32>()?;
    let secret = points::ed25519_secret(seed);
    (secret.public() == public).then_some(secret)
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<PrivateKey {} sha256:{}>", self.algorithm(), self.0.public.fingerprint())
    }
}
