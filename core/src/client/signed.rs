//! What signing an image did, and how it failed in part.

use serde_json::{Value, json};

use super::Format;
use super::tlog::{LogRecord, TlogOutcome};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::store::{Added, Protection};

/// One signature that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSignature {
    /// The digest that was signed: of the image, or of one that its index leads to.
    pub digest: Digest,
    /// The image, pinned by that digest.
    pub reference: String,
    /// [`Format::Legacy`] or [`Format::Bundle`].
    pub format: Format,
    /// Where it is, whether it is new, and how well it is protected.
    pub added: Added,
    /// Its entry in the transparency log, if it got one.
    pub log: Option<LogRecord>,
}

/// What was signed, and where the signatures are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub(super) digest: Digest,
    pub(super) reference: String,
    pub(super) signatures: Vec<StoredSignature>,
    pub(super) layout_needs_name: bool,
    pub(super) tlog: TlogOutcome,
}

impl Signed {
    /// The digest that was signed.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The image, pinned by that digest.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The signatures: one for each format that was asked for; with [`SignOptions::recursive`](super::SignOptions::recursive)
    /// followed by those of each image that the index leads to, level by level, each digest once.
    pub fn signatures(&self) -> &[StoredSignature] {
        &self.signatures
    }

    /// Where the first signature is: `registry/repo:sha256-<hex>.sig`, or the pinned manifest of a bundle.
    pub fn signature_reference(&self) -> &str {
        self.signatures.first().map_or("", |signature| &signature.added.place)
    }

    /// False when the same key had signed the same payloads already in each format; then nothing new was stored.
    pub fn added(&self) -> bool {
        self.signatures.iter().any(|signature| signature.added.added)
    }

    /// How well the least protected of the signatures is stored.
    pub fn protection(&self) -> &Protection {
        let rank = |protection: &&Protection| match protection {
            Protection::Stored => 0,
            Protection::StoredUnprotected(_) => 1,
            Protection::JournalOnly(_) => 2,
        };
        let all = self.signatures.iter().map(|signature| &signature.added.protection);
        all.max_by_key(rank).unwrap_or(&Protection::Stored)
    }

    /// In a layout whose image has no name: `skopeo copy oci:PATH` cannot tell it from its signatures.
    pub fn layout_needs_name(&self) -> bool {
        self.layout_needs_name
    }

    /// Whether the signatures went to the transparency log.
    pub fn tlog(&self) -> TlogOutcome {
        self.tlog
    }

    /// The result as one line of JSON.
    pub fn json(&self) -> String {
        let signatures: Vec<Value> = self
            .signatures
            .iter()
            .map(|one| stored_json(&one.reference, one.format, &one.added, one.log.as_ref()))
            .collect();
        json!({
            "digest": self.digest.to_string(),
            "reference": self.reference,
            "signature_reference": self.signature_reference(),
            "added": self.added(),
            "status": self.protection().name(),
            "signatures": signatures,
            "layout_needs_name": self.layout_needs_name,
            "tlog": self.tlog.name(),
        })
        .to_string()
    }
}

fn stored_json(reference: &str, format: Format, added: &Added, log: Option<&LogRecord>) -> Value {
    json!({
        "reference": reference,
        "format": format.name(),
        "place": added.place,
        "added": added.added,
        "status": added.protection.name(),
        "reason": added.protection.reason(),
        "log": log.map(LogRecord::to_value),
    })
}

/// What came of one signature among several.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) digest: Digest,
    pub(super) reference: String,
    pub(super) format: Format,
    pub(super) added: Result<Added>,
    pub(super) log: Option<LogRecord>,
}

/// All of them, in order; or, when one failed, its error. Among several that error names the image and the format and, in
/// the detail `signatures`, says of each what became of it: those that are stored stay.
pub(super) fn settle(attempts: Vec<Attempt>) -> Result<Vec<StoredSignature>> {
    let failed = attempts.iter().find_map(|attempt| Some((attempt, attempt.added.as_ref().err()?)));
    if let Some((attempt, error)) = failed {
        return Err(match attempts.as_slice() {
            [_] => error.clone(),
            _ => name_failure(attempt, error, &attempts),
        });
    }
    let stored = |Attempt { digest, reference, format, added, log }| {
        Ok(StoredSignature { digest, reference, format, added: added?, log })
    };
    attempts.into_iter().map(stored).collect()
}

fn name_failure(attempt: &Attempt, error: &Error, attempts: &[Attempt]) -> Error {
    let stored = attempts.iter().filter(|attempt| attempt.added.is_ok()).count();
    let each: Vec<Value> = attempts
        .iter()
        .map(|attempt| match &attempt.added {
            Ok(added) => stored_json(&attempt.reference, attempt.format, added, attempt.log.as_ref()),
            Err(error) => json!({
                "reference": attempt.reference,
                "format": attempt.format.name(),
                "status": "failed",
                "error": error.to_string(),
                "stages": error.detail("stages"),
            }),
        })
        .collect();
    let format = attempt.format.name();
    let error = error.clone().context(match stored {
        0 => format!("the {format} signature of {} is not stored, and no other is", attempt.reference),
        _ => format!(
            "the {format} signature of {} is not stored ({stored} of {} signatures are)",
            attempt.reference,
            attempts.len()
        ),
    });
    error.with("format", format).with("reference", attempt.reference.as_str()).with("signatures", each)
}
