//! What came back: capped bodies, and errors that say exactly what is known.
//!
//! Absence is proven only by a GET that answers 404 with the registry's own error code; a proxy's or portal's 404 page
//! is an error.

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};

use super::limits::{self, bounded};
use super::request::{Ask, clean, in_flight};
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

impl Transport {
    pub(super) async fn get(&self, ask: &Ask<'_>, cap: u64, call: &Call) -> Result<Option<(HeaderMap, Vec<u8>)>> {
        let (response, _) = self.send(ask, call).await?;
        match response.status() {
            StatusCode::OK => {
                let headers = response.headers().clone();
                let bytes = self.body(ask, response, cap, call).await?;
                Ok(Some((headers, bytes)))
            }
            StatusCode::NOT_FOUND => {
                let headers = response.headers().clone();
                let body = self.error_body(ask, response, call).await?;
                match registry_error(&body) {
                    Some((code, _)) if ABSENT.contains(&code.as_str()) => Ok(None),
                    _ => Err(status_error(ask, StatusCode::NOT_FOUND, &headers, &body)),
                }
            }
            _ => Err(self.refusal(ask, response, call).await),
        }
    }

    /// The error for an answer that is not the one hoped for.
    pub(super) async fn refusal(&self, ask: &Ask<'_>, response: Response, call: &Call) -> Error {
        let (status, headers) = (response.status(), response.headers().clone());
        match self.error_body(ask, response, call).await {
            Ok(body) => status_error(ask, status, &headers, &body),
            // Stopped by the caller; a torn error body changes nothing about the status.
            Err(error) if error.code() == Code::Cancelled => error,
            Err(_) => status_error(ask, status, &headers, &[]),
        }
    }

    /// At most [`limits::ERROR_BODY`] bytes; a longer body is cut, and thereby not readable as JSON.
    pub(super) async fn error_body(&self, ask: &Ask<'_>, mut response: Response, call: &Call) -> Result<Vec<u8>> {
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

    pub(super) async fn body(&self, ask: &Ask<'_>, mut response: Response, cap: u64, call: &Call) -> Result<Vec<u8>> {
        let encoding = response.headers().get(CONTENT_ENCODING);
        if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(ask.error(Code::Protocol, "the answer is compressed although that was not asked for"));
        }
        let too_large =
            || ask.error(Code::TooLarge, &format!("the answer is larger than {cap} bytes")).with("limit", cap);
        let declared = response.content_length();
        if declared.is_some_and(|length| length > cap) {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(declared.unwrap_or(0)).unwrap_or(0).min(1 << 20));
        while let Some(chunk) = self.chunk(ask, &mut response, call).await? {
            if over(bytes.len().saturating_add(chunk.len()), cap) {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    pub(super) async fn chunk(
        &self,
        ask: &Ask<'_>,
        response: &mut Response,
        call: &Call,
    ) -> Result<Option<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]> + use<>>> {
        let late = || ask.late("the answer made no progress", limits::NO_PROGRESS);
        bounded(call, limits::NO_PROGRESS, late, response.chunk())
            .await
            .map_err(|error| in_flight(ask, error))?
            .map_err(|error| ask.client_error(error, "the answer broke off"))
    }
}

pub(super) fn over(length: usize, cap: u64) -> bool {
    u64::try_from(length).map_or(true, |length| length > cap)
}

pub(super) fn header_text(ask: &Ask<'_>, response: &Response, name: HeaderName) -> Result<Option<String>> {
    match response.headers().get(&name) {
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
        404 if ask.method == Method::GET => (
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
