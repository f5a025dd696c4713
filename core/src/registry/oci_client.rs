//! The registry through a client that the program already holds: `oci_client::Client` as the wire, our checks behind it.
//!
//! What the given client does on the wire stays its own: whom TLS trusts, proxies, redirects, plain HTTP, token servers.
//! What comes out of it is judged here as the transport judges its own answers: manifests are taken as raw bytes and
//! hashed, blobs are read as a stream that ends at the declared size, and absence needs the registry's own error code.
//! Four defects of oci-client 0.18 are kept away from callers. It panics on some answers (a manifest pushed by digest and
//! answered without `Location`; an upload `Location` that is no URL; a token with a line break): the first cannot
//! happen, since a digest is passed where it expects a tag, the others are caught. It hides why a token could not be
//! fetched and never renews one: after a 401 it is asked to authenticate again, aloud. Its list of referrers is empty
//! also when it could not read the fallback tag: such a list is not believed. It forgets the status of an answer that
//! carries an OCI error: then every error in that answer must say that the thing is absent.
//!
//! Headers do not come through at all, so nothing is known of the registry's clock or of `OCI-Subject`, and of a list in
//! pages there is no link to follow. Tags go on after the last one served, until there is none or the list is seen to be
//! whole. A manifest whose sending has no complete answer is told apart from one that was refused, as everywhere; nothing
//! is sent again but after a 401.
//!
//! One thing cannot be mended from outside: it collects manifests, lists, tokens and error bodies whole before it hands
//! them over, so their caps apply to what has arrived, and until then only the time is bounded.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use ::oci_client::errors::{DigestError, OciDistributionError, OciEnvelope, OciErrorCode};
use ::oci_client::manifest::{OciDescriptor, OciImageManifest, OciManifest};
use ::oci_client::secrets::RegistryAuth;
use ::oci_client::{Reference, RegistryOperation};
use futures_util::{FutureExt, StreamExt};
use reqwest::StatusCode;
use reqwest::header::HeaderValue;

use super::auth::canonical_host;
use super::limits::{self, bounded};
use super::lists::{Referrers, TagList};
use super::manifests::{FetchedManifest, ManifestHead, PutOutcome, StoredManifest};
use super::request::clean;
use super::retry::by_a_gateway;
use super::tls;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, Document, ImageRef, Manifest, RegistryRef, media_type};

const MANIFEST_TYPES: &[&str] =
    &[media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST, media_type::OCI_INDEX, media_type::DOCKER_MANIFEST_LIST];

/// An `oci_client::Client` and the credentials to use with it.
///
/// Verbs through it must run on the tokio runtime that the client's other requests run on, since the client keeps its
/// connections there.
#[derive(Clone)]
pub struct OciClient {
    client: ::oci_client::Client,
    auth: Vec<(String, RegistryAuth)>,
}

impl fmt::Debug for OciClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&str> = self.auth.iter().map(|(host, _)| host.as_str()).collect();
        f.debug_struct("OciClient").field("hosts", &hosts).finish_non_exhaustive()
    }
}

impl OciClient {
    /// The client as it is: anonymous, but for the registries whose credentials it already has.
    ///
    /// Clones of an `oci_client::Client` share their credentials, and the first ones stay: a registry that is first
    /// touched here without credentials stays anonymous for that client.
    pub fn new(client: ::oci_client::Client) -> OciClient {
        OciClient { client, auth: Vec::new() }
    }

    /// Credentials for one registry (`host[:port]`); no other registry ever sees them. They count only if the client has
    /// none for that registry yet.
    ///
    /// # Errors
    /// [`Code::Argument`] for a bearer token that a header cannot carry.
    pub fn with_auth(mut self, registry: &str, auth: RegistryAuth) -> Result<OciClient> {
        if let RegistryAuth::Bearer(token) = &auth
            && (token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(Error::new(Code::Argument, "the bearer token has characters that a header cannot carry"));
        }
        let registry = canonical_host(registry);
        self.auth.retain(|(host, _)| *host != registry);
        self.auth.push((registry, auth));
        Ok(self)
    }
}

/// One operation, for its errors and its waiting.
struct Step<'a> {
    oci: &'a OciClient,
    host: &'a str,
    repository: &'a str,
    operation: RegistryOperation,
    what: String,
    call: &'a Call,
}

