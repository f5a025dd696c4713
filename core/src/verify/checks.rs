//! The checks, top to bottom in the order they are made.

use std::sync::Arc;

use super::evidence::{Evidence, LegacySignature, Payload, SignatureEvidence};
use super::policy::Policy;
use super::report::{Check, CheckResult, Report, SCHEMA, SignatureReport, UnreadReport, Verdict};
use super::verified::{Verification, Verified, VerifiedSignature};
use crate::bundle::{certificate, legacy};
use crate::digest::Digest;
use crate::encoding::base64;
use crate::error::{Code, Error, Result};
use crate::key::PublicKey;
use crate::oci::media_type;
use crate::payload::simple_signing::{ParseOptions, SimpleSigning};

/// What the caller allows beyond the rules. The default is the strictest.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// Check what the payload claims (digest, type); cosign's `--check-claims`.
    pub check_claims: bool,
    /// Accept payloads of any `type`.
    pub any_payload_type: bool,
    /// Signatures of March 2021 were asked for: their digest may lack `sha256:`.
    pub seed_form: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Conditions { check_claims: true, any_payload_type: false, seed_form: false }
    }
}

/// Error messages list at most this many reasons, so that 1,000 bad signatures stay readable.
const MAX_REASONS: usize = 10;

/// Judges `evidence` by `policy`.
///
/// # Errors
/// [`Code::PolicyEmpty`] for a policy that demands nothing; [`Code::NoSignatures`], [`Code::NoSignatureMatches`] or
/// [`Code::Threshold`] when the evidence was read and does not suffice; the reader's own code when not enough could be
/// read. All but the first carry the [`Report`].
pub fn judge(evidence: &Evidence, policy: &Policy, conditions: Conditions) -> Result<Verified<Verification>> {
    policy.check()?;
    if !conditions.check_claims && !policy.annotations().is_empty() {
        return Err(Error::new(
            Code::Argument,
            "annotations are part of the claims: they cannot be demanded with the claims unchecked",
        ));
    }
    let mut signatures = Vec::new();
    let mut reports = Vec::new();
    let mut signers: Vec<String> = Vec::new();
    let mut unread: Vec<UnreadReport> =
        evidence.unread.iter().map(|unread| unread_report(&unread.place, &unread.error)).collect();
    let mut first_unread = evidence.unread.first().map(|unread| unread.error.clone());

    for SignatureEvidence::Legacy(signature) in &evidence.signatures {
        if let Payload::Unread(error) = &signature.payload {
            let place = format!("{} layer {}", signature.place, signature.layer);
            unread.push(unread_report(&place, error));
            first_unread.get_or_insert_with(|| error.clone());
        }
        let mut report = SignatureReport {
            place: signature.place.clone(),
            format: "legacy",
            index: signature.layer,
            verdict: Verdict::Refused,
            key: None,
            checks: Vec::new(),
        };
        match check_legacy(signature, &evidence.digest, policy, conditions, &mut report) {
            Ok(verified) => {
                report.verdict = Verdict::Verified;
                if !signers.contains(&verified.key_fingerprint) {
                    signers.push(verified.key_fingerprint.clone());
                }
                signatures.push(verified);
            }
            Err(()) if matches!(signature.payload, Payload::Unread(_)) => report.verdict = Verdict::Unknown,
            Err(()) => {}
        }
        reports.push(report);
    }

    let verdict = if signers.len() >= policy.threshold() {
        Verdict::Verified
    } else if first_unread.is_some() {
        Verdict::Unknown
    } else {
        Verdict::Refused
    };
    let mut insecure = Vec::new();
    if !conditions.check_claims {
        insecure.push("claims not checked");
    }
    if conditions.any_payload_type {
        insecure.push("any payload type");
    }
    let report = Report {
        schema: SCHEMA,
        reference: evidence.reference.clone(),
        digest: evidence.digest.to_string(),
        verdict,
        threshold: policy.threshold(),
        signers,
        signatures: reports,
        unread,
        insecure,
    };
    if verdict == Verdict::Verified {
        return Ok(Verified::assertion(Verification {
            digest: evidence.digest.clone(),
            reference: evidence.reference.clone(),
            signatures,
            report,
        }));
    }
    let error = match first_unread {
        Some(error) => error.context(format!("{}: the signatures could not all be read", evidence.reference)),
        None => refusal(evidence, policy, &report),
    };
    Err(error
        .with("reference", evidence.reference.as_str())
        .with("report", serde_json::to_value(&report).unwrap_or_default())
        .attach(Arc::new(report)))
}

fn unread_report(place: &str, error: &Error) -> UnreadReport {
    UnreadReport { place: place.to_owned(), code: error.code().number(), message: error.message().to_owned() }
}

