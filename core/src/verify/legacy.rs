//! The checks of a legacy signature: a layer of the image behind `sha256-<hex>.sig`, top to bottom in the order they are
//! made.

use std::collections::BTreeMap;

use super::checks::{Conditions, Steps, content, demanded_annotations};
use super::evidence::LegacySignature;
use super::log::{self, LogAnswer};
use super::policy::Policy;
use super::verified::VerifiedSignature;
use crate::bundle::sigstore::LogEntry;
use crate::bundle::{certificate, legacy, rekor};
use crate::digest::Digest;
use crate::encoding::base64;
use crate::error::{Code, Error, Result};
use crate::key::PublicKey;
use crate::oci::media_type;
use crate::payload::simple_signing::{ParseOptions, SimpleSigning};
use crate::trust::Subject;

/// The checks of one legacy signature.
pub(super) fn check(
    signature: &LegacySignature,
    image: &Digest,
    policy: &Policy,
    conditions: Conditions,
    asked: &LogAnswer,
    steps: &mut Steps<'_>,
) -> Result<VerifiedSignature, ()> {
    // 1. The layer is a simple-signing payload with a signature in base64.
    let raw = steps.run("encoding", signature_bytes(signature))?;
    // 2. The payload is what the layer's digest says.
    let payload = steps.run("content", content(&signature.payload, &signature.descriptor, "payload"))?;
    // 3. One of the policy's keys made the signature over exactly these bytes.
    let key = steps.run("key", signing_key(policy, payload, &raw))?;
    steps.report.key = Some(key.fingerprint());
    // 4. A certificate beside a key must hold that key.
    match signature.descriptor.annotations.get(legacy::CERTIFICATE).filter(|text| !text.is_empty()) {
        Some(text) => steps.run("certificate", same_key(text, key))?,
        None => steps.skip("certificate", "the signature has none"),
    }
    // 5. The payload says what cosign's payloads say, 6. about this image, 7. with the demanded annotations.
    let mut docker_reference = String::new();
    let mut annotations = BTreeMap::new();
    if conditions.check_claims {
        let options = ParseOptions { bare_digest: conditions.seed_form, any_type: conditions.any_payload_type };
        let claims = steps.run("payload", SimpleSigning::parse(payload, options))?;
        steps.run("digest", same_digest(&claims, image))?;
        steps.run("annotations", demanded_annotations(&claims.optional, policy))?;
        docker_reference = claims.docker_reference;
        annotations = claims.optional;
    } else {
        for name in ["payload", "digest", "annotations"] {
            steps.skip(name, "the caller switched the claims off");
        }
    }
    // 8. An entry in a transparency log is of this signature, this key and this payload.
    let subject = || Subject::message(payload, &raw, key);
    let proof = log::check(entries(signature), subject, policy, asked, steps)?;
    // 9. A timestamp: with a key it is not demanded, and without a trusted authority it proves nothing.
    let there = signature.descriptor.annotations.contains_key(legacy::TIMESTAMP);
    steps.skip("timestamp", if there { "no trusted root" } else { "the signature has none" });
    Ok(VerifiedSignature {
        format: "legacy",
        payload: payload.to_vec(),
        key_fingerprint: key.fingerprint(),
        docker_reference,
        annotations,
        log: proof,
    })
}

/// The entry beside the signature.
fn entries(signature: &LegacySignature) -> Result<Vec<LogEntry>> {
    let annotation = signature.descriptor.annotations.get(legacy::LOG_BUNDLE).filter(|text| !text.is_empty());
    annotation.map(|text| rekor::parse_annotation(text)).into_iter().collect()
}

fn signature_bytes(signature: &LegacySignature) -> Result<Vec<u8>> {
    let invalid = |what: &str| Error::new(Code::SignatureInvalid, what.to_owned());
    if signature.descriptor.media_type != media_type::SIMPLE_SIGNING {
        let shown: String = signature.descriptor.media_type.chars().take(100).collect();
        return Err(invalid(&format!("a layer of type {shown:?} is no cosign signature")));
    }
    if signature.descriptor.digest.algorithm_name() != "sha256" {
        return Err(invalid("the layer's digest is not SHA-256, which no cosign reads"));
    }
    let text = signature.descriptor.annotations.get(legacy::SIGNATURE);
    let text = text.ok_or_else(|| invalid("the layer has no signature annotation"))?;
    // The longest signature, RSA-4096, has 512 bytes.
    if text.len() > 8192 {
        return Err(invalid("the signature annotation is longer than any signature"));
    }
    let raw = base64::decode(text).map_err(|_| invalid("the signature annotation is not base64"))?;
    if raw.is_empty() {
        return Err(invalid("the signature is empty"));
    }
    Ok(raw)
}

fn signing_key<'a>(policy: &'a Policy, payload: &[u8], raw: &[u8]) -> Result<&'a PublicKey> {
    let found = policy.keys().iter().find(|key| key.verify(payload, raw).is_ok());
    found.ok_or_else(|| Error::new(Code::SignatureInvalid, "the signature was not made by an accepted key"))
}

fn same_key(text: &str, key: &PublicKey) -> Result<()> {
    if certificate::public_key_der(text)? == key.to_der() {
        Ok(())
    } else {
        Err(Error::new(Code::SignatureInvalid, "the certificate beside the signature holds another key"))
    }
}

fn same_digest(claims: &SimpleSigning, image: &Digest) -> Result<()> {
    if claims.digest == *image {
        Ok(())
    } else {
        Err(Error::new(Code::PayloadMismatch, format!("it signs another image: {}", claims.digest)))
    }
}
