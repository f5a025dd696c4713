//! One request as an operation means it, and the errors that name it.
//!
//! Whatever goes wrong is said with the registry, the repository and the request, in text that is fit for a terminal and
//! holds no URL: URLs of redirects and token servers carry secrets.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::retry::Resend;
use super::tls;
use crate::error::{Code, Error, Result};

/// One request as the operation means it; `send` turns it into one or more HTTP exchanges.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) host: &'a str,
    pub(super) repository: &'a str,
    pub(super) scope: Scope,
    pub(super) target: Target,
    /// Parameters of the URL besides those it has.
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: HeaderMap,
    pub(super) resend: Resend,
    /// Whether the body of a success matters although this is no GET.
    pub(super) reads: bool,
    /// A repository of the same registry that must be readable, too.
    pub(super) source: Option<&'a str>,
    pub(super) body: Option<&'a [u8]>,
    /// `GET manifest v1`, for messages.
    pub(super) what: String,
    /// What the host is, if it is no registry.
    pub(super) service: Option<&'static str>,
}

pub(super) enum Target {
    /// A path under `/v2/<repository>/`.
    Path(String),
    /// Where the registry told us to continue.
    Url(Url),
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: Method, host: &'a str, repository: &'a str, path: String, what: String) -> Ask<'a> {
        let scope = match method {
            Method::GET | Method::HEAD => Scope::Pull,
            Method::DELETE => Scope::Delete,
            _ => Scope::PullPush,
        };
        let (target, headers, query) = (Target::Path(path), HeaderMap::new(), Vec::new());
        let (resend, reads, source, body) = (Resend::Always, false, None, None);
        let service = None;
        Ask { method, host, repository, scope, target, query, headers, resend, reads, source, body, what, service }
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Result<Self> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| self.error(Code::Argument, &format!("the header {name} cannot carry this value")))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    pub(super) fn error(&self, code: Code, why: &str) -> Error {
        if let Some(service) = self.service {
            return Error::new(code, format!("{service} {}: {}: {why}", self.host, self.what))
                .with("service", self.host)
                .with("request", self.what.as_str());
        }
        Error::new(code, format!("registry {}: {} in {}: {why}", self.host, self.what, self.repository))
            .with("registry", self.host)
            .with("repository", self.repository)
            .with("request", self.what.as_str())
    }

    pub(super) fn late(&self, what: &str, limit: Duration) -> Error {
        self.error(Code::Timeout, &format!("{what} within {} s; try again later", limit.as_secs()))
    }

    /// The error for an HTTP client's failure; its text never holds a URL, since those may carry tokens.
    pub(super) fn client_error(&self, error: reqwest::Error, doing: &str) -> Error {
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

/// What a token must allow; each includes those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Scope {
    Pull,
    PullPush,
    Delete,
}

impl Scope {
    pub(super) fn actions(self) -> &'static str {
        match self {
            Scope::Pull => "pull",
            Scope::PullPush => "pull,push",
            Scope::Delete => "pull,push,delete",
        }
    }
}

/// Text from outside, fit for a message: one line, no control or direction-changing characters, a length cap.
pub(super) fn clean(text: &str, most: usize) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().filter(|c| !harmful(*c)).take(most).collect()
}

/// Names the request in an error that only said "cancelled" or "the deadline passed".
pub(super) fn in_flight(ask: &Ask<'_>, error: Error) -> Error {
    match error.code() {
        Code::Cancelled | Code::Timeout if error.detail("request").is_none() => {
            ask.error(error.code(), error.message())
        }
        _ => error,
    }
}