/// The error of a verification whose evidence was all read.
fn refusal(evidence: &Evidence, policy: &Policy, report: &Report) -> Error {
    let image = &evidence.reference;
    if evidence.bundles_not_read {
        return Error::new(Code::Unsupported, format!("{image}: bundle signatures are not read yet"));
    }
    if report.signatures.is_empty() {
        return Error::new(Code::NoSignatures, format!("{image}: no signatures found"));
    }
    if !report.signers.is_empty() {
        return Error::new(
            Code::Threshold,
            format!("{image}: {} of {} needed distinct signers", report.signers.len(), policy.threshold()),
        );
    }
    let mut reasons: Vec<&str> = Vec::new();
    for reason in report.signatures.iter().filter_map(SignatureReport::reason) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let more = reasons.len().saturating_sub(MAX_REASONS);
    reasons.truncate(MAX_REASONS);
    let mut text = reasons.join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more reasons"));
    }
    Error::new(Code::NoSignatureMatches, format!("{image}: no matching signatures: {text}"))
}

/// The checks of one legacy signature, in order. The first that fails ends them.
fn check_legacy(
    signature: &LegacySignature,
    image: &Digest,
    policy: &Policy,
    conditions: Conditions,
    report: &mut SignatureReport,
) -> Result<VerifiedSignature, ()> {
    let mut steps = Steps { report };

    // 1. The layer is a simple-signing payload with a signature in base64.
    let raw = steps.run("encoding", signature_bytes(signature))?;
    // 2. The payload is what the layer's digest says.
    let payload = steps.run("content", payload_bytes(signature))?;
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
    let mut annotations = std::collections::BTreeMap::new();
    if conditions.check_claims {
        let options = ParseOptions { bare_digest: conditions.seed_form, any_type: conditions.any_payload_type };
        let claims = steps.run("payload", SimpleSigning::parse(payload, options))?;
        steps.run("digest", same_digest(&claims, image))?;
        steps.run("annotations", demanded_annotations(&claims, policy))?;
        docker_reference = claims.docker_reference;
        annotations = claims.optional;
    } else {
        for name in ["payload", "digest", "annotations"] {
            steps.skip(name, "the caller switched the claims off");
        }
    }
    // 8. Log entry and timestamp: with a key they are not demanded, and without a trusted root they prove nothing.
    for (name, annotation) in [("log", legacy::LOG_BUNDLE), ("timestamp", legacy::TIMESTAMP)] {
        let there = signature.descriptor.annotations.contains_key(annotation);
        steps.skip(name, if there { "no trusted root" } else { "the signature has none" });
    }
    Ok(VerifiedSignature {
        payload: payload.to_vec(),
        key_fingerprint: key.fingerprint(),
        docker_reference,
        annotations,
    })
}

struct Steps<'a> {
    report: &'a mut SignatureReport,
}

impl Steps<'_> {
    fn run<T>(&mut self, name: &'static str, outcome: Result<T>) -> Result<T, ()> {
        let (result, reason, outcome) = match outcome {
            Ok(value) => (CheckResult::Passed, String::new(), Ok(value)),
            Err(error) => (CheckResult::Failed, error.message().to_owned(), Err(())),
        };
        self.report.checks.push(Check { name, result, reason });
        outcome
    }

    fn skip(&mut self, name: &'static str, reason: &str) {
        self.report.checks.push(Check { name, result: CheckResult::Skipped, reason: reason.to_owned() });
    }
}

fn signature_bytes(signature: &LegacySignature) -> Result<Vec<u8>> {
    let invalid = |what: &str| Error::new(Code::SignatureInvalid, what.to_owned());
    if signature.descriptor.media_type != media_type::SIMPLE_SIGNING {
        let shown: String = signature.descriptor.media_type.chars().take(100).collect();
        return Err(invalid(&format!("a layer of type {shown:?} is no cosign signature")));
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

fn payload_bytes(signature: &LegacySignature) -> Result<&[u8]> {
    match &signature.payload {
        Payload::Read(bytes) if bytes.len() as u64 != signature.descriptor.size => {
            Err(Error::new(Code::Content, "the payload has not the size that its layer says"))
        }
        Payload::Read(bytes) if !signature.descriptor.digest.matches(bytes) => {
            Err(Error::new(Code::Content, "the payload is not what its layer's digest says"))
        }
        Payload::Read(bytes) => Ok(bytes),
        Payload::Bad(error) | Payload::Unread(error) => Err(error.clone()),
    }
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

fn demanded_annotations(claims: &SimpleSigning, policy: &Policy) -> Result<()> {
    for (key, wanted) in policy.annotations() {
        let found = claims.optional.get(key).and_then(serde_json::Value::as_str);
        if found != Some(wanted.as_str()) {
            return Err(Error::new(Code::AnnotationMismatch, format!("missing or incorrect annotation {key:?}")));
        }
    }
    Ok(())
}
