//! The transport: manifests and blobs in and out, with auth, redirects, caps and honest errors.
//!
//! Absence is proven only by a GET that answers 404 with the registry's own error code; a proxy's or portal's 404 page
//! is an error. Credentials go to the registry's exact origin (scheme, host, port) and, under the rules of `auth.rs`,
//! to its token server; once a request has left the origin they do not come back.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::auth::{self, Credential, DockerConfig, canonical_host};
use super::challenge::{self, Challenge};
use super::limits::{self, bounded};
use super::tls;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};

const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What a [`Transport`] needs to know; all empty is fine.
#[derive(Clone, Default)]
pub struct TransportOptions {
    /// The `User-Agent`; empty for the library's name and version.
    pub user_agent: String,
    /// Certificate authorities to trust besides the system's, PEM.
    pub ca_pem: Vec<Vec<u8>>,
    /// Credentials by registry host (`host[:port]`); they win over `docker_config`.
    pub auth: Vec<(String, Credential)>,
    /// Docker's `config.json`.
    pub docker_config: Option<DockerConfig>,
    /// Hosts (`host[:port]`) that may be spoken to in plain HTTP. Loopback hosts always may.
    pub http_hosts: Vec<String>,
    /// Pairs of registry host and token server host: the registry's credentials may go to that token server although it
    /// belongs to another domain.
    pub token_servers: Vec<(String, String)>,
}

impl fmt::Debug for TransportOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportOptions")
            .field("user_agent", &self.user_agent)
            .field("auth", &self.auth)
            .field("docker_config", &self.docker_config)
            .field("http_hosts", &self.http_hosts)
            .field("token_servers", &self.token_servers)
            .finish_non_exhaustive()
    }
}

/// A manifest or index as the registry served it.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// The `Content-Type` without its parameters, lower case; empty when the registry sent none.
    pub media_type: String,
    /// The digest of `bytes`, computed here.
    pub digest: Digest,
}

/// A connection pool, credentials and tokens for any number of registries. Making one costs nothing; clients, trust and
/// sockets come with the first request.
pub struct Transport {
    options: TransportOptions,
    https: Mutex<Option<reqwest::Client>>,
    http: Mutex<Option<reqwest::Client>>,
    state: Mutex<State>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("options", &self.options).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    // Loopback hosts that answered the TLS greeting in plain text.
    plain: HashSet<String>,
    challenges: HashMap<String, Asked>,
    tokens: HashMap<(String, String, Scope), Token>,
    // One token request at a time per host: a parallel batch needs one token, not one each.
    gates: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
    pushing: HashSet<(String, String)>,
}

/// What a host's last challenge asked for.
#[derive(Clone)]
enum Asked {
    Basic,
    Bearer { realm: String, service: String },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Scope {
    Pull,
    PullPush,
}

impl Scope {
    fn actions(self) -> &'static str {
        match self {
            Scope::Pull => "pull",
            Scope::PullPush => "pull,push",
        }
    }
}

#[derive(Clone)]
struct Token {
    value: Arc<Zeroizing<String>>,
    ends: Instant,
}

/// An `Authorization` value, and whether it was made for this very request.
struct Authorization {
    value: Zeroizing<String>,
    fresh: bool,
}

/// One request as the operation means it; `send` turns it into one or more HTTP exchanges.
struct Ask<'a> {
    method: Method,
    host: &'a str,
    repository: &'a str,
    scope: Scope,
    target: Target,
    headers: HeaderMap,
    body: Option<&'a [u8]>,
    /// `GET manifest v1`, for messages.
    what: String,
}

enum Target {
    /// A path under `/v2/<repository>/`.
    Path(String),
    /// Where the registry told us to continue.
    Url(Url),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data behind these locks is valid after every statement, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Ask<'a> {
    fn new(method: Method, host: &'a str, repository: &'a str, path: String, what: String) -> Ask<'a> {
        let scope = if method == Method::GET { Scope::Pull } else { Scope::PullPush };
        let (target, headers) = (Target::Path(path), HeaderMap::new());
        Ask { method, host, repository, scope, target, headers, body: None, what }
    }

    fn header(mut self, name: HeaderName, value: &str) -> Result<Self> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| self.error(Code::Argument, &format!("the header {name} cannot carry this value")))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    fn error(&self, code: Code, why: &str) -> Error {
        Error::new(code, format!("registry {}: {} in {}: {why}", self.host, self.what, self.repository))
            .with("registry", self.host)
            .with("repository", self.repository)
            .with("request", self.what.as_str())
    }

    fn late(&self, what: &str, limit: Duration) -> Error {
        self.error(Code::Timeout, &format!("{what} within {} s; try again later", limit.as_secs()))
    }

    /// The error for an HTTP client's failure; its text never holds a URL, since those may carry tokens.
    fn client_error(&self, error: reqwest::Error, doing: &str) -> Error {
        let error = error.without_url();
        if let Some(tls) = tls::tls_error(&error) {
            let advice = tls::advice(tls);
            return self.error(Code::Tls, &format!("{doing}: {}{advice}", clean(&tls.to_string(), 300)));
        }
        let mut text = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(inner) = next {
            text = format!("{text}: {inner}");
            next = inner.source();
        }
        self.error(Code::Network, &format!("{doing}: {}", clean(&text, 300)))
    }
}

