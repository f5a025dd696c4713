//! An OCI registry inside the test process: in memory, on 127.0.0.1, with a request log and lies on demand.
//!
//! It speaks enough HTTP/1.1 and distribution-spec for our transport and for real clients (POST, PATCH and PUT uploads),
//! asks for basic or bearer authentication when told to, and can spoil chosen answers: [`Registry::fault`].

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How the registry asks who is there.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Everybody may do everything.
    #[default]
    None,
    /// `Basic`, with this user and password.
    Basic(String, String),
    /// `Bearer`, with a token server under `/token` of the same registry.
    Token {
        /// Who gets a token; `None` for everybody.
        login: Option<(String, String)>,
        /// The refresh token that `POST /token` accepts.
        refresh: Option<String>,
        /// The realm to name instead of the registry's own `/token`.
        realm: Option<String>,
        /// `expires_in` of the tokens, seconds.
        expires_in: i64,
    },
}

impl Auth {
    /// A bearer registry whose token server wants this user and password.
    pub fn token(user: &str, password: &str) -> Auth {
        let login = Some((user.to_owned(), password.to_owned()));
        Auth::Token { login, refresh: None, realm: None, expires_in: 300 }
    }
}

/// How to start a registry.
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
}

/// What is done to a chosen answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status, these headers, this body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The right head, half of the body, then the connection ends.
    Truncate,
    /// The right answer with one bit of the body changed.
    WrongBytes,
    /// The right body and this many more bytes, chunked.
    OverLong(usize),
    /// A body that never ends.
    Endless,
    /// No answer, for ever.
    Stall,
    /// The head, and then never a body.
    StallBody,
    /// The right answer, later.
    Delay(Duration),
    /// The right answer, and then the connection ends without a warning.
    CloseAfter,
    /// The connection is closed without an answer.
    Close,
    /// A redirect; `{path}` in the location stands for the path and query asked for.
    Redirect(u16, String),
    /// A web page with status 404, as a captive portal or proxy shows.
    Portal,
}

impl Fault {
    /// An OCI error with this status and code.
    pub fn error(status: u16, code: &str) -> Fault {
        Fault::Answer(status, vec![("Content-Type", "application/json".into())], error_body(code))
    }
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
    /// The status answered, 0 when there was no answer.
    pub status: u16,
}

impl Seen {
    /// The `Authorization` header.
    pub fn authorization(&self) -> Option<&str> {
        self.headers.get("authorization").map(String::as_str)
    }
}

struct Rule {
    pattern: String,
    skip: usize,
    left: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    blobs: HashMap<(String, String), Vec<u8>>,
    manifests: HashMap<(String, String), (String, Vec<u8>)>,
    tags: BTreeMap<(String, String), String>,
    uploads: HashMap<String, Vec<u8>>,
    tokens: HashMap<String, (String, bool)>,
    rules: Vec<Rule>,
    log: Vec<Seen>,
    counter: u64,
}

struct Shared {
    options: Options,
    address: SocketAddr,
    state: Mutex<State>,
}

