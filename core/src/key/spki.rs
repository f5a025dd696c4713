//! `SubjectPublicKeyInfo` (RFC 5280): the one parser of public keys. Canonical DER and nothing after it, so that one key
//! has one encoding and its SHA-256 is an identity.

use super::algorithm::{self, Family};
use crate::crypto::der::{self, Malformed, Reader};
use crate::crypto::{KeyAlgorithm, points, rsa};
use crate::error::{Code, Error, Result};

/// The kind of a public key, and its bytes as a backend takes them: point, Ed25519 key, or `RSAPublicKey`.
pub(super) fn parse(spki: &[u8]) -> Result<(KeyAlgorithm, &[u8])> {
    let read = || {
        let mut outer = Reader::new(spki);
        let mut fields = outer.sequence()?;
        outer.finish()?;
        let parts = (fields.sequence()?, fields.bits()?);
        fields.finish().map(|()| parts)
    };
    let (identifier, key) = read().map_err(|Malformed| {
        Error::new(Code::KeyFormat, "the public key is not a SubjectPublicKeyInfo in canonical DER")
    })?;
    let algorithm = match algorithm::read(identifier)? {
        Family::Ec(algorithm) => algorithm,
        Family::Ed25519 => KeyAlgorithm::Ed25519,
        Family::Rsa => return rsa::public_key(key).map(|algorithm| (algorithm, key)),
    };
    if !points::is_public(algorithm, key) {
        return Err(Error::new(Code::KeyFormat, refusal(algorithm, key)));
    }
    Ok((algorithm, key))
}

/// The `SubjectPublicKeyInfo` of a key that a backend would take.
pub(super) fn write(algorithm: KeyAlgorithm, key: &[u8]) -> Vec<u8> {
    let bits = der::element(der::BIT_STRING, &[&[0], key]);
    der::element(der::SEQUENCE, &[&algorithm::write(algorithm), &bits])
}

fn refusal(algorithm: KeyAlgorithm, key: &[u8]) -> String {
    match (algorithm, key.first()) {
        (KeyAlgorithm::Ed25519, _) => {
            "the Ed25519 public key is not 32 bytes, not canonical, not on the curve, or of small order".to_owned()
        }
        (_, Some(2 | 3)) => format!(
            "the {algorithm} public key is a compressed point: convert it with `openssl ec -pubin -in KEY -conv_form uncompressed`"
        ),
        _ => format!("the {algorithm} public key is not an uncompressed point on its curve"),
    }
}
