//! Rekor v1, a transparency log over HTTP: entries are added, looked up by name, and searched for.
//!
//! The log is asked, never believed: its answers are entries as it tells them, and it is asked for no key.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::bundle::rekor::{self, Logged};
use crate::call::Call;
use crate::crypto::{Hash, KeyAlgorithm};
use crate::encoding::hex;
use crate::error::{Code, Error, Result};
use crate::registry::{ServiceAnswer, ServiceAsk, ServiceUrl, Transport};
use crate::trust::Subject;

/// The public log, which cosign uses unless told otherwise.
pub const PUBLIC_REKOR: &str = "https://rekor.sigstore.dev";

/// Bytes of one entry as the log answers it: an attestation stored beside it included.
const ENTRY: u64 = 8 << 20;
/// Bytes of the answer to a search.
const ENTRIES: u64 = 32 << 20;
/// Bytes of the names that an index answers.
const NAMES: u64 = 1 << 20;
/// Names that the log takes in one request (its `openapi.yaml`).
const NAMES_AT_ONCE: usize = 10;
/// Names that are looked at for one signature.
const NAMES_PER_SIGNATURE: usize = 100;

/// A log at an address.
#[derive(Debug, Clone)]
pub struct Rekor {
    transport: Arc<Transport>,
    service: ServiceUrl,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The entry as the log tells it.
    pub logged: Logged,
    /// False when the log had it already.
    pub created: bool,
}

impl Rekor {
    /// The log at `url`. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Code::Argument`] for an address that is not https, nor plain http where that is allowed.
    pub fn new(transport: Arc<Transport>, url: &str) -> Result<Rekor> {
        let service = transport.service("transparency log", url)?;
        Ok(Rekor { transport, service })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        self.service.as_str()
    }

    async fn ask(
        &self,
        what: &str,
        path: String,
        json: Option<&Value>,
        cap: u64,
        call: &Call,
    ) -> Result<ServiceAnswer> {
        let text = json.map(Value::to_string);
        // An upload of what is there already answers 409, a search that proposes what cannot be an entry 400.
        let allowed: &[u16] = match what {
            UPLOAD => &[409],
            SEARCH => &[400],
            _ => &[],
        };
        let ask = ServiceAsk { path: format!("api/v1/{path}"), json: text.as_deref(), cap, allowed, what };
        self.transport.ask_service(&self.service, &ask, call).await
    }

    /// Adds an entry. What is there already is no error: then the entry that is there is fetched.
    ///
    /// # Errors
    /// [`Code::Protocol`] when the log refuses it or answers nonsense, other codes of class "unknown".
    pub async fn upload(&self, proposal: &Value, call: &Call) -> Result<Uploaded> {
        let answer = self.ask(UPLOAD, "log/entries".to_owned(), Some(proposal), ENTRY, call).await?;
        if answer.status != 409 {
            return Ok(Uploaded { logged: self.one(&answer.body)?, created: true });
        }
        // Of the place that it names only the entry's name is used: the log is asked where it was asked before.
        let location = answer.location.unwrap_or_default();
        let uuid = location.rsplit('/').next().unwrap_or_default();
        if !rekor::is_uuid(uuid) {
            return Err(self.error("it has such an entry and does not say which"));
        }
        Ok(Uploaded { logged: self.entry(uuid, call).await?, created: false })
    }

    /// The entry with this name.
    ///
    /// # Errors
    /// [`Code::Argument`] for what is no name; [`Code::ServiceNotFound`] when the log has no such entry.
    pub async fn entry(&self, uuid: &str, call: &Call) -> Result<Logged> {
        if !rekor::is_uuid(uuid) {
            return Err(Error::new(Code::Argument, "the name of a log entry has 64 or 80 hex digits"));
        }
        let answer = self.ask("read an entry", format!("log/entries/{uuid}"), None, ENTRY, call).await?;
        let logged = self.one(&answer.body)?;
        // A log of one tree leaves that out of its names, or out of what it is asked.
        if logged.uuid.ends_with(uuid) || uuid.ends_with(&logged.uuid) {
            return Ok(logged);
        }
        Err(self.error("it answers another entry than it was asked for"))
    }

    /// The entry at this index of the whole log.
    ///
    /// # Errors
    /// [`Code::ServiceNotFound`] when the log has no such entry.
    pub async fn entry_at(&self, index: u64, call: &Call) -> Result<Logged> {
        let answer = self.ask("read an entry", format!("log/entries?logIndex={index}"), None, ENTRY, call).await?;
        let logged = self.one(&answer.body)?;
        match logged.entry.index == index {
            true => Ok(logged),
            false => Err(self.error("it answers another entry than it was asked for")),
        }
    }

    fn one(&self, body: &[u8]) -> Result<Logged> {
        let mut found = self.entries_of(body, ENTRY)?;
        match (found.pop(), found.is_empty()) {
            (Some(one), true) => Ok(one),
            _ => Err(self.error("it does not answer with one entry")),
        }
    }

    fn entries_of(&self, body: &[u8], cap: u64) -> Result<Vec<Logged>> {
        let cap = usize::try_from(cap).unwrap_or(usize::MAX);
        rekor::parse_answer(body, cap).map_err(|error| error.context(format!("transparency log {}", self.url())))
    }

    fn error(&self, why: &str) -> Error {
        Error::new(Code::Protocol, format!("transparency log {}: {why}", self.url()))
    }

