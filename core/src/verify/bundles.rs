//! The checks of a sigstore bundle, top to bottom in the order they are made.

use std::collections::BTreeMap;

use serde_json::Value;

use super::checks::{Conditions, Steps, content, demanded_annotations};
use super::evidence::BundleSignature;
use super::log::{self, LogAnswer};
use super::policy::Policy;
use super::verified::VerifiedSignature;
use crate::bundle::sigstore::{self, Bundle, Content, KeyMaterial};
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::media_type;
use crate::payload::dsse::{self, Envelope};
use crate::payload::statement::{self, Statement};
use crate::trust::Subject;

/// The checks of one bundle.
pub(super) fn check(
    signature: &BundleSignature,
    image: &Digest,
    policy: &Policy,
    conditions: Conditions,
    asked: &LogAnswer,
    steps: &mut Steps<'_>,
) -> Result<VerifiedSignature, ()> {
    // 1. The bytes are those that the manifest's layer names.
    let bytes = steps.run("content", content(&signature.bundle, &signature.descriptor, "bundle"))?;
    // 2. They are one bundle, of a version that registries may hold, around an in-toto statement with one signature.
    let (bundle, envelope) = steps.run("encoding", envelope(signature, bytes, conditions))?;
    // 3. It is to be verified with a key: a certificate would make it somebody else's signature.
    match &bundle.key {
        KeyMaterial::PublicKey { .. } => steps.skip("certificate", "the bundle has none"),
        KeyMaterial::Certificate(_) | KeyMaterial::CertificateChain(_) => {
            let refused = "the bundle was signed with a certificate, the policy has keys";
            steps.run("certificate", Err(Error::new(Code::SignatureInvalid, refused)))?;
        }
    }
    // 4. One of the policy's keys made the signature over exactly this type and payload. The bundle's hint and keyid are
    // unsigned and say nothing.
    let key = envelope.signer(policy.keys());
    let key = steps.run(
        "key",
        key.ok_or_else(|| Error::new(Code::SignatureInvalid, "the signature was not made by an accepted key")),
    )?;
    steps.report.key = Some(key.fingerprint());
    // 5. The payload is a statement, 6. of the kind that signs images, 7. about this image, 8. with the demanded
    // annotations.
    let statement = steps.run("payload", Statement::parse(&envelope.payload))?;
    if conditions.any_predicate_type {
        steps.skip("predicate", "the caller accepts any predicate type");
    } else {
        steps.run("predicate", signs_images(&statement))?;
    }
    let mut annotations = BTreeMap::new();
    if conditions.check_claims {
        steps.run("digest", names(&statement, image))?;
        annotations = steps.run("annotations", annotations_of(&statement, image, policy))?;
    } else {
        for name in ["digest", "annotations"] {
            steps.skip(name, "the caller switched the claims off");
        }
    }
    // 9. An entry in a transparency log is of this signature, this key and this payload.
    let subject = || Subject::envelope(&envelope, key);
    let proof = log::check(Ok(bundle.log_entries), subject, policy, asked, steps)?;
    // 10. Timestamps: with a key they are not demanded, and without a trusted authority they prove nothing.
    let reason = if bundle.timestamps.is_empty() { "the bundle has none" } else { "no trusted root" };
    steps.skip("timestamp", reason);
    Ok(VerifiedSignature {
        format: "bundle",
        payload: envelope.payload.clone(),
        key_fingerprint: key.fingerprint(),
        docker_reference: String::new(),
        annotations,
        log: proof,
    })
}

fn envelope(signature: &BundleSignature, bytes: &[u8], conditions: Conditions) -> Result<(Bundle, Envelope)> {
    let refused = |what: &str| Error::new(Code::SignatureInvalid, what.to_owned());
    if !signature.descriptor.media_type.starts_with(media_type::SIGSTORE_BUNDLE_PREFIX) {
        let shown: String = signature.descriptor.media_type.chars().take(100).collect();
        return Err(refused(&format!("a layer of type {shown:?} is no bundle")));
    }
    // Only who asked for attestations too reads what only attestations need.
    let most = if conditions.any_predicate_type { sigstore::MAX_ATTESTATION_BYTES } else { sigstore::MAX_BYTES };
    let mut bundle = Bundle::parse(bytes, most)?;
    if bundle.minor_version < 3 {
        return Err(refused("bundles on images are of version 0.3, this one is older"));
    }
    let Content::Envelope(envelope) = &mut bundle.content else {
        return Err(refused("the bundle signs a blob, not an image"));
    };
    if envelope.payload_type != dsse::IN_TOTO {
        let shown: String = envelope.payload_type.chars().take(80).collect();
        return Err(refused(&format!("the payload's type is {shown:?}, expected {:?}", dsse::IN_TOTO)));
    }
    let envelope = envelope.clone();
    Ok((bundle, envelope))
}

fn signs_images(statement: &Statement) -> Result<()> {
    if statement.predicate_type == statement::COSIGN_SIGN {
        return Ok(());
    }
    let shown: String = statement.predicate_type.chars().take(100).collect();
    Err(Error::new(Code::PayloadMismatch, format!("it is an attestation of type {shown:?}, not a signature")))
}

fn names(statement: &Statement, image: &Digest) -> Result<()> {
    if statement.subjects_of(image).next().is_some() {
        return Ok(());
    }
    let shown: Vec<String> = statement
        .subjects
        .iter()
        .flat_map(|subject| &subject.digests)
        .take(3)
        .map(|(algorithm, hex)| format!("{algorithm:.20}:{hex:.128}"))
        .collect();
    Err(Error::new(Code::PayloadMismatch, format!("it signs another image: {}", shown.join(", "))))
}

/// The annotations of the first subject that is the image and carries the demanded ones.
fn annotations_of(statement: &Statement, image: &Digest, policy: &Policy) -> Result<BTreeMap<String, Value>> {
    let mut refused = None;
    for subject in statement.subjects_of(image) {
        match demanded_annotations(&subject.annotations, policy) {
            Ok(()) => return Ok(subject.annotations.clone()),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| Error::new(Code::PayloadMismatch, "no subject is the image")))
}
