//! An OCI registry inside the test process: in memory, on 127.0.0.1, with a request log and lies on demand.
//!
//! It speaks enough HTTP/1.1 (and, behind TLS, HTTP/2) and distribution-spec for our transport and for real clients.
//! Three things make it a test registry:
//!
//! - **Switches** say what kind of registry it is: authentication, referrers API, paging, immutable tags, quotas,
//!   GitLab's alias, clock, round trip… [`Registry::set`] changes them at any time; all of them are fields of
//!   [`Switches`]. TLS alone is fixed at the start ([`Options::tls`]).
//! - **Faults** are what happens to chosen requests: any status with an OCI, text or web page body, resets at any byte,
//!   stalls, truncation, lies, redirects, late commits; [`Fault`] has them all. A request is chosen by a pattern over
//!   `METHOD path?query` (it occurs there; `*` is anything, `$` the end) and by counting: [`Registry::fault`] for every
//!   match, [`Registry::fault_at`] after some, [`Registry::fail`] for the k-th request from now, whatever it is.
//!   [`Registry::hold`] stops requests until the test lets them go.
//! - **The log** is exact: [`Registry::mark`] and [`Registry::since`] cut it per operation, [`Registry::expect`] compares it
//!   with batches whose inner order is free, [`Registry::rounds`] says what was sent within one round trip.
//!
//! A sweep that fails each request of an operation in each way is two loops around [`Registry::fail`];
//! [`Registry::hits`] says whether the fault met a request, and with that where the operation ends.
//!
//! `cosign-test-registry` serves the same to tests in other languages: [`control`].

mod answer;
mod auth;
pub mod control;
mod date;
mod faults;
mod hold;
mod http1;
mod http2;
mod list;
mod log;
mod oci;
mod pattern;
mod serve;
mod state;
mod switches;
mod tls;

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use auth::{Auth, Field, Tokens};
pub use date::http as http_date;
pub use faults::{Fault, RetryAfter};
pub use hold::Hold;
pub use log::{Mark, Seen, compare};
use serve::Shared;
pub use state::Snapshot;
use state::{State, key};
pub use switches::{Check, Delete, Immutable, Link, Listing, Quota, Referrers, Switches, Unreadable, Vendor};
pub use tls::{Certificate, Credentials, Tls};

/// The media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// How to start a registry: TLS, and the switches that most tests want from the start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Who may come in.
    pub auth: Auth,
    /// Whether it has the referrers API; without it `/referrers` answers `404 text/plain` as Distribution does.
    pub referrers: bool,
    /// Whether `POST …?digest=` stores at once.
    pub single_post: bool,
    /// Whether `Docker-Content-Digest` is left out.
    pub no_digest_header: bool,
    /// Where uploads continue, instead of a relative path: `{path}` stands for the path and query.
    pub upload_location: Option<String>,
    /// TLS, with a certificate authority of its own.
    pub tls: Option<Tls>,
}

/// A running registry; it stops when dropped.
pub struct Registry {
    shared: Arc<Shared>,
    address: SocketAddr,
    credentials: Option<Credentials>,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// `sha256:…` of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starting and stopping.
impl Registry {
    /// An open registry.
    pub fn start() -> Registry {
        Registry::with(Options::default())
    }

    /// A registry that asks for authentication.
    pub fn with_auth(auth: Auth) -> Registry {
        Registry::with(Options { auth, ..Options::default() })
    }

