//! What came back: capped bodies, and errors that say exactly what is known.
//!
//! Absence is proven only by a GET that answers 404 with the registry's own error code; a proxy's or portal's 404 page
//! is an error.

use std::time::SystemTime;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::date;
use super::limits::{self, bounded};
use super::request::{Ask, clean, in_flight};
use super::retry::{self, Failure};
use super::service::service_error;
use super::transport::Transport;
use crate::call::Call;
use crate::error::{Code, Error, Result};

/// Codes by which a registry says in its own words that something is not there.
pub(super) const ABSENT: &[&str] = &["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "NOT_FOUND"];

/// The first error of a registry's error body: its code and message, cleaned.
pub(super) fn registry_error(body: &[u8]) -> Option<(String, String)> {
    // Member by member: a derived reader would also take lists for objects, and "absent" must be said exactly.
    let parsed: serde_json::Value = serde_json::from_slice(body).ok()?;
    let first = parsed.get("errors")?.as_array()?.first()?;
    let message = first.get("message").and_then(serde_json::Value::as_str).unwrap_or_default();
    Some((clean(first.get("code")?.as_str()?, 60), clean(message, 200)))
}

pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Seconds of a `Retry-After`; a date is passed on as text.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<serde_json::Value> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<u32>() {
        Ok(seconds) => Some(seconds.into()),
        Err(_) => Some(clean(text, 40).into()),
    }
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Who gave it, after redirects.
    pub(super) url: Url,
    /// The body of a refusal; what a success carries is in the [`Sink`].
    pub(super) refusal: Vec<u8>,
}

impl Answer {
    /// The error that this answer is.
    pub(super) fn error(&self, ask: &Ask<'_>) -> Error {
        if ask.service.is_some() {
            return service_error(ask, self);
        }
        status_error(ask, self.status, &self.headers, &self.refusal)
    }

    /// Whether the registry says in its own words that there is no such thing.
    pub(super) fn says_absent(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
            && registry_error(&self.refusal).is_some_and(|(code, _)| ABSENT.contains(&code.as_str()))
    }

    /// The registry's own clock.
    pub(super) fn date(&self) -> Option<SystemTime> {
        date::parse(self.headers.get(DATE)?.to_str().ok()?)
    }
}

/// Where the body of a success goes, piece by piece.
pub(super) trait Sink: Send {
    /// A new attempt, whose answer says how long it is: forget what came before.
    fn begin(&mut self, declared: Option<u64>);
    /// How many bytes the body may have.
    fn cap(&self) -> u64;
    /// The next piece; an error says what is wrong with it.
    fn take(&mut self, piece: &[u8]) -> std::result::Result<(), (Code, &'static str)>;
}

/// A body kept whole.
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    cap: u64,
    // The length that the body must have, if that is known.
    exact: Option<u64>,
}

impl Whole {
    pub(super) fn new(cap: u64) -> Whole {
        Whole { bytes: Vec::new(), cap, exact: None }
    }

    /// A body of exactly `size` bytes, as its descriptor says.
    pub(super) fn exact(size: u64) -> Whole {
        Whole { bytes: Vec::new(), cap: size, exact: Some(size) }
    }
}

impl Sink for Whole {
    fn begin(&mut self, declared: Option<u64>) {
        self.bytes.clear();
        // Exactly as much as will come, within the cap: a body that grows by doubling takes up to twice its size.
        let room = self.exact.or(declared).unwrap_or_default().min(self.cap);
        self.bytes.reserve_exact(usize::try_from(room).unwrap_or_default());
    }

    fn cap(&self) -> u64 {
        self.cap
    }

    fn take(&mut self, piece: &[u8]) -> std::result::Result<(), (Code, &'static str)> {
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

impl Transport {
    /// The answer to a request, repeated as `retry.rs` says; an answer that speaks of the moment only is an error.
    pub(super) async fn answer(
        &self,
        ask: &Ask<'_>,
        sink: &mut dyn Sink,
        call: &Call,
    ) -> std::result::Result<Answer, Failure> {
        let mut backoff = self.backoff();
        loop {
            let failure = match self.once(ask, sink, call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if !failure.may_resend(ask.resend) {
                return Err(failure);
            }
            self.pause(ask, &mut backoff, failure, call).await?;
        }
    }

    /// The bytes behind a GET; `None` only when the registry itself says that there are none.
    pub(super) async fn get(&self, ask: &Ask<'_>, sink: &mut dyn Sink, call: &Call) -> Result<Option<Answer>> {
        let answer = self.answer(ask, sink, call).await.map_err(|failure| failure.error)?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer)),
            _ if answer.says_absent() => Ok(None),
            _ => Err(answer.error(ask)),
        }
    }

    async fn once(&self, ask: &Ask<'_>, sink: &mut dyn Sink, call: &Call) -> std::result::Result<Answer, Failure> {
        let (response, url) = self.send(ask, call).await?;
        self.read(ask, response, url, sink, call).await
    }