/// A running registry; it stops when dropped.
pub struct Registry {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// `sha256:…` of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

fn error_body(code: &str) -> Vec<u8> {
    serde_json::json!({"errors": [{"code": code, "message": code.to_ascii_lowercase().replace('_', " ")}]})
        .to_string()
        .into_bytes()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    #[allow(clippy::expect_used)]
    pub fn with(options: Options) -> Registry {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared { options, address, state: Mutex::default() });
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
                                let _ = stream.set_nodelay(true);
                                tokio::spawn(connection(inside.clone(), stream));
                            }
                        }
                    }
                }
            });
        });
        Registry { shared, stop, thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.shared.address.to_string()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// Spoils the answers to requests whose `METHOD path?query` contains `pattern`, every time.
    pub fn fault(&self, pattern: &str, fault: Fault) {
        self.fault_at(pattern, 0, usize::MAX, fault);
    }

    /// Spoils `times` answers to matching requests after letting `skip` of them pass.
    pub fn fault_at(&self, pattern: &str, skip: usize, times: usize, fault: Fault) {
        lock(&self.shared.state).rules.push(Rule { pattern: pattern.to_owned(), skip, left: times, fault });
    }

    /// Ends all faults.
    pub fn heal(&self) {
        lock(&self.shared.state).rules.clear();
    }

    /// `METHOD path status` of every request so far.
    pub fn log(&self) -> Vec<String> {
        let short = |seen: &Seen| {
            let path = seen.target.split('?').next().unwrap_or_default();
            format!("{} {path} {}", seen.method, seen.status)
        };
        lock(&self.shared.state).log.iter().map(short).collect()
    }

    /// Every request so far, whole.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.state).log.clone()
    }

    /// Forgets the log.
    pub fn clear_log(&self) {
        lock(&self.shared.state).log.clear();
    }

    /// Makes every token given out so far worthless.
    pub fn revoke_tokens(&self) {
        lock(&self.shared.state).tokens.clear();
    }

    /// Stores a blob, returns its digest.
    pub fn add_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        lock(&self.shared.state).blobs.insert((repository.to_owned(), digest.clone()), bytes.to_vec());
        digest
    }

    /// Stores a manifest under its digest and a tag, returns the digest.
    pub fn add_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let mut state = lock(&self.shared.state);
        state.manifests.insert((repository.to_owned(), digest.clone()), (media_type.to_owned(), bytes.to_vec()));
        state.tags.insert((repository.to_owned(), tag.to_owned()), digest.clone());
        digest
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
        lock(&self.shared.state).manifest(repository, reference)
    }

    /// A blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        lock(&self.shared.state).blobs.get(&(repository.to_owned(), digest.to_owned())).cloned()
    }

    /// The tags of a repository, sorted.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        lock(&self.shared.state).list(repository)
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

/// The media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl State {
    fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        let digest = match reference.contains(':') {
            true => reference.to_owned(),
            false => self.tags.get(&(repository.to_owned(), reference.to_owned()))?.clone(),
        };
        self.manifests.get(&(repository.to_owned(), digest)).cloned()
    }

    fn list(&self, repository: &str) -> Vec<String> {
        self.tags.keys().filter(|(of, _)| of == repository).map(|(_, tag)| tag.clone()).collect()
    }

    fn knows(&self, repository: &str) -> bool {
        self.tags.keys().any(|(of, _)| of == repository) || self.blobs.keys().any(|(of, _)| of == repository)
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}

#[derive(Default)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16) -> Answer {
        Answer { status, ..Answer::default() }
    }

    fn error(status: u16, code: &str) -> Answer {
        let mut answer = Answer::new(status).header("Content-Type", "application/json");
        answer.body = error_body(code);
        answer
    }

    fn header(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn body(mut self, bytes: impl Into<Vec<u8>>) -> Answer {
        self.body = bytes.into();
        self
    }
}

async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let byte = stream.read_u8().await?;
        if byte == b'\n' {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(line);
        }
        line.push(byte);
        // The first byte of a TLS greeting is 22; nothing that begins so is HTTP.
        if line.len() > 65536 || line.first() == Some(&22) {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    }
}

async fn read_request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<Seen> {
    let bad = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let line = String::from_utf8(read_line(stream).await?).map_err(|_| bad())?;
    let mut words = line.split(' ');
    let (method, target) = (words.next().ok_or_else(bad)?.to_owned(), words.next().ok_or_else(bad)?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let line = String::from_utf8(read_line(stream).await?).map_err(|_| bad())?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    if headers.get("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let line = String::from_utf8(read_line(stream).await?).map_err(|_| bad())?;
            let size = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size.trim(), 16).map_err(|_| bad())?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).await?;
            read_line(stream).await?;
            body.extend_from_slice(&chunk);
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = headers.get("content-length") {
        body = vec![0; length.parse().map_err(|_| bad())?];
        stream.read_exact(&mut body).await?;
    }
    Ok(Seen { method, target, headers, body, status: 0 })
}

fn head(answer: &Answer, framing: &str) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {} X\r\n{framing}\r\n", answer.status);
    for (name, value) in &answer.headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str("\r\n");
    out.into_bytes()
}

async fn connection(shared: Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut stream = BufReader::new(stream);
    loop {
        let seen = match read_request(&mut stream).await {
            Ok(seen) => seen,
            Err(error) => {
                if error.kind() == std::io::ErrorKind::InvalidData {
                    let _ = stream
                        .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                        .await;
                }
                return;
            }
        };
        match respond(&shared, &mut stream, seen).await {
            Ok(true) => {}
            _ => return,
        }
    }
}