/// Text from outside, fit for a message: one line, no control or direction-changing characters, a length cap.
fn clean(text: &str, most: usize) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().filter(|c| !harmful(*c)).take(most).collect()
}

/// The first error of a registry's error body: its code and message, cleaned.
fn registry_error(body: &[u8]) -> Option<(String, String)> {
    // Member by member: a derived reader would also take lists for objects, and "absent" must be said exactly.
    let parsed: serde_json::Value = serde_json::from_slice(body).ok()?;
    let first = parsed.get("errors")?.as_array()?.first()?;
    let message = first.get("message").and_then(serde_json::Value::as_str).unwrap_or_default();
    Some((clean(first.get("code")?.as_str()?, 60), clean(message, 200)))
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Seconds of a `Retry-After`; a date is passed on as text.
fn retry_after(headers: &HeaderMap) -> Option<serde_json::Value> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<u32>() {
        Ok(seconds) => Some(seconds.into()),
        Err(_) => Some(clean(text, 40).into()),
    }
}

impl Transport {
    /// Checks the options; opens no socket, reads no file, builds no client.
    pub fn new(mut options: TransportOptions) -> Result<Transport> {
        for pem in &options.ca_pem {
            tls::check_ca(pem)?;
        }
        if options.user_agent.is_empty() {
            options.user_agent = concat!("libcosign/", env!("CARGO_PKG_VERSION")).to_owned();
        }
        if HeaderValue::from_str(&options.user_agent).is_err() {
            return Err(Error::new(Code::Argument, "the user agent has characters that a header cannot carry"));
        }
        for (host, _) in &mut options.auth {
            *host = canonical_host(host);
        }
        for host in &mut options.http_hosts {
            *host = canonical_host(host);
        }
        Ok(Transport { options, https: Mutex::new(None), http: Mutex::new(None), state: Mutex::default() })
    }

