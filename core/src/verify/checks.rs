//! The judgement of an image: each signature by its format's checks, then all of them by the policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::evidence::{Evidence, Payload, SignatureEvidence, Unread};
use super::log::LogAnswer;
use super::policy::Policy;
use super::report::{Check, CheckResult, Report, SCHEMA, SignatureReport, UnreadReport, Verdict};
use super::verified::{Verification, Verified, VerifiedSignature};
use super::{bundles, legacy};
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::Descriptor;
use crate::trust::Subject;

/// What the caller allows beyond the rules. The default is the strictest.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// Check what the payload claims (digest, type); cosign's `--check-claims`.
    pub check_claims: bool,
    /// Accept payloads of any `type`.
    pub any_payload_type: bool,
    /// Signatures of March 2021 were asked for: their digest may lack `sha256:`.
    pub seed_form: bool,
    /// Count bundles of any predicate type as signatures, as cosign 3.1 does: attestations by the same key too.
    pub any_predicate_type: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Conditions { check_claims: true, any_payload_type: false, seed_form: false, any_predicate_type: false }
    }
}

/// Error messages list at most this many reasons, so that 1,000 bad signatures stay readable.
const MAX_REASONS: usize = 10;

/// Payloads of accepted signatures held for the caller, in bytes, at most; a signer that the policy trusts can ask for no
/// more memory than this.
const MAX_HELD: usize = 64 << 20;

/// Judges `evidence` by `policy`.
///
/// # Errors
/// Those of [`Judge::finish`].
pub fn judge(evidence: &Evidence, policy: &Policy, conditions: Conditions) -> Result<Verified<Verification>> {
    let mut judge = Judge::new(&evidence.digest, &evidence.reference, policy, conditions)?;
    for unread in &evidence.unread {
        judge.unread(unread);
    }
    for signature in &evidence.signatures {
        judge.signature(signature);
    }
    judge.finish()
}

/// A judgement in the making: signatures are shown to it one by one and need not be kept, so that a thousand bad ones do
/// not fill the memory.
#[derive(Debug, Clone)]
pub struct Judge<'a> {
    digest: &'a Digest,
    policy: &'a Policy,
    conditions: Conditions,
    signatures: Vec<VerifiedSignature>,
    held: usize,
    first_unread: Option<Error>,
    report: Report,
}

impl<'a> Judge<'a> {
    /// Nothing was seen yet of the image `digest`, which is called `reference`.
    ///
    /// # Errors
    /// [`Code::PolicyEmpty`] for a policy that demands nothing; [`Code::Argument`] for one that demands annotations whose
    /// check is switched off.
    pub fn new(digest: &'a Digest, reference: &str, policy: &'a Policy, conditions: Conditions) -> Result<Judge<'a>> {
        policy.check()?;
        if !conditions.check_claims && !policy.annotations().is_empty() {
            return Err(Error::new(
                Code::Argument,
                "annotations are part of the claims: they cannot be demanded with the claims unchecked",
            ));
        }
        let mut insecure = Vec::new();
        if !conditions.check_claims {
            insecure.push("claims not checked");
        }
        if conditions.any_payload_type {
            insecure.push("any payload type");
        }
        if conditions.any_predicate_type {
            insecure.push("any predicate type");
        }
        let report = Report {
            schema: SCHEMA,
            reference: reference.to_owned(),
            digest: digest.to_string(),
            verdict: Verdict::Unknown,
            threshold: policy.threshold(),
            signers: Vec::new(),
            signatures: Vec::new(),
            unread: Vec::new(),
            notes: Vec::new(),
            insecure,
        };
        Ok(Judge { digest, policy, conditions, signatures: Vec::new(), held: 0, first_unread: None, report })
    }

    /// A place that could not be read.
    pub fn unread(&mut self, unread: &Unread) {
        self.report.unread.push(unread_report(&unread.place, &unread.error));
        self.first_unread.get_or_insert_with(|| unread.error.clone());
    }

    /// Something the caller should know that changes no verdict.
    pub fn note(&mut self, note: impl Into<String>) {
        self.report.notes.push(note.into());
    }

    /// Whether the policy is met already.
    pub fn is_met(&self) -> bool {
        self.report.signers.len() >= self.policy.threshold()
    }

    /// Checks one signature by what stands beside it; no transparency log was asked about it.
    pub fn signature(&mut self, signature: &SignatureEvidence) {
        self.signature_and_log(signature, &LogAnswer::NotAsked);
    }

    /// What a transparency log is to be asked for: this signature is all that the policy demands, but for an entry in the
    /// log, which is not beside it. `None` when the log's answer could change nothing.
    pub fn wants_log(&self, signature: &SignatureEvidence) -> Option<Subject> {
        if !self.policy.requires_tlog() {
            return None;
        }
        self.examine(signature, &LogAnswer::NotAsked).2
    }

    /// All checks of one signature: how they went, what was verified, and what a log would have to be asked for.
    fn examine(
        &self,
        signature: &SignatureEvidence,
        asked: &LogAnswer,
    ) -> (SignatureReport, Result<VerifiedSignature, ()>, Option<Subject>) {
        let (place, format, index) = match signature {
            SignatureEvidence::Legacy(s) => (&s.place, "legacy", s.layer),
            SignatureEvidence::Bundle(s) => (&s.place, "bundle", s.index),
        };
        let mut report = SignatureReport {
            place: place.clone(),
            format,
            index,
            verdict: Verdict::Refused,
            key: None,
            checks: Vec::new(),
        };
        let mut steps = Steps::new(&mut report);
        let outcome = match signature {
            SignatureEvidence::Legacy(signature) => {
                legacy::check(signature, self.digest, self.policy, self.conditions, asked, &mut steps)
            }
            SignatureEvidence::Bundle(signature) => {
                bundles::check(signature, self.digest, self.policy, self.conditions, asked, &mut steps)
            }
        };
        let wanted = steps.wanted;
        (report, outcome, wanted)
    }

    /// Checks one signature by what stands beside it and what a transparency log said about it.
    pub fn signature_and_log(&mut self, signature: &SignatureEvidence, asked: &LogAnswer) {
        let (place, index, bytes) = match signature {
            SignatureEvidence::Legacy(s) => (&s.place, s.layer, &s.payload),
            SignatureEvidence::Bundle(s) => (&s.place, s.index, &s.bundle),
        };
        let (mut report, outcome, _) = self.examine(signature, asked);
        let stopped_at = report.checks.last().map_or("", |check| check.name);
        let unread = match (bytes, asked) {
            (Payload::Unread(error), _) => Some(error.clone()),
            // All else holds, and the log could not be heard.
            (_, LogAnswer::Unread(error)) if stopped_at == "log" => Some(error.clone()),
            _ => None,
        };
        let unread = match outcome {
            Ok(verified) => {
                self.held = self.held.saturating_add(verified.payload.len());
                if self.held <= MAX_HELD {
                    report.verdict = Verdict::Verified;
                    if !self.report.signers.contains(&verified.key_fingerprint) {
                        self.report.signers.push(verified.key_fingerprint.clone());
                    }
                    self.signatures.push(verified);
                    None
                } else {
                    let what = format!("the accepted payloads have more than {MAX_HELD} bytes");
                    Some(Error::new(Code::TooLarge, what).with("limit", MAX_HELD as u64))
                }
            }
            Err(()) => unread,
        };
        if let Some(error) = unread {
            report.verdict = Verdict::Unknown;
            let place = match signature {
                SignatureEvidence::Legacy(_) => format!("{place} layer {index}"),
                SignatureEvidence::Bundle(_) => place.clone(),
            };
            self.report.unread.push(unread_report(&place, &error));
            self.first_unread.get_or_insert(error);
        }
        self.report.signatures.push(report);
    }

    /// The verdict.
    ///
    /// # Errors
    /// [`Code::NoSignatures`], [`Code::NoSignatureMatches`] or [`Code::Threshold`] when the evidence was read and does not
    /// suffice; the reader's own code when not enough could be read. All carry the [`Report`].
    pub fn finish(mut self) -> Result<Verified<Verification>> {
        self.report.verdict = if self.is_met() {
            Verdict::Verified
        } else if self.first_unread.is_some() {
            Verdict::Unknown
        } else {
            Verdict::Refused
        };
        let report = self.report;
        if report.verdict == Verdict::Verified {
            return Ok(Verified::assertion(Verification {
                digest: self.digest.clone(),
                reference: report.reference.clone(),
                signatures: self.signatures,
                report,
            }));
        }
        let error = match self.first_unread {
            Some(error) => error.context(format!("{}: the signatures could not all be read", report.reference)),
            None => refusal(self.policy, &report),
        };
        Err(error
            .with("reference", report.reference.as_str())
            .with("report", serde_json::to_value(&report).unwrap_or_default())
            .attach(Arc::new(report)))
    }
}

