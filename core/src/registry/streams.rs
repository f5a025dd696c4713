//! Blobs that are never held whole: from a registry piece by piece, and into one with a single request.
//!
//! The pieces of a [`Pieces`] are checked on the way: the last one is handed on only when all of them have the size and the
//! digest that was asked for, so a registry that is sent them never gets a whole blob that is something else.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt, stream};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Method, StatusCode};

use super::answer::{Answer, Whole};
use super::auth::canonical_host;
use super::blobs::Upload;
use super::exchange::secret_value;
use super::limits::{self, bounded};
use super::manifests::{WEB_PAGE, check_stored_digest, is_web_page};
use super::realm;
use super::request::{Ask, in_flight};
use super::retry::{Failure, Resend};
use super::transport::{Transport, lock};
use crate::call::Call;
use crate::digest::{Digest, Matcher};
use crate::error::{Code, Error, Result};

/// The content of a blob, piece by piece.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Vec<u8>>> + Send>>;

/// Opens the content of a blob anew, for each attempt to store it; `None` when it is not there.
pub type Open<'a> = dyn Fn() -> Pin<Box<dyn Future<Output = Result<Option<Pieces>>> + Send + 'a>> + Send + Sync + 'a;

/// `pieces`, held to `size` and `digest`; `what` names the blob in errors. The last piece comes when all is known to be
/// right.
pub fn checked(pieces: Pieces, digest: &Digest, size: u64, what: String) -> Pieces {
    struct State {
        pieces: Pieces,
        matcher: Option<Matcher>,
        seen: u64,
        held: Option<Vec<u8>>,
        done: bool,
    }
    let state = State { pieces, matcher: Some(Matcher::new(digest)), seen: 0, held: None, done: false };
    let wrong = move |why: String| Error::new(Code::Content, format!("{what}: {why}")).with("evidence", "content");
    Box::pin(stream::unfold(state, move |mut state| {
        let wrong = wrong.clone();
        async move {
            while !state.done {
                match state.pieces.next().await {
                    Some(Ok(piece)) => {
                        state.seen = state.seen.saturating_add(piece.len() as u64);
                        if state.seen > size {
                            state.done = true;
                            let why = format!("more than the {size} bytes that were declared were served");
                            return Some((Err(wrong(why)), state));
                        }
                        if let Some(matcher) = state.matcher.as_mut() {
                            matcher.update(&piece);
                        }
                        if let Some(before) = state.held.replace(piece) {
                            return Some((Ok(before), state));
                        }
                    }
                    Some(Err(error)) => {
                        state.done = true;
                        return Some((Err(error), state));
                    }
                    None => {
                        state.done = true;
                        if state.seen != size {
                            let why = format!("{} bytes were served where {size} were declared", state.seen);
                            return Some((Err(wrong(why)), state));
                        }
                        if !state.matcher.take().is_some_and(Matcher::matches) {
                            let why = "the bytes served do not have the digest that was asked for".to_owned();
                            return Some((Err(wrong(why)), state));
                        }
                        return state.held.take().map(|last| (Ok(last), state));
                    }
                }
            }
            None
        }
    }))
}

impl Transport {
    /// Whether a repository has a blob, as far as a HEAD tells: sending one that is there does no harm.
    pub async fn has_blob(&self, host: &str, repository: &str, digest: &Digest, call: &Call) -> Result<bool> {
        let call = &limits::with_deadline(call);
        let ask = Ask::new(Method::HEAD, host, repository, format!("blobs/{digest}"), format!("HEAD blob {digest}"));
        let mut nothing = Whole::new(0);
        let answer = self.answer(&ask, &mut nothing, call).await.map_err(|failure| failure.error)?;
        match answer.status.as_u16() {
            200 => Ok(true),
            404 | 405 => Ok(false),
            _ => Err(answer.error(&ask)),
        }
    }