/// What oci-client or the wait for it came to.
type Outcome<T> = std::result::Result<T, Failure>;

enum Failure {
    Theirs(OciDistributionError),
    /// Before or beside the request.
    Ours(Error),
    /// In the middle of it: it may have arrived, or may still arrive.
    Open(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Ours(error)
    }
}

impl<'a> Step<'a> {
    fn new(
        oci: &'a OciClient,
        host: &'a str,
        repository: &'a str,
        operation: RegistryOperation,
        what: String,
        call: &'a Call,
    ) -> Step<'a> {
        Step { oci, host, repository, operation, what, call }
    }

    fn error(&self, code: Code, why: &str) -> Error {
        Error::new(code, format!("registry {}: {} in {}: {why}", self.host, self.what, self.repository))
            .with("registry", self.host)
            .with("repository", self.repository)
            .with("request", self.what.as_str())
    }

    /// The reference that oci-client is given. A digest goes in as a tag as well: the URL is the same, and the one place
    /// where oci-client cuts "the tag" off that URL then finds it.
    fn reference(&self, tag_or_digest: &str) -> Result<Reference> {
        let digest = Digest::parse(tag_or_digest).is_ok();
        let probe = match digest {
            true => format!("{}/{}@{tag_or_digest}", self.host, self.repository),
            false => format!("{}/{}:{tag_or_digest}", self.host, self.repository),
        };
        // It writes host, repository and tag into URLs as they are.
        let checked = RegistryRef::parse(&probe)?;
        let host = canonical_host(checked.registry());
        let named = match digest {
            true => checked.digest().is_some(),
            false => checked.tag() == Some(tag_or_digest),
        };
        if host != canonical_host(self.host) || checked.repository() != self.repository || !named {
            return Err(self.error(Code::Reference, "the repository, tag or digest cannot be part of a URL"));
        }
        Ok(Reference::with_tag(host, self.repository.to_owned(), tag_or_digest.to_owned()))
    }

    fn auth(&self) -> &RegistryAuth {
        let host = canonical_host(self.host);
        let known = self.oci.auth.iter().find(|(of, _)| *of == host);
        known.map_or(&RegistryAuth::Anonymous, |(_, auth)| auth)
    }

    /// Whether the call still lasts, before anything is sent.
    fn begin(&self) -> Result<()> {
        self.call.check().map_err(|error| self.stopped(error))
    }

    /// Names the request in an error that only said "cancelled" or "the deadline passed".
    fn stopped(&self, error: Error) -> Error {
        match error.code() {
            Code::Cancelled | Code::Timeout if error.detail("registry").is_none() => {
                self.error(error.code(), error.message())
            }
            _ => error,
        }
    }

    /// Waits for one call into oci-client: at most `limit`, no longer than the call may last, and a panic in it is an
    /// error.
    async fn wait<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output> {
        let late = || self.error(Code::Timeout, &format!("no answer within {} s; try again later", limit.as_secs()));
        // Nothing of ours is shared with the future, and oci-client's own locks are tokio's, which do not poison.
        let caught = AssertUnwindSafe(future).catch_unwind();
        let waited = bounded(self.call, limit, late, caught).await.map_err(|error| self.stopped(error))?;
        waited
            .map_err(|_| self.error(Code::Protocol, "oci-client cannot cope with the registry's answer (it panicked)"))
    }

    /// One call into oci-client; after a 401 it is made to authenticate again, and if that yields a new token the call
    /// is made once more.
    async fn ask<T, F>(&self, reference: &Reference, limit: Duration, exchange: impl Fn() -> F) -> Outcome<T>
    where
        F: Future<Output = std::result::Result<T, OciDistributionError>>,
    {
        self.oci.client.store_auth_if_needed(reference.resolve_registry(), self.auth()).await;
        self.begin()?;
        let outcome = self.wait(limit, exchange()).await.map_err(Failure::Open)?;
        let unauthorized = matches!(
            outcome,
            Err(OciDistributionError::UnauthorizedError { .. } | OciDistributionError::ServerError { code: 401, .. })
        );
        // A bearer token given by the caller cannot be renewed.
        if !unauthorized || matches!(self.auth(), RegistryAuth::Bearer(_)) {
            return outcome.map_err(Failure::Theirs);
        }
        let renewed = self.oci.client.auth(reference, self.auth(), self.operation);
        match self.wait(limits::OCI_CLIENT_STEP, renewed).await? {
            Ok(Some(_)) => {
                self.begin()?;
                self.wait(limit, exchange()).await.map_err(Failure::Open)?.map_err(Failure::Theirs)
            }
            Ok(None) => outcome.map_err(Failure::Theirs),
            Err(error) => Err(Failure::Ours(self.refusal(error).context("token server"))),
        }
    }

    /// `None` when the registry says in its own words that the thing is not there.
    fn absent<T>(&self, outcome: Outcome<T>) -> Result<Option<T>> {
        match outcome {
            Ok(found) => Ok(Some(found)),
            Err(Failure::Theirs(OciDistributionError::RegistryError { envelope, .. }))
                if says_only(&envelope, ABSENT) =>
            {
                Ok(None)
            }
            Err(failure) => Err(self.failed(failure)),
        }
    }

    fn failed(&self, failure: Failure) -> Error {
        match failure {
            Failure::Ours(error) | Failure::Open(error) => error,
            Failure::Theirs(error) => self.refusal(error),
        }
    }

    /// The error for what oci-client reports. Its own texts hold URLs, which may hold tokens, and whole bodies, so only
    /// what is known to be harmless is passed on.
    fn refusal(&self, error: OciDistributionError) -> Error {
        use OciDistributionError as E;
        const AUTH: &str = "the credentials for this registry are missing or not accepted";
        match error {
            E::UnauthorizedError { .. } => self.error(Code::Auth, &format!("HTTP 401; {AUTH}")).with("status", 401),
            E::AuthenticationFailure(_) => self.error(Code::Auth, "no token was given; the credentials are refused"),
            E::RegistryTokenDecodeError(_) => self.error(Code::Auth, "the answer holds no usable token"),
            E::RegistryError { envelope, .. } => self.said(&envelope),
            E::ServerError { code: status, message, .. } => {
                // On uploads oci-client leaves the registry's error in the text.
                let said = serde_json::from_str::<OciEnvelope>(&message).ok().filter(|said| !said.errors.is_empty());
                let (code, advice) = match status {
                    401 => (Code::Auth, "the credentials for this registry are missing or not accepted"),
                    403 => (Code::Denied, "the credentials do not allow this"),
                    404 => (
                        Code::Protocol,
                        "this is not a registry's own answer, so nothing is known; check the address and proxies",
                    ),
                    409 | 412 => (Code::Conflict, "what is there already may not be replaced"),
                    413 => (Code::TooLarge, "the registry takes nothing this large"),
                    429 => (Code::RateLimited, "wait and try again"),
                    408 | 425 | 500.. => (Code::Network, "try again later"),
                    _ => match said {
                        Some(said) => return self.said(&said).with("status", status),
                        None => (Code::Protocol, "that is no answer to this request"),
                    },
                };
                self.error(code, &format!("HTTP {status}; {advice}")).with("status", status)
            }
            E::RequestError(error) => self.client_error(error),
            E::DigestError(DigestError::VerificationError { .. }) => {
                self.error(Code::Content, "the bytes served do not have the digest that was asked for or declared")
            }
            E::DigestError(_) | E::HeaderValueError(_) => {
                self.error(Code::Protocol, "a digest or a header of the answer is malformed")
            }
            E::IoError(error) => self.io_error(error),
            E::RegistryNoLocationError => {
                self.error(Code::Protocol, "the registry opened an upload without telling where")
            }
            E::SpecViolationError(_) => self.error(Code::Protocol, "the answer's status is not the one that is due"),
            _ => self.error(Code::Protocol, "oci-client cannot make sense of the answer"),
        }
    }

    /// The error for a registry's own words; its status is not known any more.
    fn said(&self, envelope: &OciEnvelope) -> Error {
        let Some(first) = envelope.errors.first() else {
            return self.error(Code::Protocol, "the registry reports an error and does not say which");
        };
        let limited = envelope.errors.iter().any(|error| error.code == OciErrorCode::Toomanyrequests);
        let (code, advice) = match &first.code {
            _ if limited => (Code::RateLimited, "; wait and try again"),
            OciErrorCode::Unauthorized => {
                (Code::Auth, "; the credentials for this registry are missing or not accepted")
            }
            OciErrorCode::Denied => (Code::Denied, "; the credentials do not allow this"),
            OciErrorCode::TagInvalid => (Code::Conflict, "; the tag may not be replaced"),
            OciErrorCode::Other(other) if matches!(other.as_str(), "TAG_IMMUTABLE" | "PRECONDITION") => {
                (Code::Conflict, "; the tag may not be replaced")
            }
            _ => (Code::Protocol, ""),
        };
        let name = serde_json::to_value(&first.code).ok().and_then(|name| name.as_str().map(|name| clean(name, 60)));
        let (name, message) = (name.unwrap_or_default(), clean(&first.message, 200));
        self.error(code, &format!("{name} ({message}){advice}")).with("registry_code", name)
    }

    fn client_error(&self, error: reqwest::Error) -> Error {
        let error = error.without_url();
        if let Some(tls) = tls::tls_error(&error) {
            let why = format!("cannot connect: {}{}", clean(&tls.to_string(), 300), tls::advice(tls));
            return self.error(Code::Tls, &why);
        }
        let mut text = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(inner) = next {
            text = format!("{text}: {inner}");
            next = inner.source();
        }
        self.error(Code::Network, &clean(&text, 300))
    }

    fn io_error(&self, error: std::io::Error) -> Error {
        match error.into_inner().map(|inner| inner.downcast::<reqwest::Error>()) {
            Some(Ok(error)) => self.client_error(*error),
            Some(Err(inner)) if inner.is::<DigestError>() => {
                self.error(Code::Content, "the bytes served do not have the digest that was asked for or declared")
            }
            _ => self.error(Code::Network, "the answer broke off"),
        }
    }
}

