//! Manifests and indexes in and out: what arrives has the digest that was asked for, and what was stored is told apart
//! from what may have been stored.

use std::time::SystemTime;

use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};

use super::answer::{Answer, Whole, media_type};
use super::limits;
use super::request::Ask;
use super::retry::Resend;
use super::transport::Transport;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};

const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// A manifest or index as the registry served it.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// The `Content-Type` without its parameters, lower case; empty when the registry sent none.
    pub media_type: String,
    /// The digest of `bytes`, computed here.
    pub digest: Digest,
    /// The registry's clock (`Date`), if it told.
    pub date: Option<SystemTime>,
}

/// What a registry says of a manifest without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// The media type, without parameters, lower case.
    pub media_type: String,
    /// The digest; under a tag this is the registry's word.
    pub digest: Digest,
    /// The size in bytes.
    pub size: u64,
    /// The registry's clock (`Date`), if it told.
    pub date: Option<SystemTime>,
}

impl From<FetchedManifest> for ManifestHead {
    fn from(found: FetchedManifest) -> ManifestHead {
        ManifestHead {
            media_type: found.media_type,
            digest: found.digest,
            size: found.bytes.len() as u64,
            date: found.date,
        }
    }
}

/// A manifest that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    /// The digest of the bytes sent.
    pub digest: Digest,
    /// The registry's clock (`Date`), if it told.
    pub date: Option<SystemTime>,
    /// Whether the registry says that it keeps the list of referrers (`OCI-Subject`). Its silence means nothing.
    pub oci_subject: bool,
}

/// What became of a manifest that was sent.
#[derive(Debug)]
#[must_use]
pub enum PutOutcome {
    /// The registry has it.
    Stored(StoredManifest),
    /// Nobody knows: there was no complete answer, or somebody in between gave up waiting. It may be stored, or be
    /// stored later; look before writing again.
    Ambiguous(Error),
}

impl PutOutcome {
    /// Stored, or the error that left it open.
    pub fn stored(self) -> Result<StoredManifest> {
        match self {
            PutOutcome::Stored(stored) => Ok(stored),
            PutOutcome::Ambiguous(error) => Err(error),
        }
    }
}

/// The digest that the registry claims in a header; an error when it is none.
fn claimed_digest(ask: &Ask<'_>, headers: &HeaderMap) -> Result<Option<Digest>> {
    let Some(value) = headers.get(CONTENT_DIGEST) else { return Ok(None) };
    match value.to_str().ok().and_then(|text| Digest::parse(text.trim()).ok()) {
        Some(digest) => Ok(Some(digest)),
        None => Err(ask.error(Code::Content, "Docker-Content-Digest is no digest")),
    }
}

/// Whether the bytes that were sent are what the registry says it stored.
pub(super) fn check_stored(ask: &Ask<'_>, answer: &Answer, bytes: &[u8]) -> Result<()> {
    let claimed = answer.headers.get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
    match claimed.and_then(|text| Digest::parse(text.trim()).ok()) {
        Some(claimed) if !claimed.matches(bytes) => {
            Err(ask
                .error(Code::Content, "the registry stored something else: its digest is not that of the bytes sent"))
        }
        _ => Ok(()),
    }
}

/// A success that the registry did not speak: a portal or proxy in front of it answers everything with "200" and a page
/// of its own. Only 201 says that something was made, whatever stands below it.
pub(super) fn is_web_page(answer: &Answer) -> bool {
    answer.status != StatusCode::CREATED && media_type(&answer.headers) == "text/html"
}

pub(super) const WEB_PAGE: &str = "the answer is a web page; a proxy or login page may be in the way";

/// The same for bytes that were sent without being held: `digest` is theirs.
pub(super) fn check_stored_digest(ask: &Ask<'_>, answer: &Answer, digest: &Digest) -> Result<()> {
    let claimed = answer.headers.get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
    match claimed.and_then(|text| Digest::parse(text.trim()).ok()) {
        Some(claimed) if claimed.algorithm() == digest.algorithm() && claimed != *digest => {
            Err(ask
                .error(Code::Content, "the registry stored something else: its digest is not that of the bytes sent"))
        }
        _ => Ok(()),
    }
}

