//! sign-blob: hash what the reader yields, sign the hash, and write the signature in any of its forms.

use std::io::Read;

use super::pieces;
use crate::bundle::blob::OldBundle;
use crate::bundle::sigstore::{Bundle, MessageSignature};
use crate::call::Call;
use crate::crypto::Hash;
use crate::crypto::stream::Hasher;
use crate::encoding::{base64, hex};
use crate::error::{Code, Error, Result};
use crate::key::{PrivateKey, PublicKey};

/// The largest blob that an Ed25519 key signs. Such a signature takes the blob twice, and two passes over a file that
/// changes in between would give the key away; so the blob is held in memory while it is signed.
pub const MAX_ED25519_BYTES: usize = 64 << 20;

/// How a blob is signed.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SignBlobOptions {
    /// The hash to sign: that of the key's kind when `None`, else SHA-256 with P-384 and P-521, which cosign verifies
    /// without `--signature-digest-algorithm`.
    pub hash: Option<Hash>,
}

impl SignBlobOptions {
    /// The defaults.
    pub fn new() -> SignBlobOptions {
        SignBlobOptions::default()
    }
}

/// A signature of a blob, and what is needed to write it in each form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBlob {
    message: MessageSignature,
    digest: String,
    key: PublicKey,
}

impl SignedBlob {
    /// The raw signature: ECDSA in DER, RSA PKCS#1 v1.5, plain Ed25519.
    pub fn signature(&self) -> &[u8] {
        &self.message.signature
    }

    /// The signature in padded base64, one line without its end: what `cosign sign-blob` prints.
    pub fn base64(&self) -> String {
        base64::encode(&self.message.signature)
    }

    /// The hash of what was signed, such as `sha256:<hex>`: the one that was signed, SHA-256 for Ed25519.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The key that signed.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The sigstore bundle of version 0.3, as cosign 3 writes it: no white space, no end of line. With Ed25519 it names the
    /// blob's SHA-256; cosign leaves the digest out and then cannot verify.
    pub fn bundle(&self) -> String {
        Bundle::of_message(self.message.clone(), &self.key).to_json()
    }

    /// The JSON of `sign-blob --bundle` before there were bundles, as cosign 3.1 writes it: `base64Signature`, and the
    /// public key as `cert`.
    pub fn old_bundle(&self) -> String {
        OldBundle::new(self.message.signature.clone(), &self.key).to_json()
    }
}

/// Signs all that `blob` yields, as `cosign sign-blob` does with this kind of key: P-256 and RSA over SHA-256, P-384 over
/// SHA-384, P-521 over SHA-512, Ed25519 over the blob itself.
///
/// # Errors
/// [`Code::BlobTooLarge`] with Ed25519 above [`MAX_ED25519_BYTES`]; [`Code::Unsupported`] for a hash that the key does not
/// sign with; [`Code::Io`] for what cannot be read to its end; [`Code::Cancelled`] and [`Code::Timeout`].
pub fn sign_blob(blob: impl Read, key: &PrivateKey, options: &SignBlobOptions, call: &Call) -> Result<SignedBlob> {
    let (signature, hash, digest) = match (key.algorithm().hash(), options.hash) {
        (None, Some(hash)) => {
            // Before anything is read.
            return Err(Error::new(
                Code::Unsupported,
                format!("{} keys sign the blob itself, not its {}", key.algorithm(), hash.name()),
            ));
        }
        (None, None) => of_message(blob, key, call)?,
        (Some(own), wanted) => of_hash(blob, key, wanted.unwrap_or(own), call)?,
    };
    let text = format!("{}:{}", hash.name(), hex::encode(&digest));
    let message = MessageSignature { digest: Some((hash, digest)), signature };
    Ok(SignedBlob { message, digest: text, key: key.public_key() })
}

type Signed = (Vec<u8>, Hash, Vec<u8>);

fn of_hash(blob: impl Read, key: &PrivateKey, hash: Hash, call: &Call) -> Result<Signed> {
    // A key that does not sign with this hash says so before a large blob is read.
    if !key.algorithm().accepted_hashes().contains(&hash) {
        return Err(Error::new(
            Code::Unsupported,
            format!("{} keys do not sign with {}", key.algorithm(), hash.name()),
        ));
    }
    let mut hasher = Hasher::new();
    hasher.demand(hash);
    pieces(blob, call, |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    let digest = hasher.digest(hash).ok_or_else(|| Error::new(Code::Internal, "the hash was not computed"))?;
    Ok((key.sign_digest(hash, &digest)?, hash, digest))
}

fn of_message(blob: impl Read, key: &PrivateKey, call: &Call) -> Result<Signed> {
    let mut message = Vec::new();
    pieces(blob, call, |piece| {
        if piece.len() > MAX_ED25519_BYTES.saturating_sub(message.len()) {
            return Err(Error::new(
                Code::BlobTooLarge,
                format!(
                    "{} keys sign blobs of at most {MAX_ED25519_BYTES} bytes, which are held in memory: sign a file of its \
                     hashes, or use a key of another kind",
                    key.algorithm()
                ),
            )
            .with("limit", MAX_ED25519_BYTES as u64));
        }
        message.extend_from_slice(piece);
        Ok(())
    })?;
    let digest = Hash::Sha256.digest(&message);
    Ok((key.sign(&message)?, Hash::Sha256, digest))
}
