//! Requests to services that are no registries, such as transparency logs: the same pool, proxies, authorities, caps and
//! retries, and nothing else of a registry's. No credential and no client certificate goes there, no redirect is followed,
//! and the caller alone names the address.

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LOCATION};
use url::Url;

use super::answer::{Answer, Whole, header_text};
use super::realm;
use super::request::{Ask, Target, clean};
use super::transport::Transport;
use crate::call::Call;
use crate::error::{Code, Error, Result};

/// The address of a service.
#[derive(Debug, Clone)]
pub struct ServiceUrl {
    base: Url,
    host: String,
    name: &'static str,
}

/// What a service answered.
#[derive(Debug)]
pub struct ServiceAnswer {
    /// The HTTP status: a success, or one that the caller allowed.
    pub status: u16,
    /// The body of a success.
    pub body: Vec<u8>,
    /// The `Location`, if it sent one.
    pub location: Option<String>,
}

/// One request to a service.
#[derive(Debug)]
pub struct ServiceAsk<'a> {
    /// The path below the service's address, without a slash in front.
    pub path: String,
    /// JSON to post; `None` asks with GET.
    pub json: Option<&'a str>,
    /// How large the answer may be, in bytes.
    pub cap: u64,
    /// Statuses that are no errors beside the successes.
    pub allowed: &'a [u16],
    /// `search`, for messages.
    pub what: &'a str,
}

impl ServiceUrl {
    /// The text that names the service in messages: its address.
    pub fn as_str(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

impl Transport {
    /// Checks the address of a service, called `name` in messages: https, or plain http on loopback and hosts for which it
    /// was allowed; a path is kept.
    ///
    /// # Errors
    /// [`Code::Argument`] for anything else.
    pub fn service(&self, name: &'static str, url: &str) -> Result<ServiceUrl> {
        let shown = clean(url, 200);
        let bad = |why: &str| Error::new(Code::Argument, format!("the address of the {name}, {shown:?}, {why}"));
        let mut base = Url::parse(url).map_err(|_| bad("is no URL"))?;
        match base.scheme() {
            "https" => {}
            "http" if self.plain_allowed(&base) => {}
            "http" => return Err(bad("is plain http, which was not allowed for that host")),
            _ => return Err(bad("is neither https nor http")),
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Error::new(Code::Argument, format!("the address of the {name} carries a user or password")));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(bad("has a query or fragment"));
        }
        let Some(host) = base.host_str() else { return Err(bad("has no host")) };
        let host = match base.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        Ok(ServiceUrl { base, host, name })
    }

    /// Sends a request to a service.
    ///
    /// # Errors
    /// Codes of class "unknown": what a service does not say is not known.
    pub async fn ask_service(&self, service: &ServiceUrl, ask: &ServiceAsk<'_>, call: &Call) -> Result<ServiceAnswer> {
        let method = if ask.json.is_some() { Method::POST } else { Method::GET };
        let mut request = Ask::new(method, &service.host, "", String::new(), ask.what.to_owned());
        request.service = Some(service.name);
        request.reads = true;
        request.body = ask.json.map(str::as_bytes);
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if ask.json.is_some() {
            request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        // Joining would resolve `..` and cut at `?`: what does not come out as it went in is refused.
        let (path, query) = ask.path.split_once('?').unwrap_or((&ask.path, ""));
        let mut url = service.base.clone();
        url.set_path(&format!("{}{path}", service.base.path()));
        if url.path() != format!("{}{path}", service.base.path()) || realm::origin(&url) != realm::origin(&service.base)
        {
            return Err(request.error(Code::Argument, "the request cannot be part of a URL"));
        }
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        request.target = Target::Url(url.clone());

        let mut sink = Whole::new(ask.cap);
        let mut backoff = self.backoff();
        let answer = loop {
            let sent = match self.exchange(&request, &service.base, &url, None, call).await {
                Ok(response) => self.read(&request, response, url.clone(), &mut sink, call).await,
                Err(failure) => Err(failure),
            };
            match sent {
                Ok(answer) => break answer,
                // Whatever is posted here is posted again with the same effect.
                Err(failure) if !failure.again => return Err(failure.error),
                Err(failure) => {
                    self.pause(&request, &mut backoff, failure, call).await.map_err(|failure| failure.error)?;
                }
            }
        };
        let status = answer.status.as_u16();
        if !answer.status.is_success() && !ask.allowed.contains(&status) {
            return Err(answer.error(&request));
        }
        let location = header_text(&request, &answer.headers, LOCATION)?;
        Ok(ServiceAnswer { status, body: sink.bytes, location })
    }
}

/// The error for a service's status: what it says of itself is in `message` (Rekor, Fulcio).
pub(super) fn service_error(ask: &Ask<'_>, answer: &Answer) -> Error {
    let number = answer.status.as_u16();
    let (code, advice) = match number {
        300..=399 => (Code::Protocol, "; redirects are not followed here"),
        401 => (Code::Auth, "; it asks for credentials"),
        403 => (Code::Denied, ""),
        404 => (Code::ServiceNotFound, "; check its address"),
        413 => (Code::TooLarge, "; it takes nothing this large"),
        429 => (Code::RateLimited, "; wait and try again"),
        408 | 425 | 500.. => (Code::Network, "; try again later"),
        _ => (Code::Protocol, ""),
    };
    let body: Option<serde_json::Value> = serde_json::from_slice(&answer.refusal).ok();
    let said = body.as_ref().and_then(|body| body.get("message")?.as_str()).map(|said| clean(said, 300));
    let said = said.filter(|said| !said.is_empty()).map(|said| format!(" ({said})")).unwrap_or_default();
    ask.error(code, &format!("HTTP {number}{said}{advice}")).with("status", number)
}