/// Answers one request; false when the connection must end.
async fn respond(shared: &Shared, stream: &mut (impl AsyncWrite + Unpin), seen: Seen) -> std::io::Result<bool> {
    let is_head = seen.method == "HEAD";
    let (mut answer, fault) = {
        let mut state = lock(&shared.state);
        let line = format!("{} {}", seen.method, seen.target);
        let mut fault = None;
        for rule in state.rules.iter_mut().filter(|rule| line.contains(&rule.pattern)) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.left > 0 {
                rule.left -= 1;
                fault = Some(rule.fault.clone());
                break;
            }
        }
        // A request that is answered by a lie alone has no effect on what is stored.
        let answer = match &fault {
            Some(Fault::Answer(status, headers, body)) => {
                let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
                Answer { status: *status, headers, body: body.clone() }
            }
            Some(Fault::Redirect(status, location)) => {
                Answer::new(*status).header("Location", location.replace("{path}", &seen.target))
            }
            Some(Fault::Portal) => Answer::new(404)
                .header("Content-Type", "text/html")
                .body("<html><body>Please accept our terms of use.</body></html>"),
            Some(Fault::Stall | Fault::Close) => Answer::new(0),
            _ => answer(shared, &mut state, &seen),
        };
        state.log.push(Seen { status: answer.status, ..seen });
        (answer, fault)
    };
    let body = std::mem::take(&mut answer.body);
    let length = format!("Content-Length: {}", body.len());
    match fault {
        Some(Fault::Stall) => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            return Ok(false);
        }
        Some(Fault::Close) => return Ok(false),
        Some(Fault::Truncate) => {
            stream.write_all(&head(&answer, &length)).await?;
            stream.write_all(body.get(..body.len() / 2).unwrap_or_default()).await?;
            stream.flush().await?;
            return Ok(false);
        }
        Some(Fault::StallBody) => {
            stream.write_all(&head(&answer, &length)).await?;
            stream.flush().await?;
            tokio::time::sleep(Duration::from_secs(3600)).await;
            return Ok(false);
        }
        Some(Fault::OverLong(extra)) => {
            let mut long = body;
            long.extend(std::iter::repeat_n(b' ', extra));
            stream.write_all(&head(&answer, "Transfer-Encoding: chunked")).await?;
            stream.write_all(format!("{:x}\r\n", long.len()).as_bytes()).await?;
            stream.write_all(&long).await?;
            stream.write_all(b"\r\n0\r\n\r\n").await?;
        }
        Some(Fault::Endless) => {
            stream.write_all(&head(&answer, "Transfer-Encoding: chunked")).await?;
            let chunk = [&b"10000\r\n"[..], &vec![b' '; 0x10000], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        fault => {
            let mut body = body;
            let last = matches!(fault, Some(Fault::CloseAfter));
            match fault {
                Some(Fault::WrongBytes) => {
                    if let Some(last) = body.last_mut() {
                        *last ^= 1;
                    }
                }
                Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
                _ => {}
            }
            stream.write_all(&head(&answer, &length)).await?;
            if !is_head {
                stream.write_all(&body).await?;
            }
            if last {
                stream.flush().await?;
                return Ok(false);
            }
        }
    }
    stream.flush().await?;
    Ok(true)
}

fn query(target: &str, name: &str) -> Option<String> {
    let query = target.split_once('?')?.1;
    let raw = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    Some(unescape(raw))
}

