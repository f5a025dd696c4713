//! The connection pool and its memory: clients, credentials, tokens for any number of registries.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use url::Url;

use super::auth::{Credential, canonical_host};
use super::bounded::Bounded;
use super::capabilities::Capabilities;
use super::certs::HostCertificates;
use super::docker_config::DockerConfig;
#[cfg(feature = "oci-client")]
use super::oci_client::OciClient;
use super::proxy::ProxyRules;
use super::realm;
use super::request::Scope;
use super::resolve::{PrivateNames, Resolver};
use super::tls::{self, ClientCertificate, Setup, Trust};
use super::token::{Asked, Gate, Token};
use crate::error::{Code, Error, Result};

/// Told of an HTTP exchange in one line, such as `GET https://ghcr.io/v2/a/b/manifests/v1 200`: of a query only the names are
/// told, of headers and bodies nothing, so no credential is in it. Called on the thread of the request.
pub type Observer = Arc<dyn Fn(&str) + Send + Sync>;

/// What a [`Transport`] needs to know; all empty is fine.
#[derive(Clone, Default)]
pub struct TransportOptions {
    /// The `User-Agent`; empty for the library's name and version.
    pub user_agent: String,
    /// Certificate authorities to trust besides the system's, PEM.
    pub ca_pem: Vec<Vec<u8>>,
    /// Whether `ca_pem` stands alone: the system's authorities are not trusted.
    pub replace_system_ca: bool,
    /// Shown to registries that ask for a certificate; never to where they redirect.
    pub client_certificate: Option<ClientCertificate>,
    /// Folders of certificates per registry: `<folder>/<host:port>/*.crt`, `*.cert`, `*.key`. The first that has one for a
    /// host counts.
    pub certs_dirs: Vec<PathBuf>,
    /// Credentials by registry host (`host[:port]`); they win over `docker_configs`.
    pub auth: Vec<(String, Credential)>,
    /// Docker's `config.json` and podman's `auth.json`, first choice first.
    pub docker_configs: Vec<DockerConfig>,
    /// Whether the helper programs that `docker_configs` name are started (`docker-credential-<name>` in `PATH`).
    pub credential_helpers: bool,
    /// Hosts (`host[:port]`) that may be spoken to in plain HTTP. Loopback hosts always may.
    pub http_hosts: Vec<String>,
    /// Pairs of registry host and token server host: the registry's credentials may go to that token server although it
    /// belongs to another domain.
    pub token_servers: Vec<(String, String)>,
    /// Proxies; none by default.
    pub proxies: ProxyRules,
    /// Whether to show nobody who asks: no credential and no certificate, whatever else these options hold.
    pub anonymous: bool,
    /// Told of each HTTP exchange when it is over.
    pub observer: Option<Observer>,
    /// For tests: how long to wait before the second attempt, at most.
    #[doc(hidden)]
    pub retry_base: Option<Duration>,
    /// For tests: addresses of names, in place of a look-up.
    #[doc(hidden)]
    pub addresses: Vec<(String, SocketAddr)>,
}

impl fmt::Debug for TransportOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportOptions")
            .field("user_agent", &self.user_agent)
            .field("auth", &self.auth)
            .field("docker_configs", &self.docker_configs)
            .field("http_hosts", &self.http_hosts)
            .field("token_servers", &self.token_servers)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

/// A connection pool, credentials and tokens for any number of registries. Making one costs nothing; clients, trust and
/// sockets come with the first request.
pub struct Transport {
    pub(super) options: TransportOptions,
    clients: Mutex<Bounded<Place, reqwest::Client>>,
    private: PrivateNames,
    pub(super) state: Mutex<State>,
    // Takes the place of our own requests.
    #[cfg(feature = "oci-client")]
    pub(super) through: Option<OciClient>,
}

