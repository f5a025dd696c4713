//! Whom we trust on the wire, and the two HTTP clients built on it.
//!
//! Nothing is loaded before the first https request, no environment variable is read, and no process-wide default is
//! installed: the crypto provider is handed over explicitly.

use std::io::Read;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::limits;
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

fn roots(system: &[&str], extra: &[Vec<u8>]) -> Result<RootCertStore> {
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

fn config(roots: RootCertStore) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(Code::Tls, format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn client(tls: ClientConfig, user_agent: &str) -> Result<reqwest::ClientBuilder> {
    let user_agent = reqwest::header::HeaderValue::from_str(user_agent)
        .map_err(|_| Error::new(Code::Argument, "the user agent has characters that a header cannot carry"))?;
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
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

/// A client for https only, trusting the system's authorities and `extra`.
pub fn https_client(extra: &[Vec<u8>], user_agent: &str) -> Result<reqwest::Client> {
    build(client(config(roots(SYSTEM_ROOTS, extra)?)?, user_agent)?.https_only(true))
}

/// A client for plain HTTP: it trusts nobody, so that an https URL given to it by mistake fails.
pub fn http_client(user_agent: &str) -> Result<reqwest::Client> {
    build(client(config(RootCertStore::empty())?, user_agent)?)
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