    /// The entries that the log has of what is proposed; `None` when it says that one of them can be no entry.
    ///
    /// # Errors
    /// Codes of class "unknown".
    pub async fn search(&self, proposals: &[Value], call: &Call) -> Result<Option<Vec<Logged>>> {
        let ask = json!({"entries": proposals});
        let answer = self.ask(SEARCH, "log/entries/retrieve".to_owned(), Some(&ask), ENTRIES, call).await?;
        if answer.status == 400 {
            return Ok(None);
        }
        self.entries_of(&answer.body, ENTRIES).map(Some)
    }

    /// The names of the entries about something with this hash.
    ///
    /// # Errors
    /// Codes of class "unknown".
    pub async fn names(&self, hash: Hash, digest: &[u8], call: &Call) -> Result<Vec<String>> {
        let ask = json!({"hash": format!("{}:{}", hash.name(), hex::encode(digest))});
        let answer = self.ask("search its index", "index/retrieve".to_owned(), Some(&ask), NAMES, call).await?;
        rekor::parse_uuids(&answer.body, usize::try_from(NAMES).unwrap_or(usize::MAX))
            .map_err(|error| error.context(format!("transparency log {}", self.url())))
    }

    /// The entries with these names.
    ///
    /// # Errors
    /// Codes of class "unknown".
    pub async fn entries(&self, names: &[String], call: &Call) -> Result<Vec<Logged>> {
        let mut found = Vec::new();
        for names in names.chunks(NAMES_AT_ONCE) {
            let ask = json!({"entryUUIDs": names});
            let path = "log/entries/retrieve".to_owned();
            let answer = self.ask("read entries", path, Some(&ask), ENTRIES, call).await?;
            found.extend(self.entries_of(&answer.body, ENTRIES)?);
        }
        Ok(found)
    }

    /// What the log has about `subject`: first by what its entry would be, which takes one request; then, if `is_enough`
    /// finds nothing in that, by its index.
    ///
    /// # Errors
    /// Codes of class "unknown"; [`Code::TooLarge`] when the index names more entries than are looked at.
    pub async fn find(
        &self,
        subject: &Subject,
        is_enough: impl Fn(&[Logged]) -> bool,
        call: &Call,
    ) -> Result<Vec<Logged>> {
        let proposals = proposals(subject);
        let mut found = match proposals.is_empty() {
            true => Vec::new(),
            false => self.search(&proposals, call).await?.unwrap_or_default(),
        };
        if is_enough(&found) {
            return Ok(found);
        }
        // By its SHA-256; Ed25519ph signatures and those of P-521 are logged with SHA-512. The index knows no SHA-384.
        let mut hashes = vec![Hash::Sha256];
        if subject.envelope.is_none()
            && matches!(subject.key.algorithm(), KeyAlgorithm::Ed25519 | KeyAlgorithm::EcdsaP521)
        {
            hashes.push(Hash::Sha512);
        }
        let mut names: Vec<String> = Vec::new();
        for (hash, digest) in hashes.into_iter().filter_map(|hash| Some((hash, subject.hash(hash)?))) {
            for name in self.names(hash, digest, call).await? {
                if !names.contains(&name) && !found.iter().any(|known| known.uuid == name) {
                    names.push(name);
                }
            }
        }
        if names.len() > NAMES_PER_SIGNATURE {
            let what =
                format!("the log has {} entries about one payload, the limit is {NAMES_PER_SIGNATURE}", names.len());
            return Err(Error::new(Code::TooLarge, what).with("limit", NAMES_PER_SIGNATURE as u64));
        }
        found.extend(self.entries(&names, call).await?);
        Ok(found)
    }
}

const UPLOAD: &str = "add an entry";
const SEARCH: &str = "search";

/// The entries that a log would have of `subject`. Only what the log can check itself: one proposal that it cannot makes
/// it refuse them all. Envelopes have none, since the log keeps the hash of the text they were written as.
pub(crate) fn proposals(subject: &Subject) -> Vec<Value> {
    let Subject { signature, key, content, .. } = subject;
    if subject.envelope.is_some() {
        return Vec::new();
    }
    let rekord = content.as_deref().map(|content| rekor::rekord(content, signature, key));
    let hashed = |hash: Hash| {
        let digest = subject.hash(hash)?;
        key.verify_digest(hash, digest, signature).is_ok().then(|| rekor::hashedrekord(hash, digest, signature, key))
    };
    let proposals = match key.algorithm().hash() {
        None => vec![rekord],
        Some(Hash::Sha256) => vec![hashed(Hash::Sha256), rekord],
        // rekord hashes with SHA-256 whatever the key.
        Some(own) => match hashed(own) {
            Some(own) => vec![Some(own)],
            None => vec![hashed(Hash::Sha256), rekord],
        },
    };
    proposals.into_iter().flatten().collect()
}

/// The entry to upload of `subject`.
///
/// # Errors
/// [`Code::Unsupported`] for a signature that the log takes in no form: Ed25519 over a stream.
pub(crate) fn proposal(subject: &Subject) -> Result<Value> {
    if let Some(envelope) = &subject.envelope {
        return Ok(rekor::dsse(envelope, &subject.key));
    }
    let mut proposals = proposals(subject);
    // Of SHA-256 by a larger curve the log takes only the latter.
    let is_foreign = subject.key.algorithm().hash().is_some_and(|hash| hash != Hash::Sha256);
    let proposal = if is_foreign { proposals.pop() } else { proposals.into_iter().next() };
    proposal.ok_or_else(|| {
        let what = "the transparency log takes an Ed25519 signature only together with what it signs (rekord 0.0.1)";
        Error::new(Code::Unsupported, what)
    })
}