/// Refuses media types that are no image, whoever serves them.
fn check_type(ask: &Ask<'_>, media_type: &str) -> Result<()> {
    match media_type {
        "application/vnd.docker.distribution.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v1+prettyjws" => {
            Err(ask.error(Code::Protocol, "it is an image of schema 1, which has no trustworthy digest; push it again"))
        }
        "text/html" => Err(ask.error(Code::Protocol, WEB_PAGE)),
        _ => Ok(()),
    }
}

impl Transport {
    /// The manifest or index behind a tag or digest; `None` only when the registry itself says that it is not there.
    ///
    /// Under a digest, bytes that do not hash to it are [`Code::Content`].
    pub async fn get_manifest(
        &self,
        host: &str,
        repository: &str,
        reference: &str,
        call: &Call,
    ) -> Result<Option<FetchedManifest>> {
        self.get_manifest_of(host, repository, reference, limits::MANIFEST, call).await
    }

    /// The same for a manifest that may have `cap` bytes at most.
    pub async fn get_manifest_of(
        &self,
        host: &str,
        repository: &str,
        reference: &str,
        cap: u64,
        call: &Call,
    ) -> Result<Option<FetchedManifest>> {
        let call = &limits::with_deadline(call);
        #[cfg(feature = "oci-client")]
        if let Some(client) = &self.through {
            return client.get_manifest(host, repository, reference, call).await;
        }
        let path = format!("manifests/{reference}");
        let ask = Ask::new(Method::GET, host, repository, path, format!("GET manifest {reference}"));
        let ask = ask.header(ACCEPT, MANIFEST_TYPES)?;
        let mut body = Whole::new(cap.min(limits::MANIFEST));
        let Some(answer) = self.get(&ask, &mut body, call).await? else { return Ok(None) };
        let (media_type, bytes) = (media_type(&answer.headers), body.bytes);
        check_type(&ask, &media_type)?;
        let digest = match Digest::parse(reference) {
            Ok(asked) if !asked.matches(&bytes) => {
                return Err(ask.error(Code::Content, "the bytes served do not have the digest that was asked for"));
            }
            Ok(asked) => asked,
            Err(_) => Digest::sha256(&bytes),
        };
        if claimed_digest(&ask, &answer.headers)?.is_some_and(|claimed| !claimed.matches(&bytes)) {
            return Err(ask.error(Code::Content, "the bytes served do not have the digest in Docker-Content-Digest"));
        }
        Ok(Some(FetchedManifest { bytes, media_type, digest, date: answer.date() }))
    }

    /// Media type, digest and size of a manifest: by HEAD where the registry tells all three, else by GET. `None` only
    /// when the registry itself says, to a GET, that it is not there.
    pub async fn head_manifest(
        &self,
        host: &str,
        repository: &str,
        reference: &str,
        call: &Call,
    ) -> Result<Option<ManifestHead>> {
        let call = &limits::with_deadline(call);
        #[cfg(feature = "oci-client")]
        if let Some(client) = &self.through {
            return client.head_manifest(host, repository, reference, call).await;
        }
        let path = format!("manifests/{reference}");
        let ask = Ask::new(Method::HEAD, host, repository, path, format!("HEAD manifest {reference}"));
        let ask = ask.header(ACCEPT, MANIFEST_TYPES)?;
        let mut nothing = Whole::new(0);
        let answer = self.answer(&ask, &mut nothing, call).await.map_err(|failure| failure.error)?;
        match answer.status.as_u16() {
            200 => {
                let media_type = media_type(&answer.headers);
                check_type(&ask, &media_type)?;
                let digest = claimed_digest(&ask, &answer.headers)?;
                let size = answer.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
                if let (Some(digest), Some(size), false) = (digest, size, media_type.is_empty()) {
                    if Digest::parse(reference).is_ok_and(|asked| asked != digest) {
                        return Err(ask.error(Code::Content, "the registry names another digest than was asked for"));
                    }
                    if size > limits::MANIFEST {
                        let why = format!("it declares {size} bytes, the limit is {}", limits::MANIFEST);
                        return Err(ask.error(Code::TooLarge, &why).with("limit", limits::MANIFEST));
                    }
                    return Ok(Some(ManifestHead { media_type, digest, size, date: answer.date() }));
                }
            }
            // A HEAD has no words of its own to prove an absence with.
            404 | 405 => {}
            _ => return Err(answer.error(&ask)),
        }
        let found = self.get_manifest(host, repository, reference, call).await?;
        Ok(found.map(ManifestHead::from))
    }