/// Where a request goes, as far as it matters to the HTTP client: connections are not shared between places.
#[derive(PartialEq, Eq, Hash)]
enum Place {
    /// A registry itself; named only where certificates are kept for it.
    Home { plain: bool, host: Option<String> },
    /// Another host than the registry, which itself is in a private network; or a service that the caller named.
    Neighbour { plain: bool },
    /// Another host, which must not lead into a private network.
    Away { plain: bool },
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What was learned; every map forgets what was not used for long, so that a client may live for years.
#[derive(Default)]
pub(super) struct State {
    // Hosts that were heard once, and the turns of those who wait for that.
    pub(super) met: Bounded<String, ()>,
    pub(super) greetings: Bounded<String, Arc<tokio::sync::Mutex<()>>>,
    // What helper programs said, by host and helper.
    pub(super) helped: Bounded<(String, String), Option<Credential>>,
    pub(super) certificates: Bounded<String, Arc<HostCertificates>>,
    pub(super) capabilities: Bounded<(String, String), Capabilities, 2048>,
    // Loopback hosts that answered the TLS greeting in plain text.
    pub(super) plain: Bounded<String, ()>,
    pub(super) challenges: Bounded<String, Asked>,
    pub(super) tokens: Bounded<(String, String, Scope), Token>,
    // One question at a time for the same token or credential: a parallel batch needs one, not one each.
    pub(super) gates: Bounded<String, Arc<Gate>, 2048>,
    pub(super) pushing: Bounded<(String, String), Scope>,
    // Repositories of one host that are used together: their tokens are asked for together.
    pub(super) together: Bounded<(String, String), String>,
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
        Ok(Transport {
            options,
            clients: Mutex::default(),
            private: PrivateNames::default(),
            state: Mutex::default(),
            #[cfg(feature = "oci-client")]
            through: None,
        })
    }

    /// A transport whose every request goes through an `oci_client::Client`. What oci-client cannot do, or not so that its
    /// outcome is known, is [`Code::Unsupported`]: deleting, mounting, and [`Transport::put_own_tag`].
    #[cfg(feature = "oci-client")]
    pub fn through(client: OciClient) -> Result<Transport> {
        Ok(Transport { through: Some(client), ..Transport::new(TransportOptions::default())? })
    }

    /// Tells that `repository` will be written to, so that the first token already allows it: one token instead of two.
    pub fn announce_push(&self, host: &str, repository: &str) {
        self.announce(host, repository, Scope::PullPush);
    }

    /// The same for a repository from which something will be deleted.
    pub fn announce_delete(&self, host: &str, repository: &str) {
        self.announce(host, repository, Scope::Delete);
    }

    fn announce(&self, host: &str, repository: &str, scope: Scope) {
        let key = (canonical_host(host), repository.to_owned());
        let mut state = lock(&self.state);
        let known = state.pushing.get(&key).copied();
        state.pushing.insert(key, known.map_or(scope, |known| scope.max(known)));
    }

    /// Tells that two repositories of one host will be used together, an image's and its signatures': a token for one of
    /// them is asked to be good for the other as well.
    pub fn announce_together(&self, host: &str, one: &str, other: &str) {
        let (host, mut state) = (canonical_host(host), lock(&self.state));
        for (this, that) in [(one, other), (other, one)] {
            state.together.insert((host.clone(), this.to_owned()), that.to_owned());
        }
    }

    /// The certificates that folders hold for a host, read at the first look.
    pub(super) fn certificates(&self, host: &str) -> Result<Arc<HostCertificates>> {
        if self.options.certs_dirs.is_empty() {
            return Ok(Arc::default());
        }
        if let Some(known) = lock(&self.state).certificates.get(host) {
            return Ok(known.clone());
        }
        let found = Arc::new(HostCertificates::read(&self.options.certs_dirs, host)?);
        lock(&self.state).certificates.insert(host.to_owned(), found.clone());
        Ok(found)
    }