/// Whether each error in a registry's answer is one of these. One other among them, or none at all, and nothing is known.
fn says_only(envelope: &OciEnvelope, codes: &[OciErrorCode]) -> bool {
    !envelope.errors.is_empty() && envelope.errors.iter().all(|error| codes.contains(&error.code))
}

/// Whether a request that failed so may have had its effect, or may still have it.
fn leaves_open(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ServerError { code, .. } => StatusCode::from_u16(*code).is_ok_and(by_a_gateway),
        OciDistributionError::RequestError(error) => !error.is_connect() && !error.is_builder(),
        // Of the headers of an answer it reads only the `Location` of a success.
        OciDistributionError::HeaderValueError(_) => true,
        _ => false,
    }
}

/// Codes by which a registry says in its own words that something is not there.
const ABSENT: &[OciErrorCode] =
    &[OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::BlobUnknown, OciErrorCode::NotFound];

/// The media type that a document claims. oci-client does not pass the `Content-Type` on, so an index that leaves its
/// media type out (image-spec allows that) is told by its members.
fn claimed_type(bytes: &[u8]) -> Option<String> {
    // Only a guess: the strict reader compares it and judges the rest.
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    match value.get("mediaType") {
        Some(own) => own.as_str().map(str::to_owned),
        None if value.get("manifests").is_some() => Some(media_type::OCI_INDEX.to_owned()),
        None => Some(media_type::OCI_MANIFEST.to_owned()),
    }
}