fn unread_report(place: &str, error: &Error) -> UnreadReport {
    UnreadReport { place: place.to_owned(), code: error.code().number(), message: error.message().to_owned() }
}

/// The error of a verification whose evidence was all read.
pub(super) fn refusal(policy: &Policy, report: &Report) -> Error {
    let image = &report.reference;
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

/// The checks of one signature as they are made; they go into its report. The first that fails ends them.
pub(super) struct Steps<'a> {
    pub(super) report: &'a mut SignatureReport,
    /// What a transparency log would have to be asked for.
    pub(super) wanted: Option<Subject>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(report: &'a mut SignatureReport) -> Steps<'a> {
        Steps { report, wanted: None }
    }

    pub(super) fn run<T>(&mut self, name: &'static str, outcome: Result<T>) -> Result<T, ()> {
        let (result, reason, outcome) = match outcome {
            Ok(value) => (CheckResult::Passed, String::new(), Ok(value)),
            Err(error) => (CheckResult::Failed, error.message().to_owned(), Err(())),
        };
        self.report.checks.push(Check { name, result, reason });
        outcome
    }

    pub(super) fn skip(&mut self, name: &'static str, reason: &str) {
        self.report.checks.push(Check { name, result: CheckResult::Skipped, reason: reason.to_owned() });
    }
}

/// The bytes of a signature, checked against the descriptor that names them.
pub(super) fn content<'a>(bytes: &'a Payload, descriptor: &Descriptor, what: &str) -> Result<&'a [u8]> {
    let lies = |about: &str| Err(Error::new(Code::Content, format!("the {what} {about}")));
    match bytes {
        Payload::Read(bytes) if bytes.len() as u64 != descriptor.size => lies("has not the size that its layer says"),
        Payload::Read(bytes) if !descriptor.digest.matches(bytes) => lies("is not what its layer's digest says"),
        Payload::Read(bytes) => Ok(bytes),
        Payload::Bad(error) | Payload::Unread(error) => Err(error.clone()),
    }
}

/// Whether the signed annotations hold every demanded one with exactly its text.
pub(super) fn demanded_annotations(signed: &BTreeMap<String, Value>, policy: &Policy) -> Result<()> {
    for (key, wanted) in policy.annotations() {
        if signed.get(key).and_then(Value::as_str) != Some(wanted.as_str()) {
            return Err(Error::new(Code::AnnotationMismatch, format!("missing or incorrect annotation {key:?}")));
        }
    }
    Ok(())
}
