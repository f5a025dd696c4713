//! The in-process registry itself: each switch and each fault is seen on the wire, by a client that knows nothing but
//! sockets.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cosign_tests::registry::control::Control;
use cosign_tests::registry::*;
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What came back over a connection of its own.
#[derive(Debug, Default)]
struct Got {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Every byte, as it came.
    raw: Vec<u8>,
    /// How the connection ended, when it ended badly.
    error: Option<ErrorKind>,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}

fn parse(raw: Vec<u8>, error: Option<ErrorKind>) -> Got {
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else { return Got { raw, error, ..Got::default() } };
    let head = String::from_utf8(raw[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    Got { status, headers: lines.map(pair).collect(), body: raw[end + 4..].to_vec(), raw, error }
}

fn write(registry: &Registry, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(registry.host()).unwrap();
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(body);
    // The registry may have reset the connection already; reading says so.
    let _ = stream.write_all(&bytes);
    stream
}

fn read(mut stream: TcpStream) -> Got {
    let mut raw = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return parse(raw, None),
            Ok(count) => raw.extend_from_slice(&buffer[..count]),
            Err(error) => return parse(raw, Some(error.kind())),
        }
    }
}

fn send(registry: &Registry, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Got {
    read(write(registry, method, target, headers, body))
}

fn get(registry: &Registry, target: &str) -> Got {
    send(registry, "GET", target, &[], b"")
}

fn put_tag(registry: &Registry, tag: &str, body: &[u8]) -> Got {
    send(registry, "PUT", &format!("/v2/r/manifests/{tag}"), &[("Content-Type", OCI_MANIFEST)], body)
}

const V1: &str = "/v2/r/manifests/v1";
const BARE: &[u8] = b"{\"schemaVersion\":2}";

fn image() -> (Registry, String) {
    let registry = Registry::start();
    let digest = registry.add_image("r", "v1");
    (registry, digest)
}

#[test]
fn answers_of_their_own() {
    let (registry, _) = image();
    registry.set(|is| is.date_skew = 7200);
    let faults = [
        (Fault::error(503, "UNAVAILABLE"), 503, "application/json"),
        (Fault::Text(502, "bad gateway".into()), 502, "text/plain"),
        (Fault::Html(407), 407, "text/html"),
        (Fault::Portal, 404, "text/html"),
        (Fault::RateLimit(RetryAfter::Absent), 429, "application/json"),
        (Fault::RateLimit(RetryAfter::Seconds(17)), 429, "application/json"),
        (Fault::RateLimit(RetryAfter::Date(60)), 429, "application/json"),
    ];
    for (fault, status, media_type) in faults {
        registry.heal();
        registry.fault("PUT", fault.clone());
        let got = put_tag(&registry, "new", BARE);
        assert_eq!((got.status, got.header("Content-Type")), (status, Some(media_type)), "{fault:?}");
        let after = got.header("Retry-After");
        match fault {
            Fault::RateLimit(RetryAfter::Seconds(_)) => assert_eq!(after, Some("17")),
            // The registry's own clock is two hours ahead.
            Fault::RateLimit(RetryAfter::Date(_)) => assert!(near(after.unwrap(), 7260), "{after:?}"),
            _ => assert_eq!(after, None),
        }
    }
    assert_eq!(registry.tags("r"), ["v1"], "an answer of its own has no effect");
    assert_eq!(registry.hits(), 7);
}

/// Whether a date is so many seconds from now, give or take a few.
fn near(date: &str, offset: i64) -> bool {
    (-30..=2).any(|slack| http_date(offset + slack) == date)
}

#[test]
fn requests_are_chosen_by_pattern_and_count() {
    let (registry, _) = image();
    registry.add_image("r", "v10");
    registry.fault_at("GET */v1$", 1, 2, Fault::error(500, "UNKNOWN"));
    let ask = |target: &str| get(&registry, target).status;
    assert_eq!(ask("/v2/r/manifests/v10"), 200);
    assert_eq!([ask(V1), ask(V1), ask(V1), ask(V1)], [200, 500, 500, 200]);
    registry.fail(2, Fault::Text(502, String::new()));
    assert_eq!([ask(V1), ask("/v2/"), ask("/v2/")], [200, 502, 200]);
}

#[test]
fn a_reset_comes_after_exactly_so_many_bytes() {
    let (registry, _) = image();
    registry.set(|is| is.date = false);
    let whole = get(&registry, V1).raw;
    for at in 0..whole.len() {
        registry.heal();
        registry.fault("GET", Fault::ResetAt(at));
        let got = get(&registry, V1);
        assert_eq!((got.raw.as_slice(), got.error), (&whole[..at], Some(ErrorKind::ConnectionReset)), "{at}");
    }
    for fault in [Fault::Reset, Fault::ResetUnread] {
        registry.heal();
        registry.fault("PUT", fault);
        let got = put_tag(&registry, "new", BARE);
        assert_eq!((got.raw.len(), got.error), (0, Some(ErrorKind::ConnectionReset)));
    }
    registry.heal();
    let mark = registry.mark();
    registry.set(|is| is.reset_connections = 1);
    assert_eq!(get(&registry, V1).error, Some(ErrorKind::ConnectionReset));
    assert_eq!(get(&registry, V1).status, 200);
    assert_eq!(registry.since(mark).len(), 1, "nothing was read from the first");
    assert_eq!(registry.tags("r"), ["v1"]);
}

#[test]
fn bodies_end_early_late_or_never() {
    let (registry, _) = image();
    let right = get(&registry, V1);
    let length = right.body.len();
    let with = |fault: Fault| {
        registry.heal();
        registry.fault("GET", fault);
        write(&registry, "GET", V1, &[], b"")
    };
    for (fault, sent) in [(Fault::Truncate, length / 2), (Fault::TruncateAt(3), 3), (Fault::TruncateAt(0), 0)] {
        let got = read(with(fault));
        assert_eq!((got.header("Content-Length").unwrap(), got.body.len()), (length.to_string().as_str(), sent));
    }
    for (fault, sent) in [(Fault::StallBody, 0), (Fault::StallAt(9), 9)] {
        let mut stream = with(fault.clone());
        let mut raw = vec![0; right.raw.len() - length + sent];
        stream.read_exact(&mut raw).unwrap();
        assert_eq!(parse(raw, None).body, right.body[..sent]);
        silent(stream);
    }
    let mark = registry.mark();
    let stream = with(Fault::Stall);
    while registry.since(mark) != ["GET /v2/r/manifests/v1 0"] {
        std::thread::yield_now();
    }
    silent(stream);
    let got = read(with(Fault::Close));
    assert_eq!((got.raw.len(), got.error), (0, None));
    let got = read(with(Fault::OverLong(5)));
    assert_eq!(got.header("Transfer-Encoding"), Some("chunked"));
    assert!(got.body.starts_with(format!("{:x}\r\n", length + 5).as_bytes()));
    let got = read(with(Fault::Trailing("HTTP/1.1 200 X".into())));
    assert_eq!(got.body, [&right.body[..], b"HTTP/1.1 200 X"].concat());
    let mut endless = with(Fault::Endless);
    let mut buffer = vec![0; 8 << 20];
    endless.read_exact(&mut buffer).unwrap();
    endless.shutdown(Shutdown::Both).unwrap();
    let got = read(with(Fault::CloseAfter));
    assert_eq!((got.body, got.error), (right.body, None));
}

/// Nothing more comes, and the connection does not end.
fn silent(mut stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn lies_about_the_content() {
    let (registry, digest) = image();
    let right = get(&registry, V1);
    assert_eq!(right.header("Docker-Content-Digest"), Some(digest.as_str()));
    let with = |fault: Fault| {
        registry.heal();
        registry.fault("GET", fault);
        get(&registry, V1)
    };
    let got = with(Fault::WrongBytes);
    assert_eq!(got.body.len(), right.body.len());
    assert_eq!(got.body.iter().zip(&right.body).filter(|(one, other)| one != other).count(), 1);
    let got = with(Fault::WrongDigest);
    assert!(got.header("Docker-Content-Digest").is_some_and(|found| found != digest) && got.body == right.body);
    assert_eq!(with(Fault::ContentType("text/html".into())).header("Content-Type"), Some("text/html"));
    assert_eq!(with(Fault::Header("X-A".into(), "b".into())).header("x-a"), Some("b"));
    assert_eq!(with(Fault::WithoutHeader("docker-content-digest".into())).header("Docker-Content-Digest"), None);
    assert_eq!(with(Fault::HeaderFlood(1000)).headers.len(), right.headers.len() + 1000);
    assert_eq!(with(Fault::HugeHeader(100_000)).header("X-Huge").unwrap().len(), 100_000);
    let got = with(Fault::Gzip);
    assert_eq!(got.header("Content-Encoding"), Some("gzip"));
    assert_eq!(gunzip(&got.body), right.body);
}

/// What an independent reader makes of it.
fn gunzip(bytes: &[u8]) -> Vec<u8> {
    use std::process::{Command, Stdio};
    let mut child = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn redirects_lead_anywhere() {
    let (registry, _) = image();
    let location = |fault: Fault, target: &str| {
        registry.heal();
        registry.fault("GET", fault);
        let got = get(&registry, target);
        (got.status, got.header("Location").map(str::to_owned))
    };
    let blob = "/v2/r/blobs/sha256:0?a=b";
    for to in ["http://127.0.0.1:1{path}", "{path}", "http://169.254.169.254/", "http://other.test{path}"] {
        assert_eq!(location(Fault::Redirect(307, to.into()), blob), (307, Some(to.replace("{path}", blob))));
    }
    let mut target = V1.to_owned();
    for hop in 1..=3 {
        let (status, next) = location(Fault::Hops(3), &target);
        assert_eq!((status, next.clone()), (307, Some(format!("{V1}?hop={hop}"))));
        target = next.unwrap();
    }
    assert_eq!(location(Fault::Hops(3), &target), (200, None));
    registry.set(|is| is.upload_location = Some("http://other.test{path}".into()));
    let got = send(&registry, "POST", "/v2/r/blobs/uploads/", &[], b"");
    assert!(got.header("Location").unwrap().starts_with("http://other.test/v2/r/blobs/uploads/upload-"));
}

#[test]
fn basic_auth_and_a_storm() {
    let (registry, _) = image();
    registry.set(|is| is.auth = Auth::Basic("ann".into(), "pw".into()));
    let ask = |value: &str| send(&registry, "GET", V1, &[("Authorization", value)], b"").status;
    assert_eq!(get(&registry, V1).header("WWW-Authenticate"), Some("Basic realm=\"test registry\""));
    assert_eq!([ask("Basic YW5uOnB3"), ask("Basic YW5uOnB4"), ask("Bearer x")], [200, 401, 401]);
    registry.fault_at("GET", 0, 2, Fault::Unauthorized);
    assert_eq!([ask("Basic YW5uOnB3"), ask("Basic YW5uOnB3"), ask("Basic YW5uOnB3")], [401, 401, 200]);
}

fn token(registry: &Registry, scopes: &[&str]) -> Value {
    let scopes: Vec<String> = scopes.iter().map(|scope| format!("scope={scope}")).collect();
    let target = format!("/token?service=test&{}", scopes.join("&"));
    let got = send(registry, "GET", &target, &[("Authorization", "Basic YW5uOnB3")], b"");
    assert_eq!(got.status, 200, "{got:?}");
    got.json()
}

fn bearer(registry: &Registry, method: &str, target: &str, token: &Value) -> Got {
    let value = format!("Bearer {}", token["token"].as_str().unwrap());
    send(registry, method, target, &[("Authorization", &value)], BARE)
}

#[test]
fn tokens_are_good_for_their_scopes() {
    let (registry, _) = image();
    registry.add_image("q", "v1");
    registry.set(|is| is.auth = Auth::token("ann", "pw"));
    let url = registry.url();
    let challenge = |method: &str| {
        let got = send(&registry, method, V1, &[], BARE);
        got.header("WWW-Authenticate").unwrap().to_owned()
    };
    for (method, actions) in [("GET", "pull"), ("PUT", "pull,push"), ("DELETE", "delete")] {
        let expected = format!("Bearer realm=\"{url}/token\",service=\"test\",scope=\"repository:r:{actions}\"");
        assert_eq!(challenge(method), expected);
    }
    assert_eq!(get(&registry, "/token?scope=repository:r:pull").status, 401);
    let pull = token(&registry, &["repository:r:pull"]);
    assert_eq!(pull["expires_in"], 300);
    let statuses = |token: &Value| ["GET", "PUT", "DELETE"].map(|method| bearer(&registry, method, V1, token).status);
    assert_eq!(statuses(&pull), [200, 401, 401]);
    let refused = bearer(&registry, "PUT", V1, &pull);
    assert!(refused.header("WWW-Authenticate").unwrap().contains("error=\"insufficient_scope\""));
    assert_eq!(statuses(&token(&registry, &["repository:q:pull"])), [401, 401, 401]);
    let both = token(&registry, &["repository:q:pull", "repository:r:pull,push,delete"]);
    assert_eq!(bearer(&registry, "GET", "/v2/q/manifests/v1", &both).status, 200);
    assert_eq!(statuses(&both), [200, 201, 202]);

    registry.add_image("r", "v1");
    registry.set(|is| is.tokens.first_scope_only = true);
    let first = token(&registry, &["repository:q:pull", "repository:r:pull"]);
    assert_eq!(bearer(&registry, "GET", V1, &first).status, 401);
    registry.set(|is| is.tokens = Tokens { grant: Some(vec!["pull".into()]), uses: Some(2), ..Tokens::default() });
    assert_eq!(statuses(&token(&registry, &["repository:r:pull,push"])), [200, 401, 401]);
    registry.revoke_tokens();
    assert_eq!(bearer(&registry, "GET", V1, &both).status, 401);
    for (field, names) in [(Field::AccessToken, [false, true]), (Field::Both, [true, true])] {
        registry.set(|is| is.tokens = Tokens { field, no_expiry: true, ..Tokens::default() });
        let got = token(&registry, &["repository:r:pull"]);
        assert_eq!([got.get("token").is_some(), got.get("access_token").is_some()], names);
        assert_eq!(got.get("expires_in"), None);
    }
}

#[test]
fn identity_tokens_are_exchanged_or_unknown() {
    let (registry, _) = image();
    let refresh = Some("refresh-me".to_owned());
    registry.set(|is| is.auth = Auth::Token { login: None, refresh, realm: None, expires_in: 60 });
    let ask = |body: &[u8]| send(&registry, "POST", "/token", &[], body);
    let form = b"grant_type=refresh_token&refresh_token=refresh-me&scope=repository%3Ar%3Apull";
    let got = ask(form);
    assert_eq!(bearer(&registry, "GET", V1, &got.json()).status, 200);
    assert_eq!(ask(b"grant_type=refresh_token&refresh_token=other").status, 401);
    for status in [404, 405] {
        registry.set(|is| is.tokens.post_status = Some(status));
        assert_eq!(ask(form).status, status);
    }
}

fn listed(got: &Got) -> Vec<String> {
    got.json()["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
}

fn link(got: &Got) -> Option<String> {
    let link = got.header("Link")?;
    Some(link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned())
}

fn abc() -> Registry {
    let registry = Registry::start();
    for tag in ["b", "d", "a", "c", "e"] {
        registry.add_image("r", tag);
    }
    registry
}

#[test]
fn tags_come_in_pages() {
    let registry = abc();
    let ask = |query: &str| get(&registry, &format!("/v2/r/tags/list{query}"));
    assert_eq!(listed(&ask("")), ["a", "b", "c", "d", "e"]);
    assert_eq!(listed(&ask("?last=b")), ["c", "d", "e"]);
    assert_eq!(listed(&ask("?n=2&last=bb")), ["c", "d"]);
    let page = ask("?n=2");
    assert_eq!(
        (listed(&page), link(&page).unwrap()),
        (vec!["a".into(), "b".into()], "/v2/r/tags/list?n=2&last=b".into())
    );
    let none = ask("?n=0");
    assert_eq!((listed(&none).len(), link(&none)), (0, None));
    registry.set(|is| is.tags_list.page = Some(3));
    assert_eq!(listed(&ask("?n=100")).len(), 3);
    for (kind, expected) in [
        (Link::Silent, None),
        (Link::Absolute, Some(format!("{}/v2/r/tags/list?last=c", registry.url()))),
        (Link::Foreign("http://other.test".into()), Some("http://other.test/v2/r/tags/list?last=c".into())),
        (Link::Cyclic, Some("/v2/r/tags/list".into())),
        (Link::Endless, Some("/v2/r/tags/list?page=1".into())),
    ] {
        registry.set(|is| is.tags_list.link = kind);
        assert_eq!(link(&ask("")), expected);
    }
    let second = ask("?page=1");
    assert_eq!((listed(&second)[0].as_str(), link(&second).unwrap().as_str()), ("a-1", "/v2/r/tags/list?page=2"));
    registry.set(|is| is.tags_list = Listing { sorted: false, page: Some(2), ..Listing::default() });
    let (mut all, mut next) = (Vec::new(), Some("/v2/r/tags/list".to_owned()));
    while let Some(target) = next {
        let page = get(&registry, &target);
        all.extend(listed(&page));
        next = link(&page);
    }
    assert!(!all.is_sorted(), "{all:?}");
    all.sort();
    assert_eq!(all, ["a", "b", "c", "d", "e"]);
    registry.set(|is| is.tags_list = Listing { parameters: false, ..Listing::default() });
    assert_eq!(listed(&ask("?n=2&last=b")).len(), 5);
    for status in [401, 403, 404, 405, 429] {
        registry.set(|is| is.tags_list.status = Some(status));
        assert_eq!(ask("").status, status);
    }
}

#[test]
fn a_stale_list_is_the_one_of_some_requests_ago() {
    let (registry, _) = image();
    registry.set(|is| is.check = Check::Off);
    registry.set(|is| is.tags_list.stale = 1);
    let ask = || listed(&get(&registry, "/v2/r/tags/list"));
    put_tag(&registry, "new", BARE);
    assert_eq!(ask(), ["v1"], "one request ago it was not yet there");
    assert_eq!(ask(), ["new", "v1"]);
    send(&registry, "DELETE", "/v2/r/manifests/new", &[], b"");
    assert_eq!(ask(), ["new", "v1"]);
    assert_eq!(ask(), ["v1"]);
}

#[test]
fn a_listed_tag_is_not_yet_readable() {
    let (registry, _) = image();
    registry.set(|is| is.unreadable = Some(Unreadable { tags: "v*".into(), reads: 2 }));
    assert_eq!(listed(&get(&registry, "/v2/r/tags/list")), ["v1"]);
    let ask = || get(&registry, V1);
    assert_eq!((ask().status, ask().code(), ask().status), (404, "MANIFEST_UNKNOWN".into(), 200));
}

fn artifact(registry: &Registry, subject: &str, kind: &str) -> Got {
    let manifest = json!({"schemaVersion": 2, "artifactType": kind, "subject": {"digest": subject}}).to_string();
    put_tag(registry, &digest(manifest.as_bytes()), manifest.as_bytes())
}

fn digests(got: &Got) -> Vec<String> {
    let manifests = got.json()["manifests"].as_array().unwrap().clone();
    manifests.iter().map(|one| one["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_referrers_api_has_many_faces() {
    let (registry, subject) = image();
    registry.set(|is| is.referrers = Referrers::On);
    let target = format!("/v2/r/referrers/{subject}");
    assert_eq!(artifact(&registry, &subject, "a/a").header("OCI-Subject"), Some(subject.as_str()));
    registry.set(|is| is.oci_subject = false);
    for kind in ["a/b", "a/c"] {
        assert_eq!(artifact(&registry, &subject, kind).header("OCI-Subject"), None);
    }
    let all = get(&registry, &target);
    assert_eq!((all.header("Content-Type"), digests(&all).len()), (Some(OCI_INDEX), 3));
    let filtered = get(&registry, &format!("{target}?artifactType=a/b"));
    assert_eq!((filtered.header("OCI-Filters-Applied"), digests(&filtered).len()), (Some("artifactType"), 1));
    registry.set(|is| is.artifact_filter = false);
    let filtered = get(&registry, &format!("{target}?artifactType=a/b"));
    assert_eq!((filtered.header("OCI-Filters-Applied"), digests(&filtered).len()), (None, 3));
    registry.set(|is| is.referrers_list = Listing { page: Some(2), ..Listing::default() });
    let page = get(&registry, &format!("{target}?artifactType=a/b"));
    let next = get(&registry, &link(&page).unwrap());
    assert!(link(&page).unwrap().contains("artifactType=a/b"));
    assert_eq!([digests(&page), digests(&next)].concat(), digests(&all));
    assert_eq!(link(&next), None);
    registry.set(|is| is.referrers_list = Listing { link: Link::Endless, ..Listing::default() });
    let second = get(&registry, &link(&get(&registry, &target)).unwrap());
    assert!(digests(&second).iter().all(|digest| !digests(&all).contains(digest)) && link(&second).is_some());
    registry.set(|is| is.referrers_list = Listing { stale: 1, ..Listing::default() });
    artifact(&registry, &subject, "a/d");
    assert_eq!([digests(&get(&registry, &target)).len(), digests(&get(&registry, &target)).len()], [3, 4]);
    for (face, status, media_type) in [
        (Referrers::Off, 404, "text/plain"),
        (Referrers::WrongType, 200, "text/html"),
        (Referrers::Status(401), 401, "application/json"),
        (Referrers::Status(429), 429, "application/json"),
    ] {
        registry.set(|is| is.referrers = face);
        let got = get(&registry, &target);
        assert_eq!((got.status, got.header("Content-Type")), (status, Some(media_type)));
        assert_eq!(got.header("WWW-Authenticate").is_some(), status == 401);
    }
}

#[test]
fn tags_are_refused_in_each_vendors_words() {
    let (registry, _) = image();
    for (vendor, status, code) in
        [(Vendor::Ecr, 400, "TAG_INVALID"), (Vendor::Harbor, 412, "PRECONDITION"), (Vendor::Quay, 409, "TAG_IMMUTABLE")]
    {
        registry.set(|is| is.immutable = Some(Immutable { tags: "v*".into(), vendor }));
        let got = put_tag(&registry, "v1", BARE);
        assert_eq!((got.status, got.code()), (status, code.into()));
        assert!(got.json()["errors"][0]["message"].as_str().unwrap().contains("immutable"));
        assert_eq!(put_tag(&registry, &format!("v{status}"), BARE).status, 201, "a new tag may be written once");
        assert_eq!(put_tag(&registry, "latest", BARE).status, 201);
    }
    for (status, code) in [(403, "DENIED"), (413, "SIZE_INVALID"), (507, "UNKNOWN")] {
        registry.set(|is| is.quota = Some(Quota { tags: "*.j*".into(), status }));
        let got = put_tag(&registry, "sha256-0.sig.j1", BARE);
        assert_eq!((got.status, got.code()), (status, code.into()));
        assert_eq!(put_tag(&registry, "sha256-0.sig", BARE).status, 201);
    }
    registry.set(|is| is.read_only = true);
    assert_eq!((put_tag(&registry, "x", BARE).status, get(&registry, V1).status), (405, 200));
}

#[test]
fn gitlabs_alias_answers_the_subject() {
    let (registry, subject) = image();
    let alias = format!("/v2/r/manifests/{}", subject.replace(':', "-"));
    assert_eq!(get(&registry, &alias).status, 404);
    registry.set(|is| is.digest_alias = true);
    assert_eq!(digest(&get(&registry, &alias).body), subject);
}

#[test]
fn uploads_and_digests_in_every_dialect() {
    let (registry, _) = image();
    let blob = digest(b"blob");
    let single = || send(&registry, "POST", &format!("/v2/r/blobs/uploads/?digest={blob}"), &[], b"blob").status;
    assert_eq!((single(), registry.blob("r", &blob)), (202, None));
    registry.set(|is| is.single_post = true);
    assert_eq!((single(), registry.blob("r", &blob)), (201, Some(b"blob".to_vec())));
    let mount = || send(&registry, "POST", &format!("/v2/q/blobs/uploads/?mount={blob}&from=r"), &[], b"").status;
    registry.set(|is| is.mount = false);
    assert_eq!(mount(), 202);
    registry.set(|is| is.mount = true);
    assert_eq!((mount(), registry.blob("q", &blob).is_some()), (201, true));
    registry.set(|is| is.digest_header = false);
    assert_eq!(get(&registry, V1).header("Docker-Content-Digest"), None);

    let names = format!("{{\"layers\":[{{\"digest\":\"{}\"}}]}}", digest(b"missing"));
    let index = format!("{{\"manifests\":[{{\"digest\":\"{}\"}}]}}", digest(b"missing"));
    let both = || [put_tag(&registry, "x", names.as_bytes()), put_tag(&registry, "x", index.as_bytes())];
    for (check, statuses) in [(Check::Off, [201, 201]), (Check::Blobs, [400, 201]), (Check::All, [400, 400])] {
        registry.set(|is| is.check = check);
        assert_eq!(both().map(|got| got.status), statuses);
    }
    assert_eq!(both()[0].code(), "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(both()[0].json()["errors"][0]["detail"]["digest"], digest(b"missing"));
}

#[test]
fn deleting_is_allowed_by_tag_by_digest_or_not() {
    for (delete, tag, by_digest) in
        [(Delete::Any, 202, 202), (Delete::Digest, 400, 202), (Delete::Tag, 202, 405), (Delete::Off, 405, 405)]
    {
        let (registry, digest) = image();
        registry.add_manifest("r", "twin", OCI_MANIFEST, &registry.manifest("r", "v1").unwrap().1);
        registry.set(|is| is.delete = delete);
        let gone = |name: &str| send(&registry, "DELETE", &format!("/v2/r/manifests/{name}"), &[], b"").status;
        assert_eq!((gone("v1"), registry.tags("r").contains(&"v1".to_owned())), (tag, tag != 202));
        assert_eq!(gone(&digest), by_digest);
        // A digest takes all its tags with it.
        assert_eq!(registry.tags("r").contains(&"twin".to_owned()), by_digest != 202);
    }
}

#[test]
fn a_put_is_held_until_the_test_lets_it_go() {
    let (registry, _) = image();
    registry.set(|is| is.torn_reads = true);
    let hold = registry.hold("PUT /v2/r/manifests/v1");
    std::thread::scope(|scope| {
        let puts = [0, 1].map(|at| {
            let put = scope.spawn({
                let registry = &registry;
                move || put_tag(registry, "v1", format!("{{\"a\":{at}}}").as_bytes()).status
            });
            hold.wait_for(at + 1);
            put
        });
        assert_eq!(get(&registry, V1).status, 500, "it is being overwritten");
        registry.set(|is| is.torn_reads = false);
        assert!(get(&registry, V1).body.starts_with(b"{\"schemaVersion\""), "nothing is committed yet");
        hold.release_one();
        let [first, second] = puts;
        assert_eq!(first.join().unwrap(), 201);
        assert_eq!(get(&registry, V1).body, b"{\"a\":0}");
        hold.release();
        assert_eq!(second.join().unwrap(), 201);
    });
    assert_eq!(get(&registry, V1).body, b"{\"a\":1}");
    assert_eq!(hold.arrived(), 2);

    registry.heal();
    let hold = registry.hold_answer("PUT");
    std::thread::scope(|scope| {
        let put = scope.spawn(|| put_tag(&registry, "v1", b"{}").status);
        hold.wait_for(1);
        assert_eq!(get(&registry, V1).body, b"{}", "committed, and not yet answered");
        drop(hold);
        assert_eq!(put.join().unwrap(), 201);
    });
}

#[test]
fn a_put_is_committed_some_requests_after_its_answer() {
    let (registry, _) = image();
    let body = |tag: &str| get(&registry, &format!("/v2/r/manifests/{tag}")).status;
    registry.fault("PUT *late$", Fault::late(2, 504));
    assert_eq!(put_tag(&registry, "late", BARE).status, 504);
    assert_eq!([body("late"), body("late"), body("late")], [404, 404, 200]);
    registry.fault("PUT *now$", Fault::late(0, 502));
    assert_eq!((put_tag(&registry, "now", BARE).status, body("now")), (502, 200));
    registry.fault("PUT *lost$", Fault::Late { requests: 99, answer: Box::new(Fault::Reset) });
    assert_eq!(put_tag(&registry, "lost", BARE).error, Some(ErrorKind::ConnectionReset));
    registry.set(|is| is.torn_reads = true);
    assert_eq!(body("lost"), 500);
    registry.set(|is| is.torn_reads = false);
    assert_eq!(body("lost"), 404);
    registry.commit_late();
    assert_eq!(body("lost"), 200);
}

#[test]
fn the_clock_and_the_distance_are_settings() {
    let (registry, _) = image();
    assert!(near(get(&registry, V1).header("Date").unwrap(), 0));
    registry.set(|is| is.date_skew = -86400);
    assert!(near(get(&registry, V1).header("Date").unwrap(), -86400));
    registry.set(|is| is.date = false);
    assert_eq!(get(&registry, V1).header("Date"), None);
    registry.set(|is| (is.latency_ms, is.connect_latency_ms) = (60, 40));
    let started = Instant::now();
    get(&registry, V1);
    assert!(started.elapsed() >= Duration::from_millis(100), "only a lower bound: machines may be slow");
    registry.set(|is| (is.latency_ms, is.connect_latency_ms) = (0, 0));
    registry.set(|is| is.gather_ms = 50);
    let started = Instant::now();
    get(&registry, V1);
    assert!(started.elapsed() >= Duration::from_millis(50));
    registry.set(|is| is.gather_ms = 0);
    registry.fault("GET", Fault::Delay(Duration::from_millis(70)));
    let started = Instant::now();
    get(&registry, V1);
    assert!(started.elapsed() >= Duration::from_millis(70));
}

#[test]
fn the_log_is_cut_per_operation_and_by_round() {
    let (registry, _) = image();
    get(&registry, V1);
    let mark = registry.mark();
    send(&registry, "GET", "/v2/r/manifests/none?a=b", &[("Authorization", "Basic eA==")], b"");
    put_tag(&registry, "x", BARE);
    assert_eq!(registry.since(mark), ["GET /v2/r/manifests/none 404", "PUT /v2/r/manifests/x 201"]);
    let seen = registry.seen_since(mark);
    assert_eq!((seen[0].query(), seen[0].authorization().is_some(), seen[0].connection), ("a=b", true, 2));
    assert_eq!((seen[1].body.len(), seen[1].authorization(), seen[1].connection), (BARE.len(), None, 3));

    let hold = registry.hold("GET");
    let mark = registry.mark();
    let streams = ["/v2/r/manifests/x", V1, "/v2/r/tags/list"].map(|target| write(&registry, "GET", target, &[], b""));
    hold.wait_for(3);
    hold.release();
    let statuses = streams.map(|stream| read(stream).status);
    assert_eq!(statuses, [200; 3]);
    get(&registry, "/v2/");
    let batch = ["GET /v2/r/manifests/v1 200", "GET /v2/r/manifests/x 200", "GET /v2/r/tags/list 200"];
    assert_eq!(registry.rounds(mark), [batch.to_vec(), vec!["GET /v2/ 200"]]);
    registry.expect(mark, &[&[batch[2], "GET /v2/r/manifests/* 200", batch[0]], &["GET /v2/ 200"]]);
    assert!(compare(&registry.since(mark), &[&["GET /v2/ 200"], &batch]).is_err());
}

/// One GET over TLS and, if both sides want it, HTTP/2: the protocol, the status and the body, or what went wrong.
fn tls_get(
    registry: &Registry,
    ca: &str,
    client: Option<&Credentials>,
    h2: bool,
) -> Result<(bool, u16, Vec<u8>), String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    let builder =
        ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match client {
        Some(made) => {
            let chain = vec![CertificateDer::from_pem_slice(made.client.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(made.client_key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = if h2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![] };
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let stream = tokio::net::TcpStream::connect(registry.host()).await.map_err(|error| text(&error))?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = connector.connect(name, stream).await.map_err(|error| text(&error))?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            let (mut client, connection) = h2::client::handshake(stream).await.map_err(|error| text(&error))?;
            tokio::spawn(connection);
            let request = http::Request::get(format!("https://{}{V1}", registry.host())).body(()).unwrap();
            let (response, _) = client.send_request(request, true).map_err(|error| text(&error))?;
            let (head, mut incoming) = response.await.map_err(|error| text(&error))?.into_parts();
            let mut body = Vec::new();
            while let Some(data) = incoming.data().await {
                let data = data.map_err(|error| format!("{error} after {}", body.len()))?;
                let _ = incoming.flow_control().release_capacity(data.len());
                body.extend_from_slice(&data);
                if body.len() > 1 << 20 {
                    return Err("endless".to_owned());
                }
            }
            return Ok((true, head.status.as_u16(), body));
        }
        let request = format!("GET {V1} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(|error| text(&error))?;
        let mut raw = Vec::new();
        let error = stream.read_to_end(&mut raw).await.err();
        let got = parse(raw, None);
        if got.raw.is_empty() {
            return Err(error.map_or_else(|| "nothing".to_owned(), |error| text(&error)));
        }
        Ok((false, got.status, got.body))
    })
}

fn with_tls(tls: Tls) -> Registry {
    let registry = Registry::with(Options { tls: Some(tls), ..Options::default() });
    registry.add_image("r", "v1");
    registry
}

#[test]
fn tls_with_a_good_a_foreign_an_old_and_a_clients_certificate() {
    let good = with_tls(Tls::default());
    let ca = &good.credentials().ca;
    assert!(good.url().starts_with("https://"));
    assert_eq!(tls_get(&good, ca, None, true).unwrap().1, 200);
    let stranger = with_tls(Tls::default());
    assert!(tls_get(&good, &stranger.credentials().ca, None, false).is_err());
    for (certificate, error) in [(Certificate::OtherName, "not valid for name"), (Certificate::Expired, "expired")] {
        let bad = with_tls(Tls { certificate, ..Tls::default() });
        let refusal = tls_get(&bad, &bad.credentials().ca, None, false).unwrap_err();
        assert!(refusal.contains(error), "{refusal}");
    }
    let strict = with_tls(Tls { client_certificate: true, ..Tls::default() });
    let made = strict.credentials();
    assert!(tls_get(&strict, &made.ca, None, false).is_err());
    assert!(tls_get(&strict, &made.ca, Some(stranger.credentials()), false).is_err());
    assert_eq!(tls_get(&strict, &made.ca, Some(made), false).unwrap().1, 200);
    assert_eq!(strict.log(), ["GET /v2/r/manifests/v1 200"], "the others were not let in");
}

#[test]
fn http2_has_the_same_faults() {
    let registry = with_tls(Tls { http2: true, ..Tls::default() });
    let ca = registry.credentials().ca.clone();
    let ask = || tls_get(&registry, &ca, None, true);
    let (is_h2, status, body) = ask().unwrap();
    assert_eq!((is_h2, status, &body), (true, 200, &registry.manifest("r", "v1").unwrap().1));
    assert!(registry.seen()[0].http2 && registry.seen()[0].headers["host"] == registry.host());
    let with = |fault: Fault| {
        registry.heal();
        registry.fault("GET", fault);
        ask()
    };
    assert_eq!(with(Fault::error(503, "UNAVAILABLE")).unwrap().1, 503);
    assert_eq!(with(Fault::OverLong(5)).unwrap().2.len(), body.len() + 5);
    assert_ne!(with(Fault::WrongBytes).unwrap().2, body);
    assert_eq!(with(Fault::Endless).unwrap_err(), "endless");
    assert!(with(Fault::ResetAt(9)).unwrap_err().ends_with("after 9"));
    assert!(with(Fault::TruncateAt(9)).unwrap_err().ends_with("after 9"));
    for fault in [Fault::Reset, Fault::ResetUnread, Fault::Close] {
        assert!(with(fault).is_err());
    }
}

/// Commands and the members they must answer with.
#[test]
fn other_languages_drive_it_by_lines() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_cosign-test-registry"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    let host = from.next().unwrap().unwrap().strip_prefix("listening ").unwrap().to_owned();
    let mut tell = |command: Value| -> Value {
        writeln!(to, "{command}").unwrap();
        serde_json::from_str(&from.next().unwrap().unwrap()).unwrap()
    };
    let ask = |method: &str, target: &str| {
        let mut stream = TcpStream::connect(&host).unwrap();
        let request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}");
        stream.write_all(request.as_bytes()).unwrap();
        read(stream)
    };
    let added = tell(json!({"add_image": {"repository": "r", "tag": "v1"}}));
    assert_eq!(digest(&ask("GET", V1).body), added["ok"].as_str().unwrap());
    assert_eq!(tell(json!({"log": 0})), json!({"ok": ["GET /v2/r/manifests/v1 200"]}));
    let mark = tell(json!({"mark": {}}))["ok"].clone();
    tell(
        json!({"fault": {"when": "GET */v1$", "times": 1, "do": {"late": {"requests": 0, "answer": {"text": [502, "x"]}}}}}),
    );
    tell(json!({"fail": {"request": 2, "do": {"reset_at": 12}}}));
    assert_eq!(ask("GET", V1).status, 502);
    assert_eq!(ask("GET", V1).raw, b"HTTP/1.1 200");
    assert_eq!(tell(json!({"hits": {}})), json!({"ok": 2}));
    tell(json!({"heal": {}}));
    assert_eq!(
        tell(json!({"set": {"tags_list": {"status": 403}, "auth": {"basic": ["ann", "pw"]}}})),
        json!({"ok": null})
    );
    assert_eq!(ask("GET", V1).status, 401);
    tell(json!({"set": {"auth": "none"}}));
    assert_eq!(ask("GET", "/v2/r/tags/list").status, 403);
    let log = ["GET /v2/r/manifests/v1 502", "GET /v2/r/manifests/v1 200", "GET /v2/r/manifests/v1 401"];
    let batches = json!([log, ["GET /v2/r/tags/list 403"]]);
    assert_eq!(tell(json!({"expect": {"since": mark, "batches": batches}})), json!({"ok": null}));
    assert!(tell(json!({"expect": {"since": mark, "batches": [log]}}))["error"].is_string());
    let hold = tell(json!({"hold": {"when": "PUT"}}))["ok"].clone();
    std::thread::scope(|scope| {
        let put = scope.spawn(|| ask("PUT", "/v2/r/manifests/new").status);
        tell(json!({"wait": {"hold": hold, "count": 1}}));
        assert_eq!(tell(json!({"tags": "r"})), json!({"ok": ["v1"]}));
        tell(json!({"release": hold}));
        assert_eq!(put.join().unwrap(), 201);
    });
    let stored = json!({"ok": STANDARD.encode(b"{}")});
    assert_eq!(tell(json!({"manifest": {"repository": "r", "reference": "new"}})), stored);
    assert_eq!(tell(json!({"seen": mark}))["ok"][4]["length"], 2);
    for wrong in
        [json!({"set": {"no_such": 1}}), json!({"nonsense": {}}), json!({"release": 7}), json!({"credentials": {}})]
    {
        assert!(tell(wrong.clone())["error"].is_string(), "{wrong}");
    }
    drop(to);
    assert!(child.wait().unwrap().success());
}

#[test]
fn every_switch_and_fault_has_its_json() {
    let mut control = Control::start(r#"{"tls": {"http2": true}}"#).unwrap();
    let switches: Value = serde_json::from_str(&control.line(r#"{"switches": {}}"#)).unwrap();
    for (name, value) in switches["ok"].as_object().unwrap() {
        let answer = control.line(&json!({"set": {name: value}}).to_string());
        assert_eq!(answer, r#"{"ok":null}"#, "{name}");
    }
    for fault in [
        json!({"reply": {"status": 418}}),
        json!({"rate_limit": {"date": 5}}),
        json!({"redirect": [302, "{path}"]}),
        json!({"header": ["A", "b"]}),
        json!({"delay": 5}),
        json!("endless"),
        json!({"late": {"requests": 1, "answer": "reset"}}),
    ] {
        let answer = control.line(&json!({"fault": {"when": "x", "do": fault}}).to_string());
        assert_eq!(answer, r#"{"ok":null}"#, "{fault}");
    }
    assert!(control.line(r#"{"credentials": {}}"#).contains("BEGIN CERTIFICATE"));
    assert!(Control::start(r#"{"port": 1}"#).is_err());
}
