//! Proof that a verification succeeded: a type that only the judgement can make.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde_json::{Value, json};

use super::report::Report;
use crate::digest::Digest;
use crate::trust::LogProof;

/// A `T` that was verified. There is no other way to get one than [`super::judge`].
///
/// ```compile_fail
/// let forged = cosign_core::Verified(());
/// ```
#[derive(Debug, Clone)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(super) fn assertion(value: T) -> Self {
        Verified(value)
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// One signature that counted.
#[derive(Debug, Clone)]
pub struct VerifiedSignature {
    pub(super) format: &'static str,
    pub(super) payload: Vec<u8>,
    pub(super) key_fingerprint: String,
    pub(super) docker_reference: String,
    pub(super) annotations: BTreeMap<String, Value>,
    pub(super) log: Option<LogProof>,
}

impl VerifiedSignature {
    /// `legacy` or `bundle`.
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// The signed bytes, as stored: the simple-signing payload, or the in-toto statement.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Lower-case hex of SHA-256 over the signer's SPKI.
    pub fn key_fingerprint(&self) -> &str {
        &self.key_fingerprint
    }

    /// The name that the signer gave the image; never checked, as in cosign. Empty for bundles, which have none.
    pub fn docker_reference(&self) -> &str {
        &self.docker_reference
    }

    /// The signed annotations: strings when cosign wrote them, any JSON from others.
    pub fn annotations(&self) -> &BTreeMap<String, Value> {
        &self.annotations
    }

    /// What a trusted transparency log proves about it; `None` when no log was judged.
    pub fn log(&self) -> Option<&LogProof> {
        self.log.as_ref()
    }

    /// [`VerifiedSignature::log`] as JSON: `{"index", "log_id", "integrated_time", "included"}`, or null.
    pub fn log_json(&self) -> Value {
        self.log.as_ref().map_or(Value::Null, |log| {
            json!({
                "index": log.index,
                "log_id": log.log_id,
                "integrated_time": log.integrated_time,
                "included": log.included,
            })
        })
    }
}

/// What was verified: use its digest, not the tag, from here on.
#[derive(Debug, Clone)]
pub struct Verification {
    pub(super) digest: Digest,
    pub(super) reference: String,
    pub(super) signatures: Vec<VerifiedSignature>,
    pub(super) report: Report,
}

impl Verification {
    /// The digest that was verified.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The image, pinned: `registry/repo@sha256:…` or `oci:PATH@sha256:…`.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// How many signatures counted.
    pub fn count(&self) -> usize {
        self.signatures.len()
    }

    /// The signatures that counted.
    pub fn signatures(&self) -> &[VerifiedSignature] {
        &self.signatures
    }

    /// Every check of every signature.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// `{"reference", "digest", "signatures": [{"format", "key", "docker_reference", "annotations", "log"}], "report"}`; `log` only
    /// where one was judged.
    pub fn json(&self) -> String {
        let signatures: Vec<Value> = self
            .signatures
            .iter()
            .map(|s| {
                let mut signature = json!({
                    "format": s.format,
                    "key": s.key_fingerprint,
                    "docker_reference": s.docker_reference,
                    "annotations": s.annotations,
                });
                if let (Some(object), Some(_)) = (signature.as_object_mut(), s.log()) {
                    object.insert("log".into(), s.log_json());
                }
                signature
            })
            .collect();
        json!({
            "reference": self.reference,
            "digest": self.digest.to_string(),
            "signatures": signatures,
            "report": serde_json::to_value(&self.report).unwrap_or_default(),
        })
        .to_string()
    }
}
