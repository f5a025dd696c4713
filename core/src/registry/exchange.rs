//! From a request to its answer: challenges, redirects, and the border that credentials do not cross.
//!
//! Credentials go to the registry's exact origin (scheme, host, port) and, under the rules of `realm.rs`, to its token
//! server; once a request has left the origin they do not come back.

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HeaderValue, LOCATION};
use reqwest::{Method, Response};
use url::Url;

use super::answer::header_text;
use super::auth::canonical_host;
use super::limits::{self, bounded};
use super::realm;
use super::request::{Ask, Target, clean, in_flight};
use super::resolve::is_private_address;
use super::retry::Failure;
use super::tls;
use super::token::Authorization;
use super::transport::{Transport, lock};
use crate::call::Call;
use crate::error::{Code, Error, Result};

impl Transport {
    /// Sends the request, answers challenges, follows redirects; returns the last answer and the URL that gave it.
    pub(super) async fn send(&self, ask: &Ask<'_>, call: &Call) -> std::result::Result<(Response, Url), Failure> {
        let host = canonical_host(ask.host);
        let mut first = self.first_contact(ask, &host, call).await?;
        // After the first contact, which may have shown that a loopback host speaks no TLS.
        let mut base = self.base(ask, &host)?;
        let mut url = self.start(ask, &base)?;
        let (mut hops, mut left_home, mut asked) = (0, false, false);
        // A credential that this request already used and the registry did not accept.
        let mut spent = false;
        loop {
            left_home = left_home || realm::origin(&url) != realm::origin(&base);
            let authorization = match left_home {
                true => None,
                false => self.authorization(ask, &host, &base, asked, call).await?,
            };
            let response = match self.exchange(ask, &base, &url, authorization.as_ref(), call).await {
                // Another request may have found that out meanwhile.
                Err(failure) if failure.plain && base.scheme() == "https" && realm::is_loopback(&base) => {
                    lock(&self.state).plain.insert(host.clone(), ());
                    base = self.base(ask, &host)?;
                    if base.scheme() != "http" {
                        return Err(failure);
                    }
                    url = self.start(ask, &base)?;
                    continue;
                }
                other => other?,
            };
            match response.status().as_u16() {
                401 if left_home => {
                    let there = clean(url.host_str().unwrap_or_default(), 100);
                    let why = format!(
                        "HTTP 401 from {there}, where the registry redirected to; credentials never follow a redirect"
                    );
                    return Err(ask.error(Code::Auth, &why).with("status", 401).into());
                }
                401 => {
                    let used_fresh = authorization.as_ref().is_some_and(|used| used.fresh);
                    // Asked and nothing to say: what it asked for was forgotten among too many hosts.
                    let speechless = asked && authorization.is_none();
                    if used_fresh || spent || speechless {
                        return Ok((response, url));
                    }
                    spent = authorization.is_some();
                    let challenge = self.challenge(ask, &response)?;
                    let mut state = lock(&self.state);
                    // Only the token that was refused: a neighbour in the same batch may have fetched a new one by now.
                    let refused = authorization.as_ref().and_then(|used| used.value.strip_prefix("Bearer "));
                    state.tokens.retain(|_, token| Some(token.value.as_str()) != refused);
                    state.challenges.insert(host.clone(), challenge);
                    if authorization.as_ref().is_some_and(|used| used.value.starts_with("Basic ")) {
                        state.helped.retain(|(of, _), _| *of != host);
                    }
                    asked = true;
                    drop(state);
                    // What it asks for is known now; the others need not run into it.
                    drop(first.take());
                }
                status @ (301 | 302 | 303 | 307 | 308) => {
                    if !matches!(ask.method, Method::GET | Method::HEAD) && !matches!(status, 307 | 308) {
                        let why = format!("HTTP {status}: this redirect would turn it into a GET");
                        return Err(ask.error(Code::Protocol, &why).into());
                    }
                    hops += 1;
                    if hops > limits::REDIRECTS {
                        let why = format!("more than {} redirects", limits::REDIRECTS);
                        return Err(ask.error(Code::TooLarge, &why).with("limit", limits::REDIRECTS).into());
                    }
                    let location = header_text(ask, response.headers(), LOCATION)?
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

    /// The first request to a host goes alone, until it is known what the host asks for: else a batch of k requests
    /// would be refused k times. That only saves requests, so nobody waits for it longer than a moment: it may be the
    /// one that gets no answer. `None` once the host was heard.
    pub(super) async fn first_contact(
        &self,
        ask: &Ask<'_>,
        host: &str,
        call: &Call,
    ) -> Result<Option<FirstContact<'_>>> {
        let gate = {
            let mut state = lock(&self.state);
            if state.met.contains(host) {
                return Ok(None);
            }
            state.greetings.get_or_default(host.to_owned()).clone()
        };
        let turn = tokio::time::timeout(limits::FIRST_CONTACT, gate.lock_owned());
        let late = || ask.late("the registry did not answer another request", limits::FIRST_BYTE);
        let turn = bounded(call, limits::FIRST_BYTE, late, turn).await.map_err(|error| in_flight(ask, error))?;
        match lock(&self.state).met.contains(host) {
            true => Ok(None),
            false => Ok(Some(FirstContact { transport: self, host: host.to_owned(), _turn: turn.ok() })),
        }
    }

    /// One HTTP exchange up to the headers of the answer. `base` is the registry that this is all about.
    pub(super) async fn exchange(
        &self,
        ask: &Ask<'_>,
        base: &Url,
        url: &Url,
        authorization: Option<&Authorization>,
        call: &Call,
    ) -> std::result::Result<Response, Failure> {
        let client = self.client(base, url, ask.service.is_some())?;
        let mut request = client
            .request(ask.method.clone(), url.clone())
            .headers(ask.headers.clone())
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(body) = ask.body {
            request = request.header(CONTENT_LENGTH, body.len()).body(body.to_vec());
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, secret_value(&authorization.value)?);
        }
        let late = || ask.late("no answer", limits::FIRST_BYTE);
        call.check().map_err(|error| in_flight(ask, error))?;
        let answer = bounded(call, limits::FIRST_BYTE, late, request.send()).await;
        if let Some(observer) = &self.options.observer {
            let status = match &answer {
                Ok(Ok(response)) => response.status().as_u16().to_string(),
                _ => "no answer".to_owned(),
            };
            observer(&format!("{} {} {status}", ask.method, without_secrets(url)));
        }
        let answer = answer.map_err(|error| Failure::stopped(in_flight(ask, error)))?;
        let response = answer.map_err(|error| {
            if is_private_address(&error) {
                return ask.error(Code::Protocol, "cannot connect: the name leads into a private network").into();
            }
            let plain = tls::tls_error(&error).is_some_and(tls::is_plain_answer);
            match tls::tls_error(&error).is_some() {
                true => Failure { plain, ..ask.client_error(error, "cannot connect").into() },
                false if error.is_connect() => Failure::unsent(ask.client_error(error, "cannot connect")),
                false if error.is_request() && !error.is_timeout() => {
                    Failure::dropped(ask.client_error(error, "no answer"))
                }
                false => Failure::stopped(ask.client_error(error, "no answer")),
            }
        })?;
        let size: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        match size > limits::HEADERS {
            true => Err(ask.error(Code::TooLarge, "the headers of the answer are larger than 64 KiB").into()),
            false => Ok(response),
        }
    }

    /// `https://host/`, or `http://host/` where that is allowed.
    pub(super) fn base(&self, ask: &Ask<'_>, host: &str) -> Result<Url> {
        let parse = |scheme: &str| {
            Url::parse(&format!("{scheme}://{host}/"))
                .ok()
                .filter(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none())
                .filter(|url| url.username().is_empty() && url.password().is_none())
                .ok_or_else(|| ask.error(Code::Reference, "the registry is not a host with an optional port"))
        };
        let url = parse("https")?;
        let no_ca = || Ok::<_, Error>(self.options.ca_pem.is_empty() && self.certificates(host)?.is_empty());
        // With a CA given, a loopback host is spoken to in TLS first; a plain answer to the greeting ends that.
        let plain = self.options.http_hosts.iter().any(|known| known == host)
            || (realm::is_loopback(&url) && (no_ca()? || lock(&self.state).plain.contains(host)));
        if plain { parse("http") } else { Ok(url) }
    }

    pub(super) fn plain_allowed(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or(80));
        realm::is_loopback(url)
            || self
                .options
                .http_hosts
                .iter()
                .any(|known| *known == with_port || (url.port().is_none() && known == host))
    }

    pub(super) fn start(&self, ask: &Ask<'_>, base: &Url) -> Result<Url> {
        let rest = match &ask.target {
            Target::Url(url) => return Ok(url.clone()),
            Target::Path(rest) => rest,
        };
        let path = format!("/v2/{}/{rest}", ask.repository);
        // Joining would resolve `..` and cut at `?`: a path that does not come out as it went in is refused.
        match base.join(&path) {
            Ok(mut url)
                if url.path() == path && url.query().is_none() && realm::origin(&url) == realm::origin(base) =>
            {
                if !ask.query.is_empty() {
                    url.query_pairs_mut().extend_pairs(&ask.query);
                }
                Ok(url)
            }
            _ => Err(ask.error(Code::Reference, "the repository, tag or digest cannot be part of a URL")),
        }
    }

    /// Judges the next URL of a redirect or an upload.
    pub(super) fn check_hop(&self, ask: &Ask<'_>, from: &Url, to: &Url) -> Result<()> {
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
        if realm::is_private(to) && !realm::is_private(from) && to.host_str() != from.host_str() {
            return refuse("it leads into a private network");
        }
        Ok(())
    }
}

/// A URL fit for a log: user, password and the values of its query may be secrets.
fn without_secrets(url: &Url) -> String {
    let names: Vec<String> = url.query_pairs().map(|(name, _)| clean(&name, 40)).collect();
    let query = if names.is_empty() { String::new() } else { format!("?{}", names.join("&")) };
    format!("{}{}{query}", url.origin().ascii_serialization(), clean(url.path(), 400))
}

/// The turn of the first request to a host, or of one that waited for it long enough; when it ends the host counts as
/// met, whatever came of it.
pub(super) struct FirstContact<'a> {
    transport: &'a Transport,
    host: String,
    _turn: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Drop for FirstContact<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.transport.state);
        state.greetings.remove(&self.host);
        state.met.insert(std::mem::take(&mut self.host), ());
    }
}

pub(super) fn secret_value(value: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Error::new(Code::Argument, "a credential has characters that a header cannot carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::super::transport::TransportOptions;
    use super::*;

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
    fn what_an_observer_sees_holds_no_secret() {
        let url =
            Url::parse("https://user:secret@a.test:444/v2/a/blobs/x?digest=sha256:1&X-Sig=secret#secret").unwrap();
        assert_eq!(without_secrets(&url), "https://a.test:444/v2/a/blobs/x?digest&X-Sig");
        assert_eq!(without_secrets(&Url::parse("http://127.0.0.1:5000/v2/").unwrap()), "http://127.0.0.1:5000/v2/");
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