fn unescape(raw: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                out.push(u8::from_str_radix(&hex, 16).unwrap_or(b'?'));
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn login(seen: &Seen) -> Option<(String, String)> {
    let encoded = seen.authorization()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn token(state: &mut State, auth: &Auth, seen: &Seen) -> Answer {
    let Auth::Token { login: wanted, refresh, expires_in, .. } = auth else {
        return Answer::error(404, "NOT_FOUND");
    };
    let form = format!("?{}", String::from_utf8_lossy(&seen.body));
    let (known, scope) = match seen.method.as_str() {
        "POST" => (refresh.is_some() && query(&form, "refresh_token") == *refresh, query(&form, "scope")),
        _ => (wanted.is_none() || login(seen) == *wanted, query(&seen.target, "scope")),
    };
    if !known {
        return Answer::error(401, "UNAUTHORIZED");
    }
    let scope = scope.unwrap_or_default();
    let mut parts = scope.splitn(3, ':').skip(1);
    let repository = parts.next().unwrap_or_default().to_owned();
    let push = parts.next().unwrap_or_default().contains("push");
    let value = format!("token-{}", state.next());
    state.tokens.insert(value.clone(), (repository, push));
    let body = serde_json::json!({"token": value, "expires_in": expires_in}).to_string();
    Answer::new(200).header("Content-Type", "application/json").body(body)
}

/// The refusal, if this request may not go on.
fn refuse(shared: &Shared, state: &State, seen: &Seen, repository: &str) -> Option<Answer> {
    let writes = !matches!(seen.method.as_str(), "GET" | "HEAD");
    match &shared.options.auth {
        Auth::None => None,
        Auth::Basic(user, password) if login(seen) == Some((user.clone(), password.clone())) => None,
        Auth::Basic(..) => {
            Some(Answer::error(401, "UNAUTHORIZED").header("WWW-Authenticate", "Basic realm=\"test registry\""))
        }
        Auth::Token { realm, .. } => {
            let value = seen.authorization().and_then(|value| value.strip_prefix("Bearer "));
            match value.and_then(|value| state.tokens.get(value)) {
                Some((of, push)) if of == repository && (*push || !writes) => None,
                _ => {
                    let realm = realm.clone().unwrap_or_else(|| format!("http://{}/token", shared.address));
                    let actions = if writes { "pull,push" } else { "pull" };
                    let challenge = format!(
                        "Bearer realm=\"{realm}\",service=\"test\",scope=\"repository:{repository}:{actions}\""
                    );
                    Some(Answer::error(401, "UNAUTHORIZED").header("WWW-Authenticate", challenge))
                }
            }
        }
    }
}

fn answer(shared: &Shared, state: &mut State, seen: &Seen) -> Answer {
    let path = seen.target.split('?').next().unwrap_or_default();
    if path == "/token" {
        return token(state, &shared.options.auth, seen);
    }
    let Some(rest) = path.strip_prefix("/v2/") else { return Answer::new(404).header("Content-Type", "text/plain") };
    let kinds = ["/manifests/", "/blobs/uploads/", "/blobs/", "/referrers/", "/tags/"];
    let found = kinds.iter().find_map(|kind| rest.rfind(kind).map(|at| (*kind, at)));
    let repository = found.map_or("", |(_, at)| rest.get(..at).unwrap_or_default());
    if let Some(refusal) = refuse(shared, state, seen, repository) {
        return refusal;
    }
    let Some((kind, at)) = found else { return Answer::new(200).header("Content-Type", "application/json").body("{}") };
    let name = rest.get(at + kind.len()..).unwrap_or_default();
    match (kind, seen.method.as_str()) {
        ("/manifests/", "GET" | "HEAD") => match state.manifest(repository, name) {
            Some((media_type, bytes)) => {
                let answer = Answer::new(200).header("Content-Type", media_type);
                match shared.options.no_digest_header {
                    true => answer.body(bytes),
                    false => answer.header("Docker-Content-Digest", digest(&bytes)).body(bytes),
                }
            }
            None if state.knows(repository) => Answer::error(404, "MANIFEST_UNKNOWN"),
            None => Answer::error(404, "NAME_UNKNOWN"),
        },
        ("/manifests/", "PUT") => put_manifest(state, repository, name, seen),
        ("/manifests/", "DELETE") => {
            state.tags.remove(&(repository.to_owned(), name.to_owned()));
            state.manifests.remove(&(repository.to_owned(), name.to_owned()));
            Answer::new(202)
        }
        ("/blobs/", "GET" | "HEAD") => match state.blobs.get(&(repository.to_owned(), name.to_owned())) {
            Some(bytes) => Answer::new(200).header("Content-Type", "application/octet-stream").body(bytes.clone()),
            None => Answer::error(404, "BLOB_UNKNOWN"),
        },
        ("/blobs/uploads/", "POST") => match query(&seen.target, "digest") {
            Some(wanted) if shared.options.single_post => store(state, repository, &wanted, seen.body.clone()),
            _ => {
                let id = format!("upload-{}", state.next());
                state.uploads.insert(id.clone(), Vec::new());
                Answer::new(202).header("Location", upload_location(shared, repository, &id))
            }
        },
        ("/blobs/uploads/", "PATCH") => match state.uploads.get_mut(name) {
            Some(upload) => {
                upload.extend_from_slice(&seen.body);
                let range = format!("0-{}", upload.len().saturating_sub(1));
                Answer::new(202).header("Location", upload_location(shared, repository, name)).header("Range", range)
            }
            None => Answer::error(404, "BLOB_UPLOAD_UNKNOWN"),
        },
        ("/blobs/uploads/", "PUT") => match (state.uploads.remove(name), query(&seen.target, "digest")) {
            (Some(mut upload), Some(wanted)) => {
                upload.extend_from_slice(&seen.body);
                store(state, repository, &wanted, upload)
            }
            (None, _) => Answer::error(404, "BLOB_UPLOAD_UNKNOWN"),
            (_, None) => Answer::error(400, "DIGEST_INVALID"),
        },
        ("/referrers/", "GET") if shared.options.referrers => referrers(state, repository, name),
        ("/referrers/", _) => Answer::new(404).header("Content-Type", "text/plain").body("404 page not found\n"),
        ("/tags/", "GET") => {
            let body = serde_json::json!({"name": repository, "tags": state.list(repository)}).to_string();
            Answer::new(200).header("Content-Type", "application/json").body(body)
        }
        _ => Answer::error(405, "UNSUPPORTED"),
    }
}

fn upload_location(shared: &Shared, repository: &str, id: &str) -> String {
    let path = format!("/v2/{repository}/blobs/uploads/{id}?state=x");
    match &shared.options.upload_location {
        Some(location) => location.replace("{path}", &path),
        None => path,
    }
}

fn store(state: &mut State, repository: &str, wanted: &str, bytes: Vec<u8>) -> Answer {
    if digest(&bytes) != wanted {
        return Answer::error(400, "DIGEST_INVALID");
    }
    state.blobs.insert((repository.to_owned(), wanted.to_owned()), bytes);
    Answer::new(201)
        .header("Location", format!("/v2/{repository}/blobs/{wanted}"))
        .header("Docker-Content-Digest", wanted)
}

fn put_manifest(state: &mut State, repository: &str, name: &str, seen: &Seen) -> Answer {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&seen.body) else {
        return Answer::error(400, "MANIFEST_INVALID");
    };
    let layers = json.get("layers").and_then(|layers| layers.as_array()).cloned().unwrap_or_default();
    for descriptor in layers.iter().chain(json.get("config")) {
        let digest = descriptor.get("digest").and_then(|digest| digest.as_str()).unwrap_or_default();
        if !state.blobs.contains_key(&(repository.to_owned(), digest.to_owned())) {
            return Answer::error(400, "MANIFEST_BLOB_UNKNOWN");
        }
    }
    let found = digest(&seen.body);
    if name.contains(':') && name != found {
        return Answer::error(400, "DIGEST_INVALID");
    }
    let media_type = seen.headers.get("content-type").cloned().unwrap_or_default();
    state.manifests.insert((repository.to_owned(), found.clone()), (media_type, seen.body.clone()));
    if !name.contains(':') {
        state.tags.insert((repository.to_owned(), name.to_owned()), found.clone());
    }
    Answer::new(201)
        .header("Location", format!("/v2/{repository}/manifests/{found}"))
        .header("Docker-Content-Digest", found)
}

fn referrers(state: &State, repository: &str, subject: &str) -> Answer {
    let mut manifests = Vec::new();
    for ((of, digest), (media_type, bytes)) in &state.manifests {
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(bytes) else { continue };
        let points_here = json.pointer("/subject/digest").and_then(|digest| digest.as_str()) == Some(subject);
        if of == repository && points_here {
            let artifact = json.get("artifactType").or_else(|| json.pointer("/config/mediaType")).cloned();
            manifests.push(serde_json::json!({
                "mediaType": media_type, "digest": digest, "size": bytes.len(), "artifactType": artifact,
                "annotations": json.get("annotations").cloned().unwrap_or_else(|| serde_json::json!({})),
            }));
        }
    }
    let body = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).to_string();
    Answer::new(200).header("Content-Type", OCI_INDEX).body(body)
}