impl OciClient {
    /// See [`super::Transport::get_manifest`].
    pub(super) async fn get_manifest(
        &self,
        host: &str,
        repository: &str,
        reference: &str,
        call: &Call,
    ) -> Result<Option<FetchedManifest>> {
        let what = format!("GET manifest {reference}");
        let step = Step::new(self, host, repository, RegistryOperation::Pull, what, call);
        let at = step.reference(reference)?;
        let pull = || self.client.pull_manifest_raw(&at, step.auth(), MANIFEST_TYPES);
        let Some((bytes, _)) = step.absent(step.ask(&at, limits::OCI_CLIENT_STEP, pull).await)? else {
            return Ok(None);
        };
        if u64::try_from(bytes.len()).map_or(true, |length| length > limits::MANIFEST) {
            let why = format!("the answer is larger than {} bytes", limits::MANIFEST);
            return Err(step.error(Code::TooLarge, &why).with("limit", limits::MANIFEST));
        }
        let digest = match Digest::parse(reference) {
            Ok(asked) if !asked.matches(&bytes) => {
                return Err(step.error(Code::Content, "the bytes served do not have the digest that was asked for"));
            }
            Ok(asked) => asked,
            Err(_) => Digest::sha256(&bytes),
        };
        // Without the Content-Type, a web page or an image of schema 1 shows only here.
        let media_type = claimed_type(&bytes).unwrap_or_default();
        Document::parse(&bytes, Some(&media_type)).map_err(|error| step.error(error.code(), error.message()))?;
        Ok(Some(FetchedManifest { bytes: bytes.to_vec(), media_type, digest, date: None }))
    }