    /// Stores a manifest or index under a tag or digest.
    ///
    /// Under a tag, which others may write too, it is sent once more only when the attempt before certainly had no
    /// effect; what is left open is [`PutOutcome::Ambiguous`], a cancel or deadline in the middle included. Under a
    /// digest it is repeated like a read.
    pub async fn put_manifest(
        &self,
        host: &str,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
        call: &Call,
    ) -> Result<PutOutcome> {
        #[cfg(feature = "oci-client")]
        if let Some(client) = &self.through {
            let call = &limits::with_deadline(call);
            return client.put_manifest(host, repository, reference, media_type, bytes, call).await;
        }
        let resend = if Digest::parse(reference).is_ok() { Resend::Always } else { Resend::IfSure };
        self.put(host, repository, reference, media_type, bytes, resend, call).await
    }

    /// Stores a manifest under a tag that nobody else writes with other content: it is repeated like a read.
    pub async fn put_own_tag(
        &self,
        host: &str,
        repository: &str,
        tag: &str,
        media_type: &str,
        bytes: &[u8],
        call: &Call,
    ) -> Result<PutOutcome> {
        self.put(host, repository, tag, media_type, bytes, Resend::Always, call).await
    }

    #[allow(clippy::too_many_arguments)]
    async fn put(
        &self,
        host: &str,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
        resend: Resend,
        call: &Call,
    ) -> Result<PutOutcome> {
        let call = &limits::with_deadline(call);
        let path = format!("manifests/{reference}");
        let mut ask = Ask::new(Method::PUT, host, repository, path, format!("PUT manifest {reference}"));
        (ask.body, ask.resend) = (Some(bytes), resend);
        let ask = ask.header(CONTENT_TYPE, media_type)?;
        let mut nothing = Whole::new(0);
        let answer = match self.answer(&ask, &mut nothing, call).await {
            Ok(answer) => answer,
            Err(failure) if failure.doubt => return Ok(PutOutcome::Ambiguous(failure.error)),
            Err(failure) => return Err(failure.error),
        };
        if !matches!(answer.status.as_u16(), 200 | 201 | 202 | 204) {
            return Err(answer.error(&ask));
        }
        if is_web_page(&answer) {
            return Ok(PutOutcome::Ambiguous(ask.error(Code::Protocol, WEB_PAGE)));
        }
        check_stored(&ask, &answer, bytes)?;
        let oci_subject = answer.headers.contains_key(OCI_SUBJECT);
        if oci_subject {
            self.learn(&ask, |known| known.set_referrers(true));
        }
        // Under sha512 the caller's name for it is the one to keep.
        let digest = Digest::parse(reference).unwrap_or_else(|_| Digest::sha256(bytes));
        Ok(PutOutcome::Stored(StoredManifest { digest, date: answer.date(), oci_subject }))
    }

    /// Deletes a tag, or a manifest with all its tags; false when the registry says that it was not there.
    ///
    /// # Errors
    /// [`Code::Unsupported`] when the registry deletes nothing, or no tags (Distribution 2.8 deletes by digest only).
    pub async fn delete_manifest(&self, host: &str, repository: &str, reference: &str, call: &Call) -> Result<bool> {
        let call = &limits::with_deadline(call);
        let path = format!("manifests/{reference}");
        let ask = Ask::new(Method::DELETE, host, repository, path, format!("DELETE manifest {reference}"));
        let mut nothing = Whole::new(0);
        let answer = self.answer(&ask, &mut nothing, call).await.map_err(|failure| failure.error)?;
        match answer.status.as_u16() {
            200 | 202 | 204 => Ok(true),
            _ if answer.says_absent() => Ok(false),
            status @ (400 | 405 | 501) => {
                let error = ask.error(Code::Unsupported, &format!("HTTP {status}: the registry does not delete this"));
                Err(error.with("status", status))
            }
            _ => Err(answer.error(&ask)),
        }
    }
}
