//! The connection pool and its memory: clients, credentials, tokens for any number of registries.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::header::HeaderValue;
use url::Url;

use super::auth::{Credential, DockerConfig, canonical_host};
use super::request::Scope;
use super::tls;
use super::token::{Asked, Token};
use crate::error::{Code, Error, Result};

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

/// A connection pool, credentials and tokens for any number of registries. Making one costs nothing; clients, trust and
/// sockets come with the first request.
pub struct Transport {
    pub(super) options: TransportOptions,
    https: Mutex<Option<reqwest::Client>>,
    http: Mutex<Option<reqwest::Client>>,
    pub(super) state: Mutex<State>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("options", &self.options).finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(super) struct State {
    // Loopback hosts that answered the TLS greeting in plain text.
    pub(super) plain: HashSet<String>,
    pub(super) challenges: HashMap<String, Asked>,
    pub(super) tokens: HashMap<(String, String, Scope), Token>,
    // One token request at a time per host: a parallel batch needs one token, not one each.
    pub(super) gates: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
    pub(super) pushing: HashSet<(String, String)>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data behind these locks is valid after every statement, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub(super) fn client(&self, url: &Url) -> Result<reqwest::Client> {
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
}
