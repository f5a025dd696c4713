//! Whom we trust on the wire, and the two HTTP clients built on it.
//!
//! Nothing is loaded before the first https request, no environment variable is read, and no process-wide default is
//! installed: the crypto provider is handed over explicitly.

use std::io::Read;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::limits;
use super::proxy::ProxyRules;
use super::resolve::Resolver;
use crate::error::{Code, Error, Result};

/// Where systems keep their certificate authorities; the first file that holds certificates is used (Go's list).
pub const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/usr/local/etc/ssl/cert.pem",
    "/etc/openssl/certs/ca-certificates.crt",
];

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty())
}

/// Whether `pem` holds at least one certificate and nothing broken.
pub fn check_ca(pem: &[u8]) -> Result<()> {
    match certificates(pem) {
        Some(_) => Ok(()),
        None => {
            Err(Error::new(Code::Argument, "the CA certificates are not PEM: expected -----BEGIN CERTIFICATE-----"))
        }
    }
}

fn read_capped(path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(limits::ROOTS_FILE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn roots(system: &[&str], extra: &[&[u8]]) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for path in system {
        let Some(found) = read_capped(path).as_deref().and_then(certificates) else { continue };
        // System files carry a few certificates that webpki does not read; the others still count.
        if store.add_parsable_certificates(found).0 > 0 {
            break;
        }
    }
    for pem in extra {
        for certificate in certificates(pem).unwrap_or_default() {
            store.add(certificate).map_err(|error| {
                Error::new(Code::TlsRoots, format!("a CA certificate that was given cannot be used: {error}"))
            })?;
        }
    }
    if store.is_empty() {
        let probed = system.join(", ");
        return Err(Error::new(
            Code::TlsRoots,
            format!("no trusted certificate authority was found; looked in {probed}; install ca-certificates or give a CA file"),
        )
        .with("probed", system.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>()));
    }
    Ok(store)
}

/// A certificate that shows a registry who we are, and its key.
#[derive(Clone)]
pub struct ClientCertificate(Arc<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>);

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<ClientCertificate>")
    }
}

impl ClientCertificate {
    /// A certificate with its chain and its unencrypted private key, both PEM.
    ///
    /// # Errors
    /// [`Code::Argument`] when one of them is not PEM of its kind.
    pub fn parse(certificate_pem: &[u8], key_pem: &[u8]) -> Result<ClientCertificate> {
        let bad = |what: &str| Error::new(Code::Argument, format!("the client {what}"));
        let chain = certificates(certificate_pem)
            .ok_or_else(|| bad("certificate is not PEM: expected -----BEGIN CERTIFICATE-----"))?;
        let key = PrivateKeyDer::from_pem_slice(key_pem)
            .map_err(|_| bad("certificate's key is not an unencrypted private key in PEM"))?;
        Ok(ClientCertificate(Arc::new((chain, key))))
    }
}

/// Whom a client trusts and who it says it is.
pub(super) struct Trust<'a> {
    /// Whether the system's authorities count.
    pub(super) system: bool,
    /// More authorities, PEM.
    pub(super) extra: Vec<&'a [u8]>,
    pub(super) identity: Option<&'a ClientCertificate>,
}

/// What every client needs.
pub(super) struct Setup<'a> {
    pub(super) user_agent: &'a str,
    pub(super) resolver: Resolver,
    pub(super) proxies: &'a ProxyRules,
}

fn config(roots: RootCertStore, identity: Option<&ClientCertificate>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(Code::Tls, format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots);
    let mut config = match identity.map(|identity| &*identity.0) {
        None => config.with_no_client_auth(),
        Some((chain, key)) => config
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| Error::new(Code::Argument, format!("the client certificate cannot be used: {error}")))?,
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn client(tls: ClientConfig, setup: Setup<'_>) -> Result<reqwest::ClientBuilder> {
    let user_agent = reqwest::header::HeaderValue::from_str(setup.user_agent)
        .map_err(|_| Error::new(Code::Argument, "the user agent has characters that a header cannot carry"))?;
    // No proxy of the environment; the rules that were given come after.
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
    let builder = match setup.proxies.is_empty() {
        true => builder,
        false => {
            let rules = setup.proxies.clone();
            builder.proxy(reqwest::Proxy::custom(move |url| rules.find(url)))
        }
    };
    Ok(builder
        .dns_resolver(Arc::new(setup.resolver))
        // Redirects are ours: credentials must not follow them.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent(user_agent)
        .connect_timeout(limits::CONNECT)
        .http1_max_headers(limits::HEADER_COUNT)
        .http2_max_header_list_size(u32::try_from(limits::HEADERS).unwrap_or(u32::MAX)))
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    builder.build().map_err(|error| Error::new(Code::Internal, format!("the HTTP client cannot be built: {error}")))
}

/// A client for https only.
pub(super) fn https_client(trust: &Trust<'_>, setup: Setup<'_>) -> Result<reqwest::Client> {
    let system = if trust.system { SYSTEM_ROOTS } else { &[] };
    build(client(config(roots(system, &trust.extra)?, trust.identity)?, setup)?.https_only(true))
}

/// A client for plain HTTP: it trusts nobody, so that an https URL given to it by mistake fails.
pub(super) fn http_client(setup: Setup<'_>) -> Result<reqwest::Client> {
    build(client(config(RootCertStore::empty(), None)?, setup)?)
}

/// The TLS error inside an error of the HTTP client, if that is what failed.
pub fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // An io::Error shows its cause's source, not its cause, so it is opened by hand.
        let inner = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(tls);
        }
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Whether the other side answered the TLS greeting in plain text, as an HTTP server does.
pub fn is_plain_answer(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType))
}

/// What to do about a failed TLS connection; empty when there is nothing to say.
pub(super) fn advice(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(_) => "; if this registry has a private authority, give its CA certificate",
        error if is_plain_answer(error) => {
            "; the server speaks plain HTTP, which must be allowed for this host by name"
        }
        _ => "",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn missing_roots_name_every_place_that_was_tried() {
        let error = roots(&["/nonexistent/a.pem", "/nonexistent/b.pem"], &[]).unwrap_err();
        assert_eq!(error.code(), Code::TlsRoots);
        assert!(error.message().contains("/nonexistent/a.pem, /nonexistent/b.pem"), "{error}");
    }

    #[test]
    fn a_broken_ca_is_refused() {
        assert_eq!(check_ca(b"no pem").unwrap_err().code(), Code::Argument);
    }
}
