//! TLS with a certificate authority of the registry's own, made when it starts.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// A registry behind TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Whether HTTP/2 is offered (by ALPN).
    pub http2: bool,
    /// Whether only clients with [`Credentials::client`] are let in.
    pub client_certificate: bool,
    /// What is wrong with the certificate.
    pub certificate: Certificate,
}

/// What is wrong with the certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certificate {
    /// Nothing: it is for `127.0.0.1` and `localhost`.
    #[default]
    Good,
    /// It is for another name.
    OtherName,
    /// It ended in 2020.
    Expired,
}

/// What clients need, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The authority's certificate.
    pub ca: String,
    /// A client's certificate.
    pub client: String,
    /// Its private key.
    pub client_key: String,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Makes an authority, a server behind it and a client's certificate.
pub(super) fn make(tls: Tls) -> Outcome<(TlsAcceptor, Credentials)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "test registry's authority");
    let key = KeyPair::generate()?;
    let ca = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);

    let names = match tls.certificate {
        Certificate::OtherName => vec!["other.test".to_owned()],
        _ => vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
    };
    let mut params = CertificateParams::new(names)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if tls.certificate == Certificate::Expired {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    }
    let server_key = KeyPair::generate()?;
    let server = params.signed_by(&server_key, &issuer)?;

    let mut params = CertificateParams::new(vec!["client.test".to_owned()])?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client_key = KeyPair::generate()?;
    let client = params.signed_by(&client_key, &issuer)?;

    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match tls.client_certificate {
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der().clone())?;
            builder
                .with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build()?)
        }
        false => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::try_from(server_key.serialize_der())?;
    let mut config = builder.with_single_cert(vec![server.der().clone()], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if tls.http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    let credentials = Credentials { ca: ca.pem(), client: client.pem(), client_key: client_key.serialize_pem() };
    Ok((TlsAcceptor::from(Arc::new(config)), credentials))
}