    /// Tells that `repository` will be written to, so that the first token already allows it: one token instead of two.
    pub fn announce_push(&self, host: &str, repository: &str) {
        lock(&self.state).pushing.insert((canonical_host(host), repository.to_owned()));
    }

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
        let call = &limits::with_deadline(call);
        let path = format!("manifests/{reference}");
        let ask = Ask::new(Method::GET, host, repository, path, format!("GET manifest {reference}"));
        let ask = ask.header(ACCEPT, MANIFEST_TYPES)?;
        let Some((headers, bytes)) = self.get(&ask, limits::MANIFEST, call).await? else { return Ok(None) };
        let media_type = media_type(&headers);
        if matches!(
            media_type.as_str(),
            "application/vnd.docker.distribution.manifest.v1+json"
                | "application/vnd.docker.distribution.manifest.v1+prettyjws"
        ) {
            return Err(
                ask.error(Code::Protocol, "it is an image of schema 1, which has no trustworthy digest; push it again")
            );
        }
        if media_type == "text/html" {
            return Err(ask.error(Code::Protocol, "the answer is a web page; a proxy or login page may be in the way"));
        }
        let digest = match Digest::parse(reference) {
            Ok(asked) if !asked.matches(&bytes) => {
                return Err(ask.error(Code::Content, "the bytes served do not have the digest that was asked for"));
            }
            Ok(asked) => asked,
            Err(_) => Digest::sha256(&bytes),
        };
        if let Some(claimed) = headers.get(CONTENT_DIGEST) {
            let claimed = claimed.to_str().ok().and_then(|text| Digest::parse(text.trim()).ok());
            if !claimed.is_some_and(|claimed| claimed.matches(&bytes)) {
                return Err(
                    ask.error(Code::Content, "the bytes served do not have the digest in Docker-Content-Digest")
                );
            }
        }
        Ok(Some(FetchedManifest { bytes, media_type, digest }))
    }

    /// A blob of exactly `size` bytes with exactly this digest; `None` only when the registry itself says that it is not
    /// there. The caller has compared `size` with its own cap.
    pub async fn get_blob(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        size: u64,
        call: &Call,
    ) -> Result<Option<Vec<u8>>> {
        let call = &limits::with_deadline(call);
        let ask = Ask::new(Method::GET, host, repository, format!("blobs/{digest}"), format!("GET blob {digest}"));
        let Some((_, bytes)) = self.get(&ask, size, call).await? else { return Ok(None) };
        if u64::try_from(bytes.len()).ok() != Some(size) {
            let why = format!("{} bytes were served where {size} were declared", bytes.len());
            return Err(ask.error(Code::Content, &why));
        }
        if !digest.matches(&bytes) {
            return Err(ask.error(Code::Content, "the bytes served do not have the digest that was asked for"));
        }
        Ok(Some(bytes))
    }

    /// Stores a blob: one request to open an upload, one to fill it. Storing what is there already is not an error.
    pub async fn put_blob(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        bytes: &[u8],
        call: &Call,
    ) -> Result<()> {
        let call = &limits::with_deadline(call);
        let what = format!("POST upload of {digest}");
        let mut ask = Ask::new(Method::POST, host, repository, "blobs/uploads/".to_owned(), what);
        ask.body = Some(&[]);
        let (response, at) = self.send(&ask, call).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.refusal(&ask, response, call).await);
        }
        let location = header_text(&ask, &response, LOCATION)?
            .ok_or_else(|| ask.error(Code::Protocol, "the registry opened an upload without telling where"))?;
        let mut to = at.join(&location).map_err(|_| ask.error(Code::Protocol, "the upload's Location is not a URL"))?;
        self.check_hop(&ask, &at, &to)?;
        to.query_pairs_mut().append_pair("digest", &digest.to_string());

        let what = format!("PUT blob {digest}");
        let mut ask = Ask::new(Method::PUT, host, repository, String::new(), what);
        ask.target = Target::Url(to);
        ask.body = Some(bytes);
        let ask = ask.header(CONTENT_TYPE, "application/octet-stream")?;
        let (response, _) = self.send(&ask, call).await?;
        self.stored(&ask, response, bytes, call).await
    }

    /// Stores a manifest or index under a tag or digest.
    pub async fn put_manifest(
        &self,
        host: &str,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
        call: &Call,
    ) -> Result<()> {
        let call = &limits::with_deadline(call);
        let path = format!("manifests/{reference}");
        let mut ask = Ask::new(Method::PUT, host, repository, path, format!("PUT manifest {reference}"));
        ask.body = Some(bytes);
        let ask = ask.header(CONTENT_TYPE, media_type)?;
        let (response, _) = self.send(&ask, call).await?;
        self.stored(&ask, response, bytes, call).await
    }

    /// The first page of what refers to `digest`; `None` when the registry has no referrers API.
    pub async fn referrers(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        call: &Call,
    ) -> Result<Option<Vec<u8>>> {
        let call = &limits::with_deadline(call);
        let what = format!("GET referrers of {digest}");
        let ask =
            Ask::new(Method::GET, host, repository, format!("referrers/{digest}"), what).header(ACCEPT, INDEX_TYPE)?;
        let (response, _) = self.send(&ask, call).await?;
        match response.status().as_u16() {
            200 if media_type(response.headers()) == INDEX_TYPE => {
                Ok(Some(self.body(&ask, response, limits::MANIFEST, call).await?))
            }
            // Registries without the API answer any of these, or their web page.
            200 | 400 | 404 | 405 | 406 | 501 => Ok(None),
            _ => Err(self.refusal(&ask, response, call).await),
        }
    }

    async fn get(&self, ask: &Ask<'_>, cap: u64, call: &Call) -> Result<Option<(HeaderMap, Vec<u8>)>> {
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

    async fn stored(&self, ask: &Ask<'_>, response: Response, bytes: &[u8], call: &Call) -> Result<()> {
        match response.status().as_u16() {
            200 | 201 | 202 | 204 => {}
            _ => return Err(self.refusal(ask, response, call).await),
        }
        let claimed = response.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        match claimed.and_then(|text| Digest::parse(text.trim()).ok()) {
            Some(claimed) if !claimed.matches(bytes) => Err(ask
                .error(Code::Content, "the registry stored something else: its digest is not that of the bytes sent")),
            _ => Ok(()),
        }
    }

    /// The error for an answer that is not the one hoped for.
    async fn refusal(&self, ask: &Ask<'_>, response: Response, call: &Call) -> Error {
        let (status, headers) = (response.status(), response.headers().clone());
        match self.error_body(ask, response, call).await {
            Ok(body) => status_error(ask, status, &headers, &body),
            // Stopped by the caller; a torn error body changes nothing about the status.
            Err(error) if error.code() == Code::Cancelled => error,
            Err(_) => status_error(ask, status, &headers, &[]),
        }
    }

    /// At most [`limits::ERROR_BODY`] bytes; a longer body is cut, and thereby not readable as JSON.
    async fn error_body(&self, ask: &Ask<'_>, mut response: Response, call: &Call) -> Result<Vec<u8>> {
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

    async fn body(&self, ask: &Ask<'_>, mut response: Response, cap: u64, call: &Call) -> Result<Vec<u8>> {
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

    async fn chunk(
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

    /// Sends the request, answers challenges, follows redirects; returns the last answer and the URL that gave it.
    async fn send(&self, ask: &Ask<'_>, call: &Call) -> Result<(Response, Url)> {
        let host = canonical_host(ask.host);
        let mut base = self.base(ask, &host)?;
        let mut url = self.start(ask, &base)?;
        let (mut hops, mut left_home, mut asked) = (0, false, false);
        // A credential that this request already used and the registry did not accept.
        let mut spent = false;
        loop {
            left_home = left_home || auth::origin(&url) != auth::origin(&base);
            let authorization = match left_home {
                true => None,
                false => self.authorization(ask, &host, &base, asked, call).await?,
            };
            let response = match self.exchange(ask, &url, authorization.as_ref(), call).await {
                Err(Failure::Plain) if self.may_fall_back(&host, &base) => {
                    lock(&self.state).plain.insert(host.clone());
                    base = self.base(ask, &host)?;
                    url = self.start(ask, &base)?;
                    continue;
                }
                other => other.map_err(|failure| failure.into_error(ask))?,
            };
            match response.status().as_u16() {
                401 if left_home => {
                    let there = clean(url.host_str().unwrap_or_default(), 100);
                    let why = format!(
                        "HTTP 401 from {there}, where the registry redirected to; credentials never follow a redirect"
                    );
                    return Err(ask.error(Code::Auth, &why).with("status", 401));
                }
                401 => {
                    let used_fresh = authorization.as_ref().is_some_and(|used| used.fresh);
                    if used_fresh || spent {
                        return Err(self.refusal(ask, response, call).await);
                    }
                    spent = authorization.is_some();
                    let challenge = self.challenge(ask, &response)?;
                    let mut state = lock(&self.state);
                    // Only the token that was refused: a neighbour in the same batch may have fetched a new one by now.
                    let refused = authorization.as_ref().and_then(|used| used.value.strip_prefix("Bearer "));
                    state.tokens.retain(|_, token| Some(token.value.as_str()) != refused);
                    state.challenges.insert(host.clone(), challenge);
                    asked = true;
                }
                status @ (301 | 302 | 303 | 307 | 308) => {
                    if ask.method != Method::GET && !matches!(status, 307 | 308) {
                        return Err(ask
                            .error(Code::Protocol, &format!("HTTP {status}: this redirect would turn it into a GET")));
                    }
                    hops += 1;
                    if hops > limits::REDIRECTS {
                        let why = format!("more than {} redirects", limits::REDIRECTS);
                        return Err(ask.error(Code::TooLarge, &why).with("limit", limits::REDIRECTS));
                    }
                    let location = header_text(ask, &response, LOCATION)?
                        .ok_or_else(|| ask.error(Code::Protocol, "a redirect without a Location"))?;
                    let to = url
                        .join(&location)
                        .map_err(|_| ask.error(Code::Protocol, "a redirect to something that is no URL"))?;
                    self.check_hop(ask, &url, &to)?;
                    url = to;
                }
                _ => return Ok((response, url)),
            }
        }
    }

    /// One HTTP exchange up to the headers of the answer.
    ///
    /// A connection that ended while it lay idle shows that only when it is used again. A GET is then repeated on
    /// another one; what writes is not, since nobody knows whether it arrived.
    async fn exchange(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        authorization: Option<&Authorization>,
        call: &Call,
    ) -> std::result::Result<Response, Failure> {
        let mut spare = if ask.method == Method::GET { limits::IDLE_RETRIES } else { 0 };
        loop {
            match self.attempt(ask, url, authorization, call).await {
                Err(Failure::Dropped(_)) if spare > 0 => spare -= 1,
                Err(Failure::Dropped(error)) => return Err(Failure::Error(error)),
                other => return other,
            }
        }
    }

    async fn attempt(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        authorization: Option<&Authorization>,
        call: &Call,
    ) -> std::result::Result<Response, Failure> {
        let client = self.client(url).map_err(Failure::Error)?;
        let mut request = client
            .request(ask.method.clone(), url.clone())
            .headers(ask.headers.clone())
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(body) = ask.body {
            request = request.header(CONTENT_LENGTH, body.len()).body(body.to_vec());
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, secret_value(&authorization.value).map_err(Failure::Error)?);
        }
        let late = || ask.late("no answer", limits::FIRST_BYTE);
        let answer = bounded(call, limits::FIRST_BYTE, late, request.send())
            .await
            .map_err(|error| Failure::Error(in_flight(ask, error)))?;
        let response = answer.map_err(|error| match tls::tls_error(&error) {
            Some(tls) if tls::is_plain_answer(tls) => Failure::Plain,
            _ if error.is_connect() => Failure::Error(ask.client_error(error, "cannot connect")),
            _ if error.is_request() && !error.is_timeout() => Failure::Dropped(ask.client_error(error, "no answer")),
            _ => Failure::Error(ask.client_error(error, "no answer")),
        })?;
        let size: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        match size > limits::HEADERS {
            true => Err(Failure::Error(ask.error(Code::TooLarge, "the headers of the answer are larger than 64 KiB"))),
            false => Ok(response),
        }
    }

    fn client(&self, url: &Url) -> Result<reqwest::Client> {
        let plain = url.scheme() == "http";
        let mut slot = lock(if plain { &self.http } else { &self.https });
        if let Some(client) = slot.as_ref() {
            return Ok(client.clone());
        }
        let client = match plain {
            true => tls::http_client(&self.options.user_agent)?,
            false => tls::https_client(&self.options.ca_pem, &self.options.user_agent)?,
        };
        *slot = Some(client.clone());
        Ok(client)
    }

    /// `https://host/`, or `http://host/` where that is allowed.
    fn base(&self, ask: &Ask<'_>, host: &str) -> Result<Url> {
        let parse = |scheme: &str| {
            Url::parse(&format!("{scheme}://{host}/"))
                .ok()
                .filter(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none())
                .filter(|url| url.username().is_empty() && url.password().is_none())
                .ok_or_else(|| ask.error(Code::Reference, "the registry is not a host with an optional port"))
        };
        let url = parse("https")?;
        let plain = self.options.http_hosts.iter().any(|known| known == host)
            || (auth::is_loopback(&url) && (self.options.ca_pem.is_empty() || lock(&self.state).plain.contains(host)));
        if plain { parse("http") } else { Ok(url) }
    }

    /// With a CA given, a loopback host is spoken to in TLS first; a plain answer to the greeting ends that.
    fn may_fall_back(&self, host: &str, base: &Url) -> bool {
        base.scheme() == "https" && auth::is_loopback(base) && !lock(&self.state).plain.contains(host)
    }

    fn plain_allowed(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or(80));
        auth::is_loopback(url)
            || self
                .options
                .http_hosts
                .iter()
                .any(|known| *known == with_port || (url.port().is_none() && known == host))
    }

    fn start(&self, ask: &Ask<'_>, base: &Url) -> Result<Url> {
        let rest = match &ask.target {
            Target::Url(url) => return Ok(url.clone()),
            Target::Path(rest) => rest,
        };
        let path = format!("/v2/{}/{rest}", ask.repository);
        // Joining would resolve `..` and cut at `?`: a path that does not come out as it went in is refused.
        match base.join(&path) {
            Ok(url) if url.path() == path && url.query().is_none() && auth::origin(&url) == auth::origin(base) => {
                Ok(url)
            }
            _ => Err(ask.error(Code::Reference, "the repository, tag or digest cannot be part of a URL")),
        }
    }

    /// Judges the next URL of a redirect or an upload.
    fn check_hop(&self, ask: &Ask<'_>, from: &Url, to: &Url) -> Result<()> {
        let refuse =
            |why: &str| Err(ask.error(Code::Protocol, &format!("a redirect or upload location is refused: {why}")));
        match to.scheme() {
            "https" => {}
            "http" if from.scheme() == "https" => return refuse("it leads from https to plain http"),
            "http" if self.plain_allowed(to) => {}
            "http" => return refuse("plain http to that host was not allowed"),
            _ => return refuse("it is neither https nor http"),
        }
        if !to.username().is_empty() || to.password().is_some() {
            return refuse("it carries a user name or password");
        }
        if auth::is_private(to) && !auth::is_private(from) && to.host_str() != from.host_str() {
            return refuse("it leads into a private network");
        }
        Ok(())
    }

    /// The challenge of a 401; Bearer wins when both are offered, as in go-containerregistry.
    fn challenge(&self, ask: &Ask<'_>, response: &Response) -> Result<Asked> {
        let mut all: Vec<Challenge> = Vec::new();
        for value in response.headers().get_all(WWW_AUTHENTICATE).iter().take(8) {
            let text = value.to_str().ok().filter(|text| text.len() <= limits::HEADER_VALUE);
            all.extend(text.and_then(challenge::parse).unwrap_or_default());
        }
        let bearer =
            all.iter().find(|one| one.scheme == "bearer").and_then(|one| one.get("realm").map(|realm| (one, realm)));
        if let Some((one, realm)) = bearer {
            let service = one.get("service").unwrap_or_default().to_owned();
            return Ok(Asked::Bearer { realm: realm.to_owned(), service });
        }
        match all.iter().any(|one| one.scheme == "basic") {
            true => Ok(Asked::Basic),
            false => Err(ask
                .error(
                    Code::Auth,
                    "HTTP 401 without a Basic or Bearer challenge; nothing is known that it would accept",
                )
                .with("status", 401)),
        }
    }

    fn credential(&self, ask: &Ask<'_>, host: &str) -> Result<Option<Credential>> {
        if let Some((_, credential)) = self.options.auth.iter().find(|(of, _)| of == host) {
            return Ok(Some(credential.clone()));
        }
        match &self.options.docker_config {
            Some(config) => config.lookup(host, ask.repository),
            None => Ok(None),
        }
    }

    /// What to send along to the registry: nothing until it has asked once.
    async fn authorization(
        &self,
        ask: &Ask<'_>,
        host: &str,
        base: &Url,
        asked: bool,
        call: &Call,
    ) -> Result<Option<Authorization>> {
        let challenge = lock(&self.state).challenges.get(host).cloned();
        let Some(challenge) = challenge else { return Ok(None) };
        let credential = self.credential(ask, host)?;
        match (challenge, credential) {
            (Asked::Basic, Some(Credential::Basic { user, password })) => {
                Ok(Some(Authorization { value: auth::basic_value(&user, &password), fresh: true }))
            }
            (_, Some(Credential::Token(token))) => {
                Ok(Some(Authorization { value: Zeroizing::new(format!("Bearer {}", *token)), fresh: true }))
            }
            (Asked::Basic, None) if asked => Err(self.no_credentials(ask, host)),
            (Asked::Basic, None) => Ok(None),
            (Asked::Basic, Some(Credential::IdentityToken(_))) => Err(ask.error(
                Code::Auth,
                "the registry asks for a user and password, and only an identity token is configured for it",
            )),
            (Asked::Bearer { realm, service }, credential) => {
                let (value, fresh) = self.token(ask, host, base, &realm, &service, credential, call).await?;
                Ok(Some(Authorization { value: Zeroizing::new(format!("Bearer {}", **value)), fresh }))
            }
        }
    }

    fn no_credentials(&self, ask: &Ask<'_>, host: &str) -> Error {
        let store = self.options.docker_config.as_ref().and_then(DockerConfig::store);
        let note = match store {
            Some(name) => format!(" (the docker config's credential store {:?} was not asked)", clean(name, 60)),
            None => String::new(),
        };
        let why = format!("HTTP 401: it wants a user and password; configure credentials for {host}{note}");
        ask.error(Code::Auth, &why).with("status", 401)
    }

    /// A token for the repository, from the cache or from the token server, and whether it is new.
    #[allow(clippy::too_many_arguments)]
    async fn token(
        &self,
        ask: &Ask<'_>,
        host: &str,
        base: &Url,
        realm: &str,
        service: &str,
        credential: Option<Credential>,
        call: &Call,
    ) -> Result<(Arc<Zeroizing<String>>, bool)> {
        let cached = || {
            let state = lock(&self.state);
            [Scope::PullPush, Scope::Pull]
                .into_iter()
                .filter(|scope| *scope == Scope::PullPush || ask.scope == Scope::Pull)
                .find_map(|scope| {
                    let token = state.tokens.get(&(host.to_owned(), ask.repository.to_owned(), scope))?;
                    (token.ends > Instant::now()).then(|| token.value.clone())
                })
        };
        if let Some(value) = cached() {
            return Ok((value, false));
        }
        let gate = lock(&self.state).gates.entry(host.to_owned()).or_default().clone();
        let late = || ask.late("no token was fetched", limits::FIRST_BYTE);
        let _turn =
            bounded(call, limits::FIRST_BYTE, late, gate.lock()).await.map_err(|error| in_flight(ask, error))?;
        if let Some(value) = cached() {
            return Ok((value, false));
        }
        let pushing = lock(&self.state).pushing.contains(&(host.to_owned(), ask.repository.to_owned()));
        let scope = if pushing { Scope::PullPush } else { ask.scope };
        let (value, life) = self.fetch_token(ask, host, base, realm, service, scope, credential, call).await?;
        let value = Arc::new(value);
        if let Some(ends) = Instant::now().checked_add(life.saturating_sub(limits::TOKEN_MARGIN)) {
            let token = Token { value: value.clone(), ends };
            lock(&self.state).tokens.insert((host.to_owned(), ask.repository.to_owned(), scope), token);
        }
        Ok((value, true))
    }

    #[allow(clippy::too_many_arguments)]
    async fn fetch_token(
        &self,
        ask: &Ask<'_>,
        host: &str,
        base: &Url,
        realm: &str,
        service: &str,
        scope: Scope,
        credential: Option<Credential>,
        call: &Call,
    ) -> Result<(Zeroizing<String>, Duration)> {
        let permitted = |server: &str| {
            let known = &self.options.token_servers;
            known.iter().any(|(of, to)| canonical_host(of) == host && to.eq_ignore_ascii_case(server))
        };
        let mut url = auth::check_realm(base, realm, |url| self.plain_allowed(url), credential.is_some(), permitted)?;
        let scope = format!("repository:{}:{}", ask.repository, scope.actions());
        let mut token_ask = Ask::new(Method::GET, ask.host, ask.repository, String::new(), "GET token".to_owned());
        let mut form = Zeroizing::new(String::new());
        let mut authorization = None;
        if let Some(Credential::IdentityToken(refresh)) = &credential {
            let fields = [
                ("grant_type", "refresh_token"),
                ("service", service),
                ("scope", &scope),
                ("client_id", "libcosign"),
                ("refresh_token", refresh),
            ];
            *form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            (token_ask.method, token_ask.what) = (Method::POST, "POST token".to_owned());
            token_ask = token_ask.header(CONTENT_TYPE, "application/x-www-form-urlencoded")?;
            token_ask.body = Some(form.as_bytes());
        } else {
            if !service.is_empty() {
                url.query_pairs_mut().append_pair("service", service);
            }
            url.query_pairs_mut().append_pair("scope", &scope);
            if let Some(Credential::Basic { user, password }) = &credential {
                authorization = Some(Authorization { value: auth::basic_value(user, password), fresh: true });
            }
        }
        let response = self
            .exchange(&token_ask, &url, authorization.as_ref(), call)
            .await
            .map_err(|failure| failure.into_error(&token_ask).context("token server"))?;
        let status = response.status();
        if status != StatusCode::OK {
            let with = if credential.is_some() { "the configured credentials" } else { "an anonymous request" };
            let error = match status.as_u16() {
                300..=399 => token_ask
                    .error(Code::Protocol, &format!("HTTP {status}: redirects of token requests are not followed")),
                400 | 401 | 403 | 404 | 405 => {
                    token_ask.error(Code::Auth, &format!("HTTP {}: the token server refuses {with}", status.as_u16()))
                }
                _ => self.refusal(&token_ask, response, call).await.context("token server"),
            };
            return Err(error.with("status", status.as_u16()));
        }
        let body = Zeroizing::new(self.body(&token_ask, response, limits::TOKEN, call).await?);
        parse_token(&body).ok_or_else(|| token_ask.error(Code::Auth, "the token server's answer holds no usable token"))
    }
}

/// Codes by which a registry says in its own words that something is not there.
const ABSENT: &[&str] = &["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "NOT_FOUND"];

enum Failure {
    /// The other side answered TLS in plain text.
    Plain,
    /// The connection ended before the answer began.
    Dropped(Error),
    Error(Error),
}

impl Failure {
    fn into_error(self, ask: &Ask<'_>) -> Error {
        match self {
            Failure::Plain => ask.error(
                Code::Tls,
                "cannot connect: the server speaks plain HTTP, which must be allowed for this host by name",
            ),
            Failure::Dropped(error) | Failure::Error(error) => error,
        }
    }
}

fn over(length: usize, cap: u64) -> bool {
    u64::try_from(length).map_or(true, |length| length > cap)
}

/// Names the request in an error that only said "cancelled" or "the deadline passed".
fn in_flight(ask: &Ask<'_>, error: Error) -> Error {
    match error.code() {
        Code::Cancelled | Code::Timeout if error.detail("registry").is_none() => {
            ask.error(error.code(), error.message())
        }
        _ => error,
    }
}

fn secret_value(value: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Error::new(Code::Argument, "a credential has characters that a header cannot carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn header_text(ask: &Ask<'_>, response: &Response, name: HeaderName) -> Result<Option<String>> {
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

/// The token of a token server's answer and how long it lives. `access_token` wins over `token`, as in
/// go-containerregistry; lifetimes that make no sense mean "use once" or are cut.
fn parse_token(body: &[u8]) -> Option<(Zeroizing<String>, Duration)> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<serde_json::Number>,
    }
    // A derived reader would take a list for the object.
    if !body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let (token, access_token) = (answer.token.map(Zeroizing::new), answer.access_token.map(Zeroizing::new));
    let value = access_token.filter(|text| !text.is_empty()).or(token).filter(|text| !text.is_empty())?;
    if !value.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let life = match answer.expires_in {
        None => limits::TOKEN_LIFE,
        Some(number) => match number.as_u64() {
            Some(seconds) => Duration::from_secs(seconds).min(limits::TOKEN_LIFE_MAX),
            None => Duration::ZERO,
        },
    };
    Some((value, life))
}

/// The error for a status that ends the request.
fn status_error(ask: &Ask<'_>, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
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
    fn tokens_are_read_strictly() {
        let read = |json: &str| parse_token(json.as_bytes()).map(|(value, life)| (value.to_string(), life.as_secs()));
        assert_eq!(read(r#"{"token":"a"}"#), Some(("a".to_owned(), 60)));
        assert_eq!(read(r#"{"token":"a","access_token":"b","expires_in":300}"#), Some(("b".to_owned(), 300)));
        assert_eq!(read(r#"{"token":"a","expires_in":-1}"#), Some(("a".to_owned(), 0)));
        assert_eq!(read(r#"{"token":"a","expires_in":9223372036854775808}"#), Some(("a".to_owned(), 3600)));
        for bad in [
            "{}",
            r#"{"token":""}"#,
            r#"{"token":"a b"}"#,
            r#"{"token":"a\r\nX: y"}"#,
            "[]",
            r#"["a","b",1]"#,
            "<html>",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

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

    #[test]
    fn plain_http_is_for_loopback_and_named_hosts() {
        let options = TransportOptions { http_hosts: vec!["plain.test:5000".to_owned()], ..Default::default() };
        let transport = Transport::new(options).unwrap();
        let scheme = |host: &str| {
            let ask = Ask::new(Method::GET, host, "r", String::new(), String::new());
            transport.base(&ask, host).map(|url| url.scheme().to_owned())
        };
        for host in
            ["localhost", "localhost:5000", "a.localhost", "127.0.0.1:1", "127.9.9.9", "[::1]:5000", "plain.test:5000"]
        {
            assert_eq!(scheme(host).unwrap(), "http", "{host}");
        }
        for host in ["plain.test", "plain.test:5001", "10.0.0.1", "index.docker.io", "localhost.test", "127.0.0.1.test"]
        {
            assert_eq!(scheme(host).unwrap(), "https", "{host}");
        }
        for host in ["a/b", "u@a.test", "a.test?x", "a.test#x", ""] {
            assert_eq!(scheme(host).unwrap_err().code(), Code::Reference, "{host}");
        }
    }

    #[test]
    fn a_path_comes_out_as_it_went_in() {
        let transport = Transport::new(TransportOptions::default()).unwrap();
        let base = Url::parse("https://a.test/").unwrap();
        let start = |repository: &str, rest: &str| {
            let ask = Ask::new(Method::GET, "a.test", repository, rest.to_owned(), String::new());
            transport.start(&ask, &base).map(|url| url.to_string())
        };
        assert_eq!(start("a/b", "manifests/v1").unwrap(), "https://a.test/v2/a/b/manifests/v1");
        for (repository, rest) in
            [("a/../../x", "t"), ("a", "manifests/?x"), ("a", "manifests/#x"), ("a", "../b"), ("a", "a\\b")]
        {
            assert_eq!(start(repository, rest).unwrap_err().code(), Code::Reference, "{repository} {rest}");
        }
    }
}