    /// The content of a blob, checked on the way; `None` only when the registry itself says that it is not there.
    pub async fn open_blob(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        size: u64,
        call: &Call,
    ) -> Result<Option<Pieces>> {
        let what = format!("GET blob {digest}");
        let ask = Ask::new(Method::GET, host, repository, format!("blobs/{digest}"), what.clone());
        let within = limits::with_deadline(call);
        let mut backoff = self.backoff();
        let response = loop {
            let failure = match self.send(&ask, &within).await {
                Ok((response, _)) if response.status() == StatusCode::OK => break response,
                Ok((response, url)) => {
                    let mut nothing = Whole::new(0);
                    match self.read(&ask, response, url, &mut nothing, &within).await {
                        Ok(answer) if answer.says_absent() => return Ok(None),
                        Ok(answer) => return Err(answer.error(&ask)),
                        Err(failure) => failure,
                    }
                }
                Err(failure) => failure,
            };
            if !failure.may_resend(Resend::Always) {
                return Err(failure.error);
            }
            self.pause(&ask, &mut backoff, failure, &within).await.map_err(|failure| failure.error)?;
        };
        let encoding = response.headers().get(CONTENT_ENCODING);
        if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(ask.error(Code::Protocol, "the answer is compressed although that was not asked for"));
        }
        if response.content_length().is_some_and(|length| length != size) {
            return Err(
                ask.error(Code::Content, &format!("another length than the declared {size} bytes is announced"))
            );
        }
        let named = format!("registry {host}: {what} in {repository}");
        let lost = |named: &str, code: Code, why: &str| Error::new(code, format!("{named}: {why}"));
        let (call, at) = (call.clone(), named.clone());
        let pieces = stream::unfold(Some(response), move |response| {
            let (call, named) = (call.clone(), at.clone());
            async move {
                let mut response = response?;
                if let Err(stopped) = call.check() {
                    return Some((Err(stopped), None));
                }
                let late = || lost(&named, Code::Timeout, "the answer made no progress within 30 s; try again later");
                match bounded(&call, limits::NO_PROGRESS, late, response.chunk()).await {
                    Ok(Ok(Some(chunk))) => Some((Ok(chunk.to_vec()), Some(response))),
                    Ok(Ok(None)) => None,
                    Ok(Err(_)) => Some((Err(lost(&named, Code::Network, "the answer broke off")), None)),
                    Err(error) => Some((Err(error), None)),
                }
            }
        });
        Ok(Some(checked(Box::pin(pieces), digest, size, named)))
    }

    /// Stores a blob of `size` bytes whose content `open` gives, without holding it. `upload` is one that is open already.
    /// False when `open` says that the blob is not there.
    ///
    /// # Errors
    /// Those of the source come as they are; nothing that is not the blob is ever stored whole.
    #[allow(clippy::too_many_arguments)]
    pub async fn put_blob_from(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        size: u64,
        mut upload: Option<Upload>,
        open: &Open<'_>,
        call: &Call,
    ) -> Result<bool> {
        let what = format!("PUT blob {digest}");
        let ask = Ask::new(Method::PUT, host, repository, String::new(), what);
        let mut backoff = self.backoff();
        loop {
            let Some(pieces) = open().await? else { return Ok(false) };
            let opened = match upload.take() {
                Some(upload) => upload,
                None => self.open_upload(host, repository, digest, call).await?,
            };
            let failure = match self.send_pieces(&ask, opened, digest, size, pieces, call).await {
                Ok(()) => return Ok(true),
                Err(failure) => failure,
            };
            if !failure.may_resend(Resend::Always) {
                return Err(failure.error);
            }
            self.pause(&ask, &mut backoff, failure, call).await.map_err(|failure| failure.error)?;
        }
    }

    async fn send_pieces(
        &self,
        ask: &Ask<'_>,
        upload: Upload,
        digest: &Digest,
        size: u64,
        pieces: Pieces,
        call: &Call,
    ) -> std::result::Result<(), Failure> {
        let host = canonical_host(ask.host);
        let base = self.base(ask, &host)?;
        let mut url = upload.to;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        // What goes wrong with the source is its own error, not one of this registry.
        let (trouble, moved) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU64::new(0)));
        let (told, counted) = (trouble.clone(), moved.clone());
        let body = pieces.map(move |piece| {
            piece.inspect(|piece| _ = counted.fetch_add(piece.len() as u64, Ordering::Relaxed)).map_err(|error| {
                let text = error.to_string();
                *lock(&told) = Some(error);
                std::io::Error::other(text)
            })
        });
        let client = self.client(&base, &url, false)?;
        let mut request = client
            .request(Method::PUT, url.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size)
            .body(reqwest::Body::wrap_stream(body));
        if realm::origin(&url) == realm::origin(&base)
            && let Some(authorization) = self.authorization(ask, &host, &base, false, call).await?
        {
            request = request.header(AUTHORIZATION, secret_value(&authorization.value)?);
        }
        let mut send = Box::pin(request.send());
        let mut before = 0;
        let sent = loop {
            let late = || ask.late("the upload made no progress", limits::NO_PROGRESS);
            match bounded(call, limits::NO_PROGRESS, late, send.as_mut()).await {
                Ok(sent) => break sent,
                Err(error) => {
                    let now = moved.load(Ordering::Relaxed);
                    let stalled = error.detail("request").is_some() && now == before;
                    if stalled || call.check().is_err() {
                        return Err(Failure::stopped(in_flight(ask, error)));
                    }
                    before = now;
                }
            }
        };
        if let Some(error) = lock(&trouble).take() {
            let again = error.is_retryable() && call.check().is_ok();
            return Err(Failure { again, ..Failure::from(error) });
        }
        let response = sent.map_err(|error| Failure::dropped(ask.client_error(error, "the upload broke off")))?;
        let mut nothing = Whole::new(0);
        let answer: Answer = self.read(ask, response, url, &mut nothing, call).await?;
        match answer.status.as_u16() {
            200 | 201 | 202 | 204 if is_web_page(&answer) => Err(ask.error(Code::Protocol, WEB_PAGE).into()),
            200 | 201 | 202 | 204 => Ok(check_stored_digest(ask, &answer, digest)?),
            // The session is gone, or the token ended meanwhile: the next attempt asks for both.
            401 | 404 | 416 => Err(Failure::unsent(answer.error(ask))),
            300..=399 => Err(ask.error(Code::Protocol, "an upload is not redirected once its bytes are sent").into()),
            _ => Err(answer.error(ask).into()),
        }
    }
}