    /// Reads what belongs to the head of an answer.
    pub(super) async fn read(
        &self,
        ask: &Ask<'_>,
        mut response: Response,
        url: Url,
        sink: &mut dyn Sink,
        call: &Call,
    ) -> std::result::Result<Answer, Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut answer = Answer { status, headers, url, refusal: Vec::new() };
        if status.is_success() {
            // The head says everything about a HEAD or a write.
            if matches!(ask.method, Method::GET) || ask.reads {
                self.body(ask, &mut response, sink, call).await?;
            }
            return Ok(answer);
        }
        if ask.method != Method::HEAD {
            match self.error_body(ask, response, call).await {
                Ok(body) => answer.refusal = body,
                // A torn body changes what a 404 means, and nothing about another status.
                Err(failure) if status == StatusCode::NOT_FOUND || failure.error.code() == Code::Cancelled => {
                    return Err(failure);
                }
                Err(_) => {}
            }
        }
        match retry::passes(status) {
            true => Err(Failure::answered(answer.error(ask), status, &answer.headers)),
            false => Ok(answer),
        }
    }

    /// At most [`limits::ERROR_BODY`] bytes; a longer body is cut, and thereby not readable as JSON.
    async fn error_body(
        &self,
        ask: &Ask<'_>,
        mut response: Response,
        call: &Call,
    ) -> std::result::Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(ask, &mut response, call).await? {
            body.extend_from_slice(&chunk);
            if over(body.len(), limits::ERROR_BODY) {
                body.truncate(usize::try_from(limits::ERROR_BODY).unwrap_or(0));
                break;
            }
        }
        Ok(body)
    }

    async fn body(
        &self,
        ask: &Ask<'_>,
        response: &mut Response,
        sink: &mut dyn Sink,
        call: &Call,
    ) -> std::result::Result<(), Failure> {
        let encoding = response.headers().get(CONTENT_ENCODING);
        if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(ask.error(Code::Protocol, "the answer is compressed although that was not asked for").into());
        }
        let cap = sink.cap();
        let too_large =
            || ask.error(Code::TooLarge, &format!("the answer is larger than {cap} bytes")).with("limit", cap);
        if response.content_length().is_some_and(|length| length > cap) {
            return Err(too_large().into());
        }
        sink.begin(response.content_length());
        let mut length = 0_usize;
        while let Some(chunk) = self.chunk(ask, response, call).await? {
            length = length.saturating_add(chunk.len());
            if over(length, cap) {
                return Err(too_large().into());
            }
            sink.take(&chunk).map_err(|(code, why)| ask.error(code, why))?;
        }
        Ok(())
    }

    async fn chunk(
        &self,
        ask: &Ask<'_>,
        response: &mut Response,
        call: &Call,
    ) -> std::result::Result<Option<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]> + use<>>, Failure> {
        let late = || ask.late("the answer made no progress", limits::NO_PROGRESS);
        bounded(call, limits::NO_PROGRESS, late, response.chunk())
            .await
            .map_err(|error| Failure::stopped(in_flight(ask, error)))?
            .map_err(|error| Failure::dropped(ask.client_error(error, "the answer broke off")))
    }
}

pub(super) fn over(length: usize, cap: u64) -> bool {
    u64::try_from(length).map_or(true, |length| length > cap)
}

pub(super) fn header_text(ask: &Ask<'_>, headers: &HeaderMap, name: HeaderName) -> Result<Option<String>> {
    match headers.get(&name) {
        None => Ok(None),
        Some(value) if value.len() > limits::HEADER_VALUE => {
            Err(ask.error(Code::TooLarge, &format!("the header {name} is larger than 8 KiB")))
        }
        Some(value) => match value.to_str() {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(ask.error(Code::Protocol, &format!("the header {name} is not text"))),
        },
    }
}

/// The error for a status that ends the request.
pub(super) fn status_error(ask: &Ask<'_>, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let said = registry_error(body);
    let (code, advice) = match status.as_u16() {
        401 => (Code::Auth, "; the credentials for this registry are missing or not accepted"),
        403 => (Code::Denied, "; the credentials do not allow this"),
        404 if matches!(ask.method, Method::GET | Method::HEAD) => (
            Code::Protocol,
            "; this is not a registry's own answer, so nothing is known; check the address and proxies",
        ),
        404 => (Code::Protocol, "; the repository does not exist or may not be created"),
        409 | 412 => (Code::Conflict, "; what is there already may not be replaced"),
        413 => (Code::TooLarge, "; the registry takes nothing this large"),
        429 => (Code::RateLimited, "; wait and try again"),
        408 | 425 | 500.. => (Code::Network, "; try again later"),
        _ => match said.as_ref().map(|(code, _)| code.as_str()) {
            Some("DENIED") => (Code::Denied, "; the credentials do not allow this"),
            Some("UNAUTHORIZED") => (Code::Auth, "; the credentials for this registry are missing or not accepted"),
            Some("TAG_INVALID" | "TAG_IMMUTABLE" | "PRECONDITION") => (Code::Conflict, "; the tag may not be replaced"),
            _ => (Code::Protocol, ""),
        },
    };
    let number = status.as_u16();
    let mut error = match &said {
        Some((registry_code, message)) if message.is_empty() => ask
            .error(code, &format!("HTTP {number} {registry_code}{advice}"))
            .with("registry_code", registry_code.as_str()),
        Some((registry_code, message)) => ask
            .error(code, &format!("HTTP {number} {registry_code} ({message}){advice}"))
            .with("registry_code", registry_code.as_str()),
        None => ask.error(code, &format!("HTTP {number}{advice}")),
    };
    error = error.with("status", number);
    match retry_after(headers) {
        Some(wait) => error.with("retry_after", wait),
        None => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn outside_text_is_cleaned() {
        let body = br#"{"errors":[{"code":"DENIED\u001b[31m","message":"a\nb\u202ec"}]}"#;
        assert_eq!(registry_error(body), Some(("DENIED[31m".to_owned(), "abc".to_owned())));
        for bad in
            [&br#"[[["NAME_UNKNOWN","x"]]]"#[..], br#"{"errors":[["NAME_UNKNOWN"]]}"#, br#"{"errors":{}}"#, b"null"]
        {
            assert_eq!(registry_error(bad), None);
        }
    }
}
