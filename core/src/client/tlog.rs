//! The transparency log, as sign and verify use it: whether an image may be told about at all, the upload, the search.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Client, TlogUpload};
use crate::bundle::rekor::{self, Logged};
use crate::bundle::sigstore::LogEntry;
use crate::call::Call;
use crate::digest::Digest;
use crate::encoding::hex;
use crate::error::{Code, Error, Result};
use crate::oci::ImageRef;
use crate::registry::{Transport, TransportOptions};
use crate::sigstore::{Rekor, proposal};
use crate::trust::{self, Subject};
use crate::verify::{LogAnswer, Policy};

/// How many signatures of one image are looked for in the log; each takes a request or more.
pub(super) const MOST_SEARCHES: usize = 64;

/// Whether a signature went to the transparency log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlogOutcome {
    /// That was not asked for.
    #[default]
    NotAsked,
    /// It did.
    Uploaded,
    /// It did, although the image is private, as was asked for.
    ForcedPrivate,
    /// It did not, since the image is private.
    SkippedPrivate,
}

impl TlogOutcome {
    /// `not_asked`, `uploaded`, `forced_private` or `skipped_private`.
    pub fn name(self) -> &'static str {
        match self {
            TlogOutcome::NotAsked => "not_asked",
            TlogOutcome::Uploaded => "uploaded",
            TlogOutcome::ForcedPrivate => "forced_private",
            TlogOutcome::SkippedPrivate => "skipped_private",
        }
    }

    pub(super) fn is_uploaded(self) -> bool {
        matches!(self, TlogOutcome::Uploaded | TlogOutcome::ForcedPrivate)
    }
}

/// An entry that a signature got in the transparency log, as the log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// The log's address.
    pub url: String,
    /// The entry's name in the log.
    pub uuid: String,
    /// False when the log had it already.
    pub created: bool,
    /// The entry.
    pub entry: LogEntry,
}

impl LogRecord {
    /// `{"url", "uuid", "created", "index", "log_id", "integrated_time", "proof": {"index", "tree_size", "root",
    /// "hashes", "checkpoint"}}`, hashes as lower-case hex.
    pub fn to_value(&self) -> Value {
        let proof = self.entry.proof.as_ref().map(|proof| {
            json!({
                "index": proof.index,
                "tree_size": proof.tree_size,
                "root": hex::encode(&proof.root),
                "hashes": proof.hashes.iter().map(|hash| hex::encode(hash)).collect::<Vec<_>>(),
                "checkpoint": proof.checkpoint,
            })
        });
        json!({
            "url": self.url,
            "uuid": self.uuid,
            "created": self.created,
            "index": self.entry.index,
            "log_id": hex::encode(&self.entry.log_id),
            "integrated_time": self.entry.integrated_time,
            "proof": proof,
        })
    }
}

impl Client {
    /// The transparency log of this client's options.
    pub(super) fn rekor(&self) -> Result<Rekor> {
        // With an image in a layout a caller may have none.
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::new(Code::Internal, "a transparency log can only be asked in a tokio runtime"));
        }
        Rekor::new(self.transport()?, &self.0.options.rekor_url)
    }

    /// Whether a signature of `image` goes to the log. Of a private image everybody would learn its digest and who signed
    /// it: so the registry is asked for it as a stranger would ask, before anything is written.
    pub(super) async fn may_be_logged(
        &self,
        image: &ImageRef,
        digest: &Digest,
        wanted: TlogUpload,
        call: &Call,
    ) -> Result<TlogOutcome> {
        if wanted == TlogUpload::Never {
            return Ok(TlogOutcome::NotAsked);
        }
        Ok(match (self.is_public(image, digest, call).await?, wanted) {
            (true, _) => TlogOutcome::Uploaded,
            (false, TlogUpload::Always) => TlogOutcome::ForcedPrivate,
            (false, _) => TlogOutcome::SkippedPrivate,
        })
    }

    async fn is_public(&self, image: &ImageRef, digest: &Digest, call: &Call) -> Result<bool> {
        let ImageRef::Registry(image) = image else { return Ok(false) };
        let stranger =
            Arc::new(Transport::new(TransportOptions { anonymous: true, ..self.0.options.transport.clone() })?);
        let found = stranger.get_manifest(image.registry(), image.repository(), &digest.to_string(), call).await;
        match found {
            Ok(found) => Ok(found.is_some()),
            Err(error) if matches!(error.code(), Code::Auth | Code::Denied) || error.status() == Some(404) => Ok(false),
            Err(error) => Err(error.context("whether the image is public could not be found out; nothing was logged")),
        }
    }

    /// Adds a signature to the log, or finds that it is there.
    pub(super) async fn log(&self, subject: &Subject, call: &Call) -> Result<LogRecord> {
        let log = self.rekor()?;
        let uploaded = log.upload(&proposal(subject)?, call).await?;
        let Logged { uuid, entry } = uploaded.logged;
        // What is stored beside the signature must be about it: a log that mixes entries up would make it a bad one.
        trust::is_about(&entry, subject).map_err(|error| {
            Error::new(Code::Protocol, format!("transparency log {}: {}", log.url(), error.message()))
        })?;
        Ok(LogRecord { url: log.url().to_owned(), uuid, created: uploaded.created, entry })
    }
}

/// The annotation that holds the entry beside a legacy signature.
///
/// # Errors
/// [`Code::Protocol`] when the log has given no promise.
pub(super) fn annotation(record: &LogRecord) -> Result<String> {
    rekor::annotation(&record.entry).ok_or_else(|| {
        let what = format!("transparency log {}: its entry has no signed timestamp", record.url);
        Error::new(Code::Protocol, what)
    })
}

/// Asks the log about one signature. A log that is silent is a place that could not be read; only the caller's own limits
/// end the call.
pub(super) async fn ask(log: &Rekor, subject: &Subject, policy: &Policy, call: &Call) -> Result<LogAnswer> {
    let good =
        |found: &[Logged]| found.iter().any(|logged| trust::check_included(logged, subject, policy.trusted()).is_ok());
    match log.find(subject, good, call).await {
        Ok(found) => Ok(LogAnswer::Entries(found)),
        Err(error) => {
            call.check()?;
            match error.code() {
                Code::Internal | Code::Argument => Err(error),
                _ => Ok(LogAnswer::Unread(error)),
            }
        }
    }
}
