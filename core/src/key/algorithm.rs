//! `AlgorithmIdentifier` of keys, shared by SPKI and PKCS#8: named curves, RSA with NULL parameters, Ed25519 without
//! any. Parameters that spell a curve out are refused: a curve that only looks like P-256 makes a forger's key fit
//! (CVE-2020-0601).

use crate::crypto::KeyAlgorithm;
use crate::crypto::der::{self, Malformed, Reader};
use crate::error::{Code, Error, Result};

/// What the identifier says; the size of an RSA key stands in the key itself.
pub(super) enum Family {
    Ec(KeyAlgorithm),
    Ed25519,
    Rsa,
}

const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

/// Reads the contents of an `AlgorithmIdentifier`.
pub(super) fn read(mut identifier: Reader<'_>) -> Result<Family> {
    let oid = identifier.take(der::OID).map_err(malformed)?;
    match oid {
        EC => {
            let curve = match identifier.any() {
                Ok((der::OID, curve)) => curve,
                Ok((der::SEQUENCE, _)) => {
                    return Err(Error::new(
                        Code::KeyFormat,
                        "the key spells its curve's parameters out: only named curves are accepted",
                    ));
                }
                _ => return Err(Error::new(Code::KeyFormat, "the key does not name its curve")),
            };
            identifier.finish().map_err(malformed)?;
            curve_named(curve).map(Family::Ec)
        }
        RSA => match identifier.any() {
            Ok((der::NULL, [])) if identifier.peek().is_none() => Ok(Family::Rsa),
            _ => Err(Error::new(Code::KeyFormat, "the RSA key's algorithm parameters are not NULL")),
        },
        ED25519 => match identifier.peek() {
            None => Ok(Family::Ed25519),
            Some(_) => {
                Err(Error::new(Code::KeyFormat, "the Ed25519 key has algorithm parameters, which are not allowed"))
            }
        },
        _ => Err(Error::new(
            Code::KeyAlgorithm,
            format!("{} keys are not accepted: expected ECDSA, Ed25519 or RSA", name(oid)),
        )),
    }
}

/// The kind of key on the curve with this object identifier.
pub(super) fn curve_named(oid: &[u8]) -> Result<KeyAlgorithm> {
    match oid {
        P256 => Ok(KeyAlgorithm::EcdsaP256),
        P384 => Ok(KeyAlgorithm::EcdsaP384),
        P521 => Ok(KeyAlgorithm::EcdsaP521),
        _ => Err(Error::new(
            Code::KeyAlgorithm,
            format!("ECDSA curve {} not allowed: expected P-256, P-384 or P-521", name(oid)),
        )),
    }
}

/// The `AlgorithmIdentifier` of a key of this kind.
pub(super) fn write(algorithm: KeyAlgorithm) -> Vec<u8> {
    let oid = |oid| der::element(der::OID, &[oid]);
    let ec = |curve| der::element(der::SEQUENCE, &[&oid(EC), &oid(curve)]);
    match algorithm {
        KeyAlgorithm::EcdsaP256 => ec(P256),
        KeyAlgorithm::EcdsaP384 => ec(P384),
        KeyAlgorithm::EcdsaP521 => ec(P521),
        KeyAlgorithm::Ed25519 => der::element(der::SEQUENCE, &[&oid(ED25519)]),
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            der::element(der::SEQUENCE, &[&oid(RSA), &der::element(der::NULL, &[])])
        }
    }
}

fn malformed(_: Malformed) -> Error {
    Error::new(Code::KeyFormat, "the key's algorithm is not canonical DER")
}

// Names for what people have at hand; dotted numbers for the rest.
fn name(oid: &[u8]) -> String {
    let known = match oid {
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x01] => "P-192",
        [0x2b, 0x81, 0x04, 0x00, 0x21] => "P-224",
        [0x2b, 0x81, 0x04, 0x00, 0x0a] => "secp256k1",
        [0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, _] => "brainpool",
        [0x2b, 0x65, 0x6e] => "X25519",
        [0x2b, 0x65, 0x6f] => "X448",
        [0x2b, 0x65, 0x71] => "Ed448",
        [0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01] => "DSA",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a] => "RSA-PSS",
        _ => return dotted(oid),
    };
    known.to_owned()
}

fn dotted(oid: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut value = 0u64;
    for byte in oid.iter().take(40) {
        value = value.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if parts.is_empty() {
                let first = (value / 40).min(2);
                parts.push(first.to_string());
                value = value.saturating_sub(first.saturating_mul(40));
            }
            parts.push(value.to_string());
            value = 0;
        }
    }
    format!("OID {}", parts.join("."))
}
