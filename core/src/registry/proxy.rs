//! Which requests go through a proxy: the rules of Go's `httpproxy`, which registry users know from docker and cosign.
//!
//! Nothing is read from the environment here; `ClientOptions::from_env` does. A loopback host is never asked for through
//! a proxy.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use super::realm::is_loopback;
use crate::error::{Code, Error, Result};

/// Proxies for https and http URLs, and the hosts that are reached without.
#[derive(Clone, Default)]
pub struct ProxyRules {
    https: Option<Url>,
    http: Option<Url>,
    all_direct: bool,
    direct: Vec<Direct>,
}

impl fmt::Debug for ProxyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<Url>| url.as_ref().and_then(Url::host_str).map(str::to_owned);
        f.debug_struct("ProxyRules").field("https", &shown(&self.https)).field("http", &shown(&self.http)).finish()
    }
}

/// One entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Direct {
    /// An address block.
    Block(IpAddr, u32),
    /// An address, and a port if one was given.
    Address(IpAddr, Option<u16>),
    /// `.example.com`, or `example.com` that stands for itself too; and a port if one was given.
    Name { suffix: String, itself: bool, port: Option<u16> },
}

fn parse_proxy(text: &str) -> Result<Option<Url>> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    // The text may hold a password, so that no message repeats it.
    let bad = |why: &str| Error::new(Code::Argument, format!("the proxy {why}"));
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("http://{text}")),
    };
    let url = url.map_err(|_| bad("is not a URL"))?;
    match url.scheme() {
        "http" | "https" if url.host_str().is_some_and(|host| !host.is_empty()) => Ok(Some(url)),
        "http" | "https" => Err(bad("has no host")),
        "socks5" | "socks5h" => {
            Err(Error::new(Code::Unsupported, "SOCKS proxies are not spoken to; name an http or https proxy"))
        }
        _ => Err(bad("is neither http nor https")),
    }
}

fn parse_direct(entry: &str) -> Option<Direct> {
    let entry = entry.trim().to_ascii_lowercase();
    if let Some((address, bits)) = entry.split_once('/') {
        let (address, bits): (IpAddr, u32) = (address.parse().ok()?, bits.parse().ok()?);
        return (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Direct::Block(address, bits));
    }
    let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    if let Some(address) = bare(&entry) {
        return Some(Direct::Address(address, None));
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (entry.as_str(), None),
    };
    if let Some(address) = bare(name) {
        return Some(Direct::Address(address, port));
    }
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    match name.strip_prefix('.') {
        _ if name.is_empty() => None,
        Some(_) => Some(Direct::Name { suffix: name.to_owned(), itself: false, port }),
        None => Some(Direct::Name { suffix: format!(".{name}"), itself: true, port }),
    }
}

fn in_block(address: IpAddr, block: IpAddr, bits: u32) -> bool {
    match (address, block) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            u32::from(a) & mask == u32::from(b) & mask
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            u128::from(a) & mask == u128::from(b) & mask
        }
        _ => false,
    }
}

impl Direct {
    fn covers(&self, url: &Url) -> bool {
        let same_port = |port: &Option<u16>| port.is_none() || *port == url.port_or_known_default();
        let address = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            _ => None,
        };
        match self {
            Direct::Block(block, bits) => address.is_some_and(|address| in_block(address, *block, *bits)),
            Direct::Address(known, port) => address == Some(*known) && same_port(port),
            Direct::Name { suffix, itself, port } => {
                let Some(Host::Domain(host)) = url.host() else { return false };
                let host = host.trim_end_matches('.');
                let own = *itself && suffix.strip_prefix('.') == Some(host);
                (own || host.ends_with(suffix.as_str())) && same_port(port)
            }
        }
    }
}

impl ProxyRules {
    /// Rules from the values of `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`; empty text is none. `NO_PROXY` holds hosts
    /// (with their sub-domains), `.suffixes`, `host:port`, addresses and blocks of them, or `*`, separated by commas.
    ///
    /// # Errors
    /// [`Code::Argument`] for a proxy that is no http or https URL, [`Code::Unsupported`] for SOCKS.
    pub fn new(https: &str, http: &str, no_proxy: &str) -> Result<ProxyRules> {
        Ok(ProxyRules {
            https: parse_proxy(https)?,
            http: parse_proxy(http)?,
            all_direct: no_proxy.split(',').any(|entry| entry.trim() == "*"),
            direct: no_proxy.split(',').filter_map(parse_direct).collect(),
        })
    }

    /// The proxy for a URL, with the credentials in it if the user gave some.
    pub(super) fn find(&self, url: &Url) -> Option<Url> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        let proxy = proxy.as_ref()?;
        let direct = self.all_direct || is_loopback(url) || self.direct.iter().any(|entry| entry.covers(url));
        (!direct).then(|| proxy.clone())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.https.is_none() && self.http.is_none()
    }

    /// The names of the proxies themselves.
    pub(super) fn hosts(&self) -> impl Iterator<Item = String> {
        self.https.iter().chain(&self.http).filter_map(|url| url.host_str()).map(str::to_ascii_lowercase)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn goes_around_the_proxy_as_go_does() {
        let no = "plain.test, .suffix.test,*.star.test,port.test:8443,10.1.0.0/16,192.0.2.7,192.0.2.8:80,2001:db8::/32,[2001:db9::1]:443,";
        let rules = ProxyRules::new("http://proxy.test:3128", "proxy.test:3129", no).unwrap();
        let direct = |url: &str| rules.find(&Url::parse(url).unwrap()).is_none();
        for url in [
            "https://plain.test/",
            "https://PLAIN.test:5000/",
            "https://a.plain.test/",
            "https://a.suffix.test/",
            "https://a.b.star.test/",
            "https://port.test:8443/",
            "https://10.1.255.1/",
            "https://192.0.2.7/",
            "http://192.0.2.8/",
            "https://[2001:db8:1::1]/",
            "https://[2001:db9::1]/",
            "http://localhost:5000/",
            "https://127.9.9.9/",
            "http://[::1]/",
        ] {
            assert!(direct(url), "{url}");
        }
        for url in [
            "https://notplain.test/",
            "https://suffix.test/",
            "https://star.test/",
            "https://port.test/",
            "https://10.2.0.1/",
            "https://192.0.2.8/",
            "https://[2001:db9::2]/",
            "https://localhost.test/",
        ] {
            assert!(!direct(url), "{url}");
        }
        let proxy = |url: &str| rules.find(&Url::parse(url).unwrap()).unwrap().to_string();
        assert_eq!(proxy("https://a.test/"), "http://proxy.test:3128/");
        assert_eq!(proxy("http://a.test/"), "http://proxy.test:3129/");
        let none = ProxyRules::new("http://proxy.test", "", "*").unwrap();
        assert!(none.find(&Url::parse("https://a.test/").unwrap()).is_none());
        assert!(ProxyRules::new("", "", "").unwrap().is_empty());
    }

    #[test]
    fn shows_no_password_of_a_proxy() {
        let rules = ProxyRules::new("http://user:secret@proxy.test", "", "").unwrap();
        assert!(!format!("{rules:?}").contains("secret"));
        for (bad, code) in [
            ("http://user:secret@", Code::Argument),
            ("ftp://user:secret@proxy.test", Code::Argument),
            ("socks5://user:secret@proxy.test", Code::Unsupported),
        ] {
            let error = ProxyRules::new(bad, "", "").unwrap_err();
            assert_eq!(error.code(), code, "{bad}");
            assert!(!error.message().contains("secret"), "{error}");
        }
    }
}
