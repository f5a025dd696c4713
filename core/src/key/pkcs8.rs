//! Private keys as DER: PKCS#8 (RFC 5208, RFC 5958), SEC1 (RFC 5915) and PKCS#1 (RFC 8017) in; PKCS#8 exactly as Go's
//! `x509.MarshalPKCS8PrivateKey` writes it out.
//!
//! A scalar has the curve's full width and lies in 1..n; a public key inside the file must belong to it, because a file
//! that says two things is read differently by different tools (real cosign ignores the public half).

use zeroize::Zeroizing;

use super::algorithm::{self, Family};
use crate::crypto::der::{self, Malformed, Reader};
use crate::crypto::{KeyAlgorithm, Secret, points, rsa};
use crate::error::{Code, Error, Result};

/// Reads a PKCS#8 `PrivateKeyInfo`.
pub(super) fn parse(pkcs8: &[u8]) -> Result<(KeyAlgorithm, Secret)> {
    let read = || {
        let mut outer = Reader::new(pkcs8);
        let mut fields = outer.sequence()?;
        outer.finish()?;
        let version = fields.unsigned()?;
        let identifier = fields.sequence()?;
        let key = fields.take(der::OCTET_STRING)?;
        fields.take_if(der::CONTEXT_0)?; // attributes: names and hints of key stores
        let public = match version {
            [] => None,
            [1] => fields.take_if(der::CONTEXT_1_PRIMITIVE)?,
            _ => return Err(Malformed),
        };
        fields.finish().map(|()| (identifier, key, public))
    };
    let (identifier, key, public) = read().map_err(|Malformed| {
        Error::new(Code::KeyFormat, "failed to parse private key: not a PKCS#8 PrivateKeyInfo in canonical DER")
    })?;
    let (algorithm, secret) = match algorithm::read(identifier)? {
        Family::Ec(curve) => parse_sec1_on(key, Some(curve))?,
        Family::Rsa => rsa::private_key(key)?,
        Family::Ed25519 => {
            let mut inner = Reader::new(key);
            let seed = inner.take(der::OCTET_STRING).and_then(|seed| inner.finish().map(|()| seed));
            let seed = seed.ok().and_then(|seed| <&[u8; 32]>::try_from(seed).ok()).ok_or_else(|| {
                Error::new(Code::KeyFormat, "the Ed25519 private key is not an OCTET STRING of 32 bytes")
            })?;
            (KeyAlgorithm::Ed25519, points::ed25519_secret(seed))
        }
    };
    match public {
        Some(bits) if bits.split_first() != Some((&0, secret.public())) => Err(other_public_key(algorithm)),
        _ => Ok((algorithm, secret)),
    }
}

/// Reads a SEC1 `ECPrivateKey`, which must name its curve.
pub(super) fn parse_sec1(sec1: &[u8]) -> Result<(KeyAlgorithm, Secret)> {
    parse_sec1_on(sec1, None)
}

/// Reads a PKCS#1 `RSAPrivateKey`.
pub(super) fn parse_pkcs1(pkcs1: &[u8]) -> Result<(KeyAlgorithm, Secret)> {
    rsa::private_key(pkcs1)
}

fn parse_sec1_on(sec1: &[u8], outer_curve: Option<KeyAlgorithm>) -> Result<(KeyAlgorithm, Secret)> {
    let malformed =
        |Malformed| Error::new(Code::KeyFormat, "failed to parse EC private key: not an ECPrivateKey in canonical DER");
    let read = || {
        let mut outer = Reader::new(sec1);
        let mut fields = outer.sequence()?;
        outer.finish()?;
        if fields.unsigned()? != [1] {
            return Err(Malformed);
        }
        let scalar = fields.take(der::OCTET_STRING)?;
        let parameters = fields.take_if(der::CONTEXT_0)?;
        let public = match fields.take_if(der::CONTEXT_1)? {
            Some(wrapped) => {
                let mut wrapped = Reader::new(wrapped);
                let bits = wrapped.bits()?;
                wrapped.finish()?;
                Some(bits)
            }
            None => None,
        };
        fields.finish().map(|()| (scalar, parameters, public))
    };
    let (scalar, parameters, public) = read().map_err(malformed)?;

    let inner_curve = match parameters {
        Some(parameters) => {
            let mut parameters = Reader::new(parameters);
            if parameters.peek() == Some(der::SEQUENCE) {
                return Err(Error::new(
                    Code::KeyFormat,
                    "the key spells its curve's parameters out: only named curves are accepted",
                ));
            }
            let oid = parameters.take(der::OID).map_err(malformed)?;
            parameters.finish().map_err(malformed)?;
            Some(algorithm::curve_named(oid)?)
        }
        None => None,
    };
    let curve = match (outer_curve, inner_curve) {
        (Some(outer), Some(inner)) if outer != inner => {
            return Err(Error::new(Code::KeyFormat, format!("the key names two curves: {outer} and {inner}")));
        }
        (Some(curve), _) | (None, Some(curve)) => curve,
        (None, None) => return Err(Error::new(Code::KeyFormat, "the EC private key does not name its curve")),
    };
    let secret = points::ec_secret(curve, scalar).ok_or_else(|| {
        Error::new(
            Code::KeyFormat,
            format!(
                "the {curve} private key is not a scalar of {} bytes between 1 and the order of the curve",
                curve.coordinate_len().unwrap_or_default()
            ),
        )
    })?;
    if public.is_some_and(|public| public != secret.public()) {
        return Err(other_public_key(curve));
    }
    Ok((curve, secret))
}

fn other_public_key(algorithm: KeyAlgorithm) -> Error {
    Error::new(Code::KeyFormat, format!("the public key inside the {algorithm} private key is not its own"))
}

/// Writes PKCS#8 as Go does: version 0, no attributes, and for EC no curve in the inner `ECPrivateKey`.
pub(super) fn write(algorithm: KeyAlgorithm, secret: &Secret) -> Zeroizing<Vec<u8>> {
    let key = match secret {
        Secret::Ec { scalar, point } => {
            let scalar = Zeroizing::new(der::element(der::OCTET_STRING, &[scalar.as_slice()]));
            let public = der::element(der::CONTEXT_1, &[&der::element(der::BIT_STRING, &[&[0], point])]);
            Zeroizing::new(der::element(der::SEQUENCE, &[&der::unsigned(&[1]), &scalar, &public]))
        }
        Secret::Ed25519 { seed, .. } => Zeroizing::new(der::element(der::OCTET_STRING, &[seed.as_slice()])),
        Secret::Rsa { private, .. } => private.clone(),
    };
    let key = Zeroizing::new(der::element(der::OCTET_STRING, &[key.as_slice()]));
    // Zero as an INTEGER is one zero byte.
    let version = der::element(der::INTEGER, &[&[0]]);
    Zeroizing::new(der::element(der::SEQUENCE, &[&version, &algorithm::write(algorithm), &key]))
}
