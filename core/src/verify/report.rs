//! What was checked and how it went, as data. A report never holds a payload: what is not verified cannot be read.

use serde::Serialize;

use crate::error::Error;

/// The outcome of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The policy is met.
    Verified,
    /// Evidence was read and does not meet the policy.
    Refused,
    /// Not enough evidence could be read.
    Unknown,
}

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// It holds.
    Passed,
    /// It does not hold.
    Failed,
    /// It was not made.
    Skipped,
}

/// One check of one signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// `encoding`, `content`, `key`, `certificate`, `payload`, `predicate`, `digest`, `annotations`, `log`, `timestamp`.
    pub name: &'static str,
    /// How it went.
    pub result: CheckResult,
    /// Why it failed or was skipped; empty when it passed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// All checks of one signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignatureReport {
    /// Where it was found.
    pub place: String,
    /// `legacy` or `bundle`.
    pub format: &'static str,
    /// Its number in that place, from 0.
    pub index: usize,
    /// Whether it counts.
    pub verdict: Verdict,
    /// The fingerprint of the key that it verifies with, lower-case hex of SHA-256 over the SPKI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The checks, in the order they were made; the first failed one ends them.
    pub checks: Vec<Check>,
}

impl SignatureReport {
    /// Why the signature does not count.
    pub fn reason(&self) -> Option<&str> {
        self.checks.iter().find(|check| check.result == CheckResult::Failed).map(|check| check.reason.as_str())
    }
}

/// A place that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadReport {
    /// Which place.
    pub place: String,
    /// The number of the error code.
    pub code: i32,
    /// Why.
    pub message: String,
}

/// What was checked, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The version of this report's shape.
    pub schema: &'static str,
    /// The image, pinned by digest.
    pub reference: String,
    /// The image's digest.
    pub digest: String,
    /// The outcome.
    pub verdict: Verdict,
    /// How many distinct signers were needed.
    pub threshold: usize,
    /// The fingerprints of the distinct keys that signed acceptably.
    pub signers: Vec<String>,
    /// Every signature that was looked at.
    pub signatures: Vec<SignatureReport>,
    /// Places that could not be read.
    pub unread: Vec<UnreadReport>,
    /// What changes no verdict and should be known: an attestation that was passed over, a journal that cannot be listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The checks that the caller switched off, by name.
    pub insecure: Vec<&'static str>,
}

/// The shape of [`Report`].
pub const SCHEMA: &str = "libcosign.report.v1";

impl Report {
    /// The report as one line of JSON.
    pub fn json(&self) -> String {
        // Only strings, numbers and lists: serialising cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Error {
    /// The report of a verification that did not succeed.
    pub fn report(&self) -> Option<&Report> {
        self.attachment()
    }
}