    /// A registry with options, on its own thread.
    pub fn with(options: Options) -> Registry {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("a bound address");
        let (acceptor, credentials) = options.tls.map(|tls| tls::make(tls).expect("certificates")).unzip();
        let switches = Switches {
            auth: options.auth,
            referrers: if options.referrers { Referrers::On } else { Referrers::Off },
            single_post: options.single_post,
            digest_header: !options.no_digest_header,
            upload_location: options.upload_location,
            ..Switches::default()
        };
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let state = State::new(format!("{scheme}://{address}"), switches);
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            last_arrival: Mutex::new(Instant::now()),
            connections: AtomicU64::new(0),
        });
        let (stop, mut stopped) = watch::channel(false);
        let inside = shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                loop {
                    tokio::select! {
                        _ = stopped.changed() => return,
                        accepted = listener.accept() => {
                            if let Ok((stream, _)) = accepted {
                                tokio::spawn(connection(inside.clone(), stream, acceptor.clone()));
                            }
                        }
                    }
                }
            });
        });
        Registry { shared, address, credentials, stop, thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:PORT`, or `https:`.
    pub fn url(&self) -> String {
        self.state().url.clone()
    }

    /// What clients of a registry with TLS need: its authority and a client's certificate.
    ///
    /// # Panics
    /// When it was started without TLS.
    pub fn credentials(&self) -> &Credentials {
        self.credentials.as_ref().expect("a registry with TLS")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
    let _ = stream.set_nodelay(true);
    let (reset, wait) = {
        let switches = &mut lock(&shared.state).switches;
        let reset = switches.reset_connections > 0;
        switches.reset_connections = switches.reset_connections.saturating_sub(1);
        (reset, switches.connect_latency_ms)
    };
    if reset {
        let _ = stream.set_zero_linger();
        return;
    }
    let number = shared.connect();
    if wait > 0 {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    let Some(acceptor) = acceptor else { return http1::connection(shared, stream, number).await };
    let Ok(stream) = acceptor.accept(stream).await else { return };
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => http2::connection(shared, stream, number).await,
        _ => http1::connection(shared, stream, number).await,
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Switches and faults.
impl Registry {
    /// Changes switches: `registry.set(|is| is.single_post = true)`.
    pub fn set(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.state().switches);
    }

    /// The switches as they are.
    pub fn switches(&self) -> Switches {
        self.state().switches.clone()
    }

    /// Spoils the answers to requests that match `pattern`, every time.
    pub fn fault(&self, pattern: &str, fault: Fault) {
        self.fault_at(pattern, 0, usize::MAX, fault);
    }

    /// Spoils `times` answers to matching requests after letting `skip` of them pass.
    pub fn fault_at(&self, pattern: &str, skip: usize, times: usize, fault: Fault) {
        self.state().rules.add(pattern, skip, times, fault);
    }

    /// Spoils the `k`-th request from now, counted from 1, whatever it is, and no other.
    pub fn fail(&self, k: usize, fault: Fault) {
        self.fault_at("", k - 1, 1, fault);
    }

    /// Stops requests that match `pattern` before they have an effect, until the handle lets them go.
    pub fn hold(&self, pattern: &str) -> Hold {
        self.hold_at(pattern, 0, usize::MAX)
    }

    /// Stops `times` matching requests before they have an effect, after letting `skip` of them pass.
    pub fn hold_at(&self, pattern: &str, skip: usize, times: usize) -> Hold {
        let gate = hold::Gate::new();
        self.fault_at(pattern, skip, times, Fault::Hold(gate.clone()));
        Hold(gate)
    }

    /// Lets matching requests have their effect, but stops their answers until the handle lets them go.
    pub fn hold_answer(&self, pattern: &str) -> Hold {
        let gate = hold::Gate::new();
        self.fault(pattern, Fault::HoldAnswer(gate.clone()));
        Hold(gate)
    }

    /// How many requests met a fault or hold since the registry started.
    pub fn hits(&self) -> usize {
        self.state().rules.hits()
    }

    /// Ends all faults. What is held stays held, what is late stays late.
    pub fn heal(&self) {
        self.state().rules.clear();
    }

    /// Lets everything late ([`Fault::Late`]) have its effect now.
    pub fn commit_late(&self) {
        self.state().commit_until(u64::MAX);
    }

    /// Makes every token given out so far worthless.
    pub fn revoke_tokens(&self) {
        self.state().tokens.clear();
    }
}

/// The log.
impl Registry {
    /// `METHOD path status` of every request so far.
    pub fn log(&self) -> Vec<String> {
        self.since(Mark(0))
    }

    /// Every request so far, whole.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen_since(Mark(0))
    }

    /// Forgets the log.
    pub fn clear_log(&self) {
        self.state().log.clear();
    }

    /// This moment.
    pub fn mark(&self) -> Mark {
        Mark(self.state().log.now())
    }

    /// `METHOD path status` of every request since `mark`.
    pub fn since(&self, mark: Mark) -> Vec<String> {
        self.seen_since(mark).iter().map(Seen::line).collect()
    }

    /// Every request since `mark`, whole.
    pub fn seen_since(&self, mark: Mark) -> Vec<Seen> {
        self.state().log.since(mark)
    }

    /// The lines since `mark` by round trip, each sorted. Exact when [`Switches::gather_ms`] is set.
    pub fn rounds(&self, mark: Mark) -> Vec<Vec<String>> {
        log::rounds(&self.seen_since(mark))
    }

    /// Asserts that the requests since `mark` are these batches, in this order; inside a batch the order is free, and
    /// `*` stands for anything.
    ///
    /// # Panics
    /// When they are not; the message shows the first batch that differs.
    #[track_caller]
    pub fn expect(&self, mark: Mark, batches: &[&[&str]]) {
        if let Err(difference) = compare(&self.since(mark), batches) {
            panic!("{difference}");
        }
    }
}

/// What it holds.
impl Registry {
    /// Stores a blob, returns its digest.
    pub fn add_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        self.state().blobs.insert(key(repository, &digest), bytes.to_vec());
        digest
    }

    /// Stores a manifest under its digest and a tag, returns the digest.
    pub fn add_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let mut state = self.state();
        let digest = state.put_manifest(repository, media_type, bytes, 0);
        state.set_tag(repository, tag, &digest, 0);
        digest
    }

    /// Stores a manifest under its digest alone, returns the digest.
    pub fn add_untagged(&self, repository: &str, media_type: &str, bytes: &[u8]) -> String {
        self.state().put_manifest(repository, media_type, bytes, 0)
    }

    /// Removes a tag; whether it was there.
    pub fn remove_tag(&self, repository: &str, tag: &str) -> bool {
        self.state().remove_tag(repository, tag, 0)
    }

    /// Stores a small but complete image (config, one layer), returns its digest.
    pub fn add_image(&self, repository: &str, tag: &str) -> String {
        let config = format!(r#"{{"architecture":"amd64","os":"linux","name":"{repository}:{tag}"}}"#).into_bytes();
        let layer = b"not really a layer".to_vec();
        let (config_digest, layer_digest) = (self.add_blob(repository, &config), self.add_blob(repository, &layer));
        let manifest = format!(
            concat!(
                r#"{{"schemaVersion":2,"mediaType":"{oci}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","#,
                r#""digest":"{cd}","size":{cs}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","#,
                r#""digest":"{ld}","size":{ls}}}]}}"#
            ),
            oci = OCI_MANIFEST,
            cd = config_digest,
            cs = config.len(),
            ld = layer_digest,
            ls = layer.len()
        );
        self.add_manifest(repository, tag, OCI_MANIFEST, manifest.as_bytes())
    }

    /// The manifest behind a tag or digest: media type and bytes.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        self.state().manifest(repository, reference)
    }

    /// A blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.state().blobs.get(&key(repository, digest)).cloned()
    }

    /// Every manifest of a repository: digest, media type, bytes.
    pub fn manifests(&self, repository: &str) -> Vec<(String, String, Vec<u8>)> {
        let state = self.state();
        let here = state.manifests.iter().filter(|((of, _), _)| of == repository);
        here.map(|((_, digest), found)| (digest.clone(), found.media_type.clone(), found.bytes.clone())).collect()
    }

    /// What it holds now: blobs, manifests, tags.
    pub fn snapshot(&self) -> Snapshot {
        self.state().snapshot()
    }

    /// Holds that again and nothing else. Switches, rules and the log stay; what was late never comes.
    pub fn restore(&self, then: &Snapshot) {
        self.state().restore(then);
    }

    /// The tags of a repository, sorted.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        self.state().tags(repository)
    }
}