    /// The HTTP client for `url`, in a request that is about the registry, or the service, `base`.
    pub(super) fn client(&self, base: &Url, url: &Url, service: bool) -> Result<reqwest::Client> {
        // The one door to the network: nothing goes out beside the client that was given.
        #[cfg(feature = "oci-client")]
        if self.through.is_some() {
            return Err(Error::new(Code::Unsupported, "this cannot be done through an oci_client::Client"));
        }
        let plain = url.scheme() == "http";
        let home = base.host_str().unwrap_or_default();
        let place = match url.host_str() == base.host_str() {
            // Whoever named the service may have it in a private network; certificates are for registries.
            _ if service => Place::Neighbour { plain },
            true => {
                let host = match url.port() {
                    Some(port) => format!("{home}:{port}"),
                    None => home.to_owned(),
                };
                let own = !plain && !self.certificates(&host)?.is_empty();
                Place::Home { plain, host: own.then_some(host) }
            }
            false if realm::is_private(base) || self.private.contains(home) => Place::Neighbour { plain },
            false => Place::Away { plain },
        };
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(&place) {
            return Ok(client.clone());
        }
        let setup = Setup {
            user_agent: &self.options.user_agent,
            proxies: &self.options.proxies,
            resolver: Resolver {
                public_only: matches!(place, Place::Away { .. }),
                exempt: self.options.proxies.hosts().collect(),
                private: self.private.clone(),
                fixed: self.options.addresses.clone(),
            },
        };
        let client = match plain {
            true => tls::http_client(setup)?,
            false => {
                let own = match &place {
                    Place::Home { host: Some(host), .. } => self.certificates(host)?,
                    _ => Arc::default(),
                };
                let mut extra: Vec<&[u8]> = self.options.ca_pem.iter().map(Vec::as_slice).collect();
                extra.extend(own.authorities.iter().map(Vec::as_slice));
                let identity = match place {
                    _ if self.options.anonymous => None,
                    Place::Home { .. } => own.client.as_ref().or(self.options.client_certificate.as_ref()),
                    _ => None,
                };
                tls::https_client(&Trust { system: !self.options.replace_system_ca, extra, identity }, setup)?
            }
        };
        clients.insert(place, client.clone());
        Ok(client)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::super::request::Ask;
    use super::*;
    use crate::call::Call;
    use reqwest::Method;
    use std::time::Instant;

    #[test]
    fn a_client_that_met_a_hundred_thousand_repositories_remembers_a_few() {
        let transport = Transport::new(TransportOptions::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ends = Instant::now() + Duration::from_secs(60);
        for n in 0..100_000 {
            let (host, repository) = (format!("r{n}.example"), format!("team/app{n}"));
            let ask = Ask::new(Method::GET, &host, &repository, String::new(), "GET".to_owned());
            // As the first request to a host does; what it learns is written down where the answers are read.
            runtime.block_on(async { drop(transport.first_contact(&ask, &host, &Call::new()).await.unwrap()) });
            transport.announce_push(&host, &repository);
            transport.learn(&ask, |known| known.set_referrers(true));
            let token = Token { value: Arc::new("t".to_owned().into()), ends };
            let mut state = lock(&transport.state);
            state.tokens.insert((host.clone(), repository.clone(), Scope::Pull), token);
            state.gates.get_or_default(format!("{host} {repository}"));
            state.challenges.insert(host.clone(), Asked::Basic);
            state.helped.insert((host.clone(), "helper".to_owned()), None);
            state.certificates.insert(host.clone(), Arc::default());
            state.plain.insert(host, ());
        }
        let state = lock(&transport.state);
        let small = [
            state.met.len(),
            state.helped.len(),
            state.certificates.len(),
            state.plain.len(),
            state.challenges.len(),
            state.tokens.len(),
            state.pushing.len(),
        ];
        assert!(small.iter().all(|count| (512..=1024).contains(count)), "{small:?}");
        let large = [state.capabilities.len(), state.gates.len()];
        assert!(large.iter().all(|count| (2048..=4096).contains(count)), "{large:?}");
        assert_eq!(state.greetings.len(), 0);
        drop(state);
        // What was met last is still known.
        assert_eq!(transport.has_referrers("r99999.example", "team/app99999"), Some(true));
        assert_eq!(transport.has_referrers("r0.example", "team/app0"), None);
    }
}