    /// See [`super::Transport::head_manifest`]. By GET: of a HEAD oci-client tells the digest alone.
    pub(super) async fn head_manifest(
        &self,
        host: &str,
        repository: &str,
        reference: &str,
        call: &Call,
    ) -> Result<Option<ManifestHead>> {
        Ok(self.get_manifest(host, repository, reference, call).await?.map(ManifestHead::from))
    }

    /// See [`super::Transport::get_blob`].
    pub(super) async fn get_blob(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        size: u64,
        call: &Call,
    ) -> Result<Option<Vec<u8>>> {
        let what = format!("GET blob {digest}");
        let step = Step::new(self, host, repository, RegistryOperation::Pull, what, call);
        let name = digest.to_string();
        let at = step.reference(&name)?;
        // By its digest alone: a descriptor's foreign addresses are never asked.
        let open = || self.client.pull_blob_stream(&at, name.as_str());
        let Some(mut blob) = step.absent(step.ask(&at, limits::OCI_CLIENT_STEP, open).await)? else {
            return Ok(None);
        };
        let too_large =
            || step.error(Code::TooLarge, &format!("the answer is larger than {size} bytes")).with("limit", size);
        if blob.content_length.is_some_and(|length| length > size) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = step.wait(limits::NO_PROGRESS, blob.stream.next()).await? {
            let chunk = chunk.map_err(|error| step.io_error(error))?;
            let length = bytes.len().saturating_add(chunk.len());
            if u64::try_from(length).map_or(true, |length| length > size) {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        if u64::try_from(bytes.len()).ok() != Some(size) {
            let why = format!("{} bytes were served where {size} were declared", bytes.len());
            return Err(step.error(Code::Content, &why));
        }
        if !digest.matches(&bytes) {
            return Err(step.error(Code::Content, "the bytes served do not have the digest that was asked for"));
        }
        Ok(Some(bytes))
    }

    /// See [`super::Transport::put_blob`].
    pub(super) async fn put_blob(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        bytes: &[u8],
        call: &Call,
    ) -> Result<()> {
        let what = format!("upload of blob {digest}");
        let step = Step::new(self, host, repository, RegistryOperation::Push, what, call);
        let name = digest.to_string();
        let at = step.reference(&name)?;
        let push = || self.client.push_blob(&at, bytes.to_vec(), &name);
        match step.ask(&at, limits::OCI_CLIENT_UPLOAD, push).await {
            Ok(_) => Ok(()),
            // oci-client demands 201 and a Location where others take any success: the registry may well have it.
            Err(Failure::Theirs(
                error @ (OciDistributionError::RegistryNoLocationError | OciDistributionError::SpecViolationError(_)),
            )) => {
                let there = || self.client.blob_exists(&at, &name);
                match step.ask(&at, limits::OCI_CLIENT_STEP, there).await {
                    Ok(true) => Ok(()),
                    _ => Err(step.refusal(error)),
                }
            }
            Err(failure) => Err(step.failed(failure)),
        }
    }

    /// See [`super::Transport::put_manifest`].
    pub(super) async fn put_manifest(
        &self,
        host: &str,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
        call: &Call,
    ) -> Result<PutOutcome> {
        let what = format!("PUT manifest {reference}");
        let step = Step::new(self, host, repository, RegistryOperation::Push, what, call);
        let at = step.reference(reference)?;
        let content_type = HeaderValue::from_str(media_type)
            .map_err(|_| step.error(Code::Argument, "the header content-type cannot carry this value"))?;
        let push = || self.client.push_manifest_raw(&at, bytes.to_vec(), content_type.clone());
        match step.ask(&at, limits::OCI_CLIENT_UPLOAD, push).await {
            // 200, 202 or 204 instead of 201: it is stored.
            Ok(_) | Err(Failure::Theirs(OciDistributionError::SpecViolationError(_))) => {
                let digest = Digest::parse(reference).unwrap_or_else(|_| Digest::sha256(bytes));
                Ok(PutOutcome::Stored(StoredManifest { digest, date: None, oci_subject: false }))
            }
            Err(Failure::Open(error)) => Ok(PutOutcome::Ambiguous(error)),
            Err(Failure::Theirs(error)) if leaves_open(&error) => Ok(PutOutcome::Ambiguous(step.refusal(error))),
            Err(failure) => Err(step.failed(failure)),
        }
    }

    /// See [`super::Transport::referrers`]. Where it fell back to the tag, oci-client answers with that tag's list, or an
    /// empty one, and does not say so. So [`Referrers::NoApi`] also stands for a list that names nothing of
    /// `artifact_type` (no bundle where none is given), or nothing that the tag does not name: the caller must read that
    /// tag itself. Of several pages only the first is seen.
    pub(super) async fn referrers(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        artifact_type: Option<&str>,
        call: &Call,
    ) -> Result<Referrers> {
        use OciDistributionError as E;
        let what = format!("GET referrers of {digest}");
        let step = Step::new(self, host, repository, RegistryOperation::Pull, what, call);
        let at = step.reference(&digest.to_string())?.clone_with_digest(digest.to_string());
        let pull = || self.client.pull_referrers(&at, None);
        let list = match step.ask(&at, limits::OCI_CLIENT_STEP, pull).await {
            Ok(list) => list,
            // No such API, by any of the answers that registries without it give.
            Err(Failure::Theirs(E::ServerError { code: 400 | 404 | 405 | 406 | 501, .. })) => {
                return Ok(Referrers::NoApi);
            }
            Err(Failure::Theirs(E::RegistryError { envelope, .. }))
                if says_only(&envelope, ABSENT) || says_only(&envelope, &[OciErrorCode::Unsupported]) =>
            {
                return Ok(Referrers::NoApi);
            }
            Err(Failure::Theirs(
                E::ManifestParsingError(_)
                | E::VersionedParsingError(_)
                | E::UnsupportedMediaTypeError(_)
                | E::UnsupportedSchemaVersionError(_)
                | E::SpecViolationError(_),
            )) => return Ok(Referrers::NoApi),
            Err(failure) => return Err(step.failed(failure)),
        };
        let wanted = |kind: &Option<String>| match (kind.as_deref(), artifact_type) {
            (Some(kind), Some(wanted)) => kind == wanted,
            (Some(kind), None) => kind.starts_with(media_type::SIGSTORE_BUNDLE_PREFIX),
            (None, _) => false,
        };
        if !list.manifests.iter().any(|entry| wanted(&entry.artifact_type)) {
            return Ok(Referrers::NoApi);
        }
        if list.manifests.len() > limits::REFERRERS {
            let why = format!("more than {} manifests refer to it", limits::REFERRERS);
            return Err(step.error(Code::TooLarge, &why).with("limit", limits::REFERRERS));
        }
        let mut list = list;
        list.media_type = Some(media_type::OCI_INDEX.to_owned());
        let bytes = serde_json::to_vec(&list)
            .map_err(|_| step.error(Code::Protocol, "the list of referrers cannot be read"))?;
        if u64::try_from(bytes.len()).map_or(true, |length| length > limits::MANIFEST) {
            return Err(step.error(Code::TooLarge, "the list of referrers is larger than 4 MiB"));
        }
        let parsed = Document::parse(&bytes, Some(media_type::OCI_INDEX));
        let Document::Index(page) = parsed.map_err(|error| step.error(error.code(), error.message()))? else {
            return Err(step.error(Code::Protocol, "the list of referrers is no index"));
        };
        // What the fallback tag holds as well may have come from there.
        let tag = digest.to_string().replace(':', "-");
        if step.reference(&tag).is_ok()
            && let Some(found) = self.get_manifest(host, repository, &tag, call).await?
            && let Ok(Document::Index(index)) = Document::parse(&found.bytes, Some(&found.media_type))
        {
            let there: HashSet<_> = index.manifests.iter().map(|entry| &entry.descriptor.digest).collect();
            if page.manifests.iter().all(|entry| there.contains(&entry.descriptor.digest)) {
                return Ok(Referrers::NoApi);
            }
        }
        let mut digests = HashSet::new();
        let mut entries = page.manifests;
        entries.retain(|entry| {
            let fits = match (artifact_type, entry.descriptor.artifact_type.as_deref()) {
                (Some(wanted), Some(is)) => wanted == is,
                _ => true,
            };
            fits && digests.insert(entry.descriptor.digest.clone())
        });
        Ok(Referrers::Found(entries))
    }

    /// See [`super::Transport::list_tags`].
    ///
    /// # Errors
    /// [`Code::Unsupported`] when the registry cuts its list and does not go on after a tag: how it does go on,
    /// oci-client does not tell.
    pub(super) async fn list_tags(
        &self,
        host: &str,
        repository: &str,
        prefix: &str,
        expected: Option<&str>,
        call: &Call,
    ) -> Result<Option<TagList>> {
        let step = Step::new(self, host, repository, RegistryOperation::Pull, "GET tags".to_owned(), call);
        match self.walk_tags(&step, prefix, true).await? {
            Some(tags) if expected.is_some_and(|tag| !tags.iter().any(|found| found == tag)) => {}
            found => return Ok(found.map(|tags| TagList { tags, date: None })),
        }
        Ok(self.walk_tags(&step, prefix, false).await?.map(|tags| TagList { tags, date: None }))
    }

    /// The tags with `prefix`, asked for from there on or (`from` is false) from the first tag on.
    async fn walk_tags(&self, step: &Step<'_>, prefix: &str, from: bool) -> Result<Option<Vec<String>>> {
        // The tag is no part of the URL.
        let at = step.reference("latest")?;
        let (mut n, mut last) = (limits::TAGS_PAGE, from.then(|| prefix.to_owned()));
        let (mut tags, mut known, mut length) = (Vec::new(), HashSet::new(), 0_u64);
        let mut stuck = false;
        for _ in 0..limits::PAGES {
            let pull = || self.client.list_tags(&at, step.auth(), Some(n), last.as_deref());
            let Some(page) = step.absent(step.ask(&at, limits::OCI_CLIENT_STEP, pull).await)? else {
                return Ok(None);
            };
            let page = page.tags;
            let ascending = page.is_sorted_by(|a, b| a < b);
            let (size, end) = (page.len(), page.last().cloned());
            let mut news = false;
            for tag in page {
                length = length.saturating_add(tag.len() as u64);
                if tag.len() > limits::TAG {
                    return Err(step.error(Code::Protocol, "the list holds a tag that is too long to be one"));
                }
                if !known.insert(tag.clone()) {
                    continue;
                }
                news = true;
                if tag.starts_with(prefix) {
                    tags.push(tag);
                }
            }
            if length > limits::TAG_LIST {
                let why = format!("the list is larger than {} bytes", limits::TAG_LIST);
                return Err(step.error(Code::TooLarge, &why).with("limit", limits::TAG_LIST));
            }
            if tags.len() > limits::TAGS {
                let why = format!("more than {} tags begin with {prefix}", limits::TAGS);
                return Err(step.error(Code::TooLarge, &why).with("limit", limits::TAGS));
            }
            let Some(end) = end else { return Ok(Some(tags)) };
            let past = from && ascending && end.as_str() > prefix && !end.starts_with(prefix);
            if past {
                return Ok(Some(tags));
            }
            if news && !stuck {
                last = Some(end);
                continue;
            }
            // It does not read `last`. One that serves more than was asked for cuts no lists, either, such as
            // Distribution 2.8.
            if size > n || size == 1 {
                return Ok(Some(tags));
            }
            if stuck {
                let why = "the registry cuts its list of tags, and oci-client does not tell how it goes on";
                return Err(step.error(Code::Unsupported, why));
            }
            (n, last, stuck) = (size.saturating_sub(1), None, true);
        }
        let error = step.error(Code::TooLarge, &format!("the list has more than {} pages", limits::PAGES));
        Err(error.with("limit", limits::PAGES))
    }
}

impl TryFrom<&Reference> for RegistryRef {
    type Error = Error;

    /// The same image by go-containerregistry's rules, which decide what is signed. A mirror is not part of the name.
    ///
    /// # Errors
    /// [`Code::Reference`] for a name that these rules refuse or read as another image's.
    fn try_from(reference: &Reference) -> Result<RegistryRef> {
        let text = reference.whole();
        let parsed = RegistryRef::parse(&text)?;
        let same = canonical_host(parsed.registry()) == canonical_host(reference.registry())
            && (parsed.repository() == reference.repository()
                || parsed.repository().strip_prefix("library/") == Some(reference.repository()))
            && parsed.digest().map(Digest::to_string).as_deref() == reference.digest()
            && (parsed.digest().is_some() || parsed.tag() == reference.tag().or(Some("latest")));
        match same {
            true => Ok(parsed),
            false => Err(Error::new(
                Code::Reference,
                format!("{:?} would be read as another image, {parsed}", clean(&text, 200)),
            )),
        }
    }
}

impl TryFrom<&Reference> for ImageRef {
    type Error = Error;

    fn try_from(reference: &Reference) -> Result<ImageRef> {
        RegistryRef::try_from(reference).map(ImageRef::Registry)
    }
}

impl From<&RegistryRef> for Reference {
    /// As oci-client itself would parse it: Docker Hub is `docker.io`.
    fn from(image: &RegistryRef) -> Reference {
        let registry = match canonical_host(image.registry()).as_str() {
            "index.docker.io" => "docker.io".to_owned(),
            _ => image.registry().to_owned(),
        };
        let repository = image.repository().to_owned();
        match image.digest() {
            Some(digest) => Reference::with_digest(registry, repository, digest.to_string()),
            None => Reference::with_tag(registry, repository, image.tag().unwrap_or("latest").to_owned()),
        }
    }
}

impl TryFrom<&OciDescriptor> for Descriptor {
    type Error = Error;

    /// The descriptor with its digest and size checked. Foreign addresses (`urls`) are left behind: nothing is ever read
    /// from them.
    fn try_from(theirs: &OciDescriptor) -> Result<Descriptor> {
        let size = u64::try_from(theirs.size)
            .map_err(|_| Error::new(Code::Protocol, "size must be a whole number that is not negative"))?;
        let digest = Digest::parse(&theirs.digest).map_err(|e| Error::new(Code::Protocol, e.message()))?;
        let mut descriptor = Descriptor::new(&theirs.media_type, digest, size);
        descriptor.annotations = theirs.annotations.clone().unwrap_or_default();
        descriptor.artifact_type.clone_from(&theirs.artifact_type);
        Ok(descriptor)
    }
}

impl TryFrom<&Descriptor> for OciDescriptor {
    type Error = Error;

    /// The same descriptor; inline data has no place in theirs and stays behind.
    fn try_from(ours: &Descriptor) -> Result<OciDescriptor> {
        let size = i64::try_from(ours.size)
            .map_err(|_| Error::new(Code::Protocol, format!("{}: the size is out of range", ours.digest)))?;
        Ok(OciDescriptor {
            media_type: ours.media_type.clone(),
            digest: ours.digest.to_string(),
            size,
            urls: None,
            annotations: (!ours.annotations.is_empty()).then(|| ours.annotations.clone()),
            artifact_type: ours.artifact_type.clone(),
        })
    }
}

impl TryFrom<&OciManifest> for Document {
    type Error = Error;

    /// The manifest or index for reading, under the same rules as one that was fetched. Bytes have a digest, values do
    /// not: what is signed or stored never goes through here.
    fn try_from(theirs: &OciManifest) -> Result<Document> {
        let bytes = serde_json::to_vec(theirs)
            .map_err(|_| Error::new(Code::Protocol, "the manifest cannot be written as JSON"))?;
        Document::parse(&bytes, claimed_type(&bytes).as_deref())
    }
}

impl TryFrom<&Manifest> for OciImageManifest {
    type Error = Error;

    /// The manifest as oci-client's type. Pushing that value would write other bytes and so another digest: push bytes.
    fn try_from(ours: &Manifest) -> Result<OciImageManifest> {
        Ok(OciImageManifest {
            schema_version: 2,
            media_type: Some(ours.media_type.clone()),
            config: (&ours.config).try_into()?,
            layers: ours.layers.iter().map(OciDescriptor::try_from).collect::<Result<_>>()?,
            subject: ours.subject.as_ref().map(OciDescriptor::try_from).transpose()?,
            artifact_type: ours.artifact_type.clone(),
            annotations: (!ours.annotations.is_empty()).then(|| ours.annotations.clone()),
        })
    }
}
