//! The transport where a registry is slow, half broken or unusual: repeated requests, uploads, lists in pages,
//! credentials from helpers, proxies, and names that lead elsewhere.
//!
//! The in-process registry plays most parts; where an answer must depend on the question, a server of a few lines does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cosign_core::registry::{
    Credential, DockerConfig, Mount, ProxyRules, PutOutcome, Referrers, TagList, Transport, TransportOptions,
};
use cosign_core::{Call, Cancel, ClientOptions, Code, Digest, Error};
use cosign_tests::registry::{Auth, Fault, OCI_INDEX, OCI_MANIFEST, Options, Registry};

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn quick(options: TransportOptions) -> Transport {
    Transport::new(TransportOptions { retry_base: Some(Duration::ZERO), ..options }).expect("a transport")
}

fn open() -> Transport {
    quick(TransportOptions::default())
}

#[track_caller]
fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    result.expect_err("this must be an error").code()
}

/// A request as a server of a few lines sees it.
#[derive(Debug, Clone)]
struct Asked {
    line: String,
    head: String,
}

/// A server whose answers (status, headers, body) a function makes; one connection per request.
fn server(answer: impl Fn(&Asked) -> (u16, String, Vec<u8>) + Send + 'static) -> (SocketAddr, Arc<Mutex<Vec<Asked>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("an address");
    let log = Arc::new(Mutex::new(Vec::new()));
    let seen = log.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            let _ = reader.read_exact(&mut body);
            let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
            let asked = Asked { line, head };
            let (status, headers, body) = answer(&asked);
            seen.lock().expect("the log").push(asked);
            let head =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    (address, log)
}

fn lines(log: &Arc<Mutex<Vec<Asked>>>) -> Vec<String> {
    log.lock().expect("the log").iter().map(|asked| asked.line.clone()).collect()
}

fn get(transport: &Transport, registry: &Registry, call: &Call) -> Result<bool, Error> {
    block(transport.get_manifest(&registry.host(), "team/app", "v1", call)).map(|found| found.is_some())
}

#[test]
fn what_fails_for_the_moment_is_asked_three_times() {
    for status in [408, 425, 429, 499, 500, 502, 503, 504, 522] {
        let registry = Registry::start();
        registry.add_image("team/app", "v1");
        registry.fault_at("GET", 0, 2, Fault::error(status, "UNKNOWN"));
        assert!(get(&open(), &registry, &Call::new()).unwrap(), "{status}");
        assert_eq!(registry.log().len(), 3, "{status}");
        registry.clear_log();
        registry.fault("GET", Fault::error(status, "UNKNOWN"));
        code(get(&open(), &registry, &Call::new()));
        assert_eq!(registry.log().len(), 3, "{status}");
    }
    for fault in [Fault::Close, Fault::Truncate] {
        let registry = Registry::start();
        registry.add_image("team/app", "v1");
        registry.fault_at("GET", 0, 2, fault);
        assert!(get(&open(), &registry, &Call::new()).unwrap());
        assert_eq!(registry.log().len(), 3);
    }
    for status in [400, 403, 405, 410, 413, 418, 501] {
        let registry = Registry::start();
        registry.fault("GET", Fault::error(status, "UNKNOWN"));
        code(get(&open(), &registry, &Call::new()));
        assert_eq!(registry.log().len(), 1, "{status}");
    }
}

#[test]
fn waiting_for_the_next_attempt_ends_with_the_call() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    let wait = |text: &str| Fault::Answer(503, vec![("Retry-After", text.to_owned())], vec![]);
    // A wait that outlasts the deadline is not begun.
    for text in ["1000000000", "30", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        registry.heal();
        registry.clear_log();
        registry.fault("GET", wait(text));
        let call = Call::new().with_timeout(Duration::from_secs(20));
        assert_eq!(code(get(&open(), &registry, &call)), Code::Network, "{text}");
        assert_eq!(registry.log().len(), 1, "{text}");
    }
    // Nonsense is no wish.
    registry.heal();
    registry.clear_log();
    registry.fault_at("GET", 0, 1, wait("-1"));
    registry.fault_at("GET", 0, 1, wait("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert!(get(&open(), &registry, &Call::new()).unwrap());
    assert_eq!(registry.log().len(), 3);
    // A cancel is seen while waiting.
    registry.heal();
    registry.fault("GET", wait("30"));
    let cancel = Cancel::new();
    let (call, from_outside) = (Call::new().with_cancel(cancel.clone()), cancel);
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        from_outside.cancel();
        Instant::now()
    });
    assert_eq!(code(get(&open(), &registry, &call)), Code::Cancelled);
    let ended = Instant::now();
    assert!(ended.saturating_duration_since(canceller.join().unwrap()) < Duration::from_millis(100));
}

#[test]
fn a_shared_tag_is_never_sent_twice_when_it_may_have_arrived() {
    let registry = Registry::start();
    let host = registry.host();
    let put = |reference: &str, own: bool, call: &Call| {
        registry.clear_log();
        let (transport, bytes) = (open(), b"{\"schemaVersion\":2}");
        let outcome = block(async {
            match own {
                true => transport.put_own_tag(&host, "team/app", reference, OCI_MANIFEST, bytes, call).await,
                false => transport.put_manifest(&host, "team/app", reference, OCI_MANIFEST, bytes, call).await,
            }
        });
        (outcome, registry.log().len())
    };
    let gateway = |status| Fault::error(status, "UNKNOWN");
    for fault in [gateway(502), gateway(504), gateway(499), gateway(522), Fault::Close] {
        registry.heal();
        registry.fault_at("PUT", 0, 1, fault.clone());
        let (outcome, sent) = put("tag", false, &Call::new());
        assert!(matches!(outcome, Ok(PutOutcome::Ambiguous(_))), "{fault:?}");
        assert_eq!(sent, 1, "{fault:?}");
        // Under a digest, or a tag of one's own, the same bytes do no harm.
        let digest = Digest::sha256(b"{\"schemaVersion\":2}").to_string();
        for (reference, own) in [(digest.as_str(), false), ("own", true)] {
            registry.heal();
            registry.fault_at("PUT", 0, 1, fault.clone());
            let (outcome, sent) = put(reference, own, &Call::new());
            assert!(matches!(outcome, Ok(PutOutcome::Stored(_))), "{fault:?}");
            assert_eq!(sent, 2, "{fault:?}");
        }
    }
    // An answer of the registry itself leaves nothing open.
    for status in [429, 500, 503] {
        registry.heal();
        registry.fault_at("PUT", 0, 1, gateway(status));
        let (outcome, sent) = put("tag", false, &Call::new());
        assert!(matches!(outcome, Ok(PutOutcome::Stored(_))) && sent == 2, "{status}");
    }
    registry.heal();
    registry.fault("PUT", gateway(403));
    let (outcome, sent) = put("tag", false, &Call::new());
    assert_eq!((code(outcome), sent), (Code::Denied, 1));
    // The end of the call in the middle leaves it open, too; before the request it does not.
    registry.heal();
    registry.fault("PUT", Fault::Stall);
    let (outcome, _) = put("tag", false, &Call::new().with_timeout(Duration::from_millis(100)));
    let Ok(PutOutcome::Ambiguous(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.code(), Code::Timeout);
    let call = Call::new();
    call.cancel().cancel();
    let (outcome, sent) = put("tag", false, &call);
    assert_eq!((code(outcome), sent), (Code::Cancelled, 0));
}

#[test]
fn a_blob_goes_along_with_the_first_request_where_that_is_taken() {
    let blob = |n: u8| (Digest::sha256(&[n; 100]), [n; 100]);
    let put = |transport: &Transport, registry: &Registry, n: u8| {
        let (digest, bytes) = blob(n);
        registry.clear_log();
        block(transport.put_blob(&registry.host(), "team/app", &digest, &bytes, &Call::new())).unwrap();
        assert_eq!(registry.blob("team/app", &digest.to_string()).unwrap(), bytes);
        registry.seen().iter().map(|seen| (seen.method.clone(), seen.body.len())).collect::<Vec<_>>()
    };
    let sent = |list: &[(&str, usize)]| list.iter().map(|(m, n)| ((*m).to_owned(), *n)).collect::<Vec<_>>();
    let single = Registry::with(Options { single_post: true, ..Options::default() });
    let transport = open();
    for n in 0..3 {
        assert_eq!(put(&transport, &single, n), sent(&[("POST", 100)]));
    }
    // Told once that it does not work, the bytes are sent once only.
    let two_steps = Registry::start();
    let transport = open();
    assert_eq!(put(&transport, &two_steps, 1), sent(&[("POST", 100), ("PUT", 100)]));
    assert_eq!(put(&transport, &two_steps, 2), sent(&[("POST", 0), ("PUT", 100)]));
    // Not understood at all.
    let strict = Registry::start();
    strict.fault("POST /v2/team/app/blobs/uploads/?digest", Fault::error(400, "UNSUPPORTED"));
    let transport = open();
    assert_eq!(put(&transport, &strict, 1), sent(&[("POST", 100), ("POST", 0), ("PUT", 100)]));
    assert_eq!(put(&transport, &strict, 2), sent(&[("POST", 0), ("PUT", 100)]));
    // What worked may stop to work.
    let transport = open();
    put(&transport, &single, 4);
    let location = ("Location", "/v2/team/app/blobs/uploads/gone".to_owned());
    single.fault_at("POST", 0, 1, Fault::Answer(202, vec![location], vec![]));
    assert_eq!(put(&transport, &single, 5)[..2], sent(&[("POST", 100), ("PUT", 100)]));
}

#[test]
fn an_upload_that_fails_is_given_up_and_begins_anew() {
    // Where the registry says that the session is gone, there is nothing to give up.
    for (fault, given_up) in
        [(Fault::Close, true), (Fault::error(500, "UNKNOWN"), true), (Fault::error(404, "BLOB_UPLOAD_UNKNOWN"), false)]
    {
        let registry = Registry::start();
        registry.fault_at("PUT", 0, 1, fault);
        let put = open();
        block(put.put_blob(&registry.host(), "team/app", &Digest::sha256(b"x"), b"x", &Call::new())).unwrap();
        let lines: Vec<_> = registry.seen().iter().map(|seen| format!("{} {}", seen.method, seen.path())).collect();
        let (base, first) = ("/v2/team/app/blobs/uploads/", "/v2/team/app/blobs/uploads/upload-1");
        let mut expected = vec![format!("POST {base}"), format!("PUT {first}")];
        expected.extend(given_up.then(|| format!("DELETE {first}")));
        expected.extend([format!("POST {base}"), format!("PUT {base}upload-2")]);
        assert_eq!(lines, expected);
    }
}

#[test]
fn a_cancelled_upload_is_given_up_without_waiting_for_the_answer() {
    let registry = Registry::start();
    // Neither the upload nor the DELETE is ever answered.
    let (put, delete) = (registry.hold("PUT"), registry.hold("DELETE"));
    let (host, transport, cancel) = (registry.host(), open(), Cancel::new());
    let (call, digest) = (Call::new().with_cancel(cancel.clone()), Digest::sha256(b"x"));
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| block(transport.put_blob(&host, "team/app", &digest, b"x", &call)));
        while !registry.seen().iter().any(|seen| seen.method == "PUT") {
            std::thread::yield_now();
        }
        cancel.cancel();
        assert_eq!(upload.join().unwrap().unwrap_err().code(), Code::Cancelled);
    });
    drop((put, delete));
    let methods: Vec<_> = registry.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["POST", "PUT", "DELETE"]);
}

#[test]
fn giving_up_an_upload_elsewhere_takes_no_credentials_there() {
    let elsewhere = Registry::start();
    let registry = Registry::with(Options {
        auth: Auth::Basic("ann".into(), "pw".into()),
        upload_location: Some(format!("{}{{path}}", elsewhere.url())),
        ..Options::default()
    });
    elsewhere.fault("PUT", Fault::error(403, "DENIED"));
    let ann = Credential::Basic { user: "ann".into(), password: "pw".to_owned().into() };
    let transport = quick(TransportOptions { auth: vec![(registry.host(), ann)], ..TransportOptions::default() });
    let put = block(transport.put_blob(&registry.host(), "team/app", &Digest::sha256(b"x"), b"x", &Call::new()));
    assert!(put.is_err());
    let seen = elsewhere.seen();
    let methods: Vec<_> = seen.iter().map(|seen| seen.method.as_str()).collect();
    assert_eq!(methods, ["PUT", "DELETE"]);
    assert!(seen.iter().all(|seen| seen.authorization().is_none()));
}

#[test]
fn a_mount_spares_the_bytes_or_opens_an_upload() {
    let registry = Registry::with_auth(Auth::Token { login: None, refresh: None, realm: None, expires_in: 300 });
    let (transport, digest, call) = (open(), Digest::sha256(b"x"), Call::new());
    let host = registry.host();
    let mounted = block(transport.mount_blob(&host, "team/app", &digest, "team/base", &call)).unwrap();
    let token = registry.seen().into_iter().find(|seen| seen.target.starts_with("/token")).unwrap().target;
    assert!(
        token.contains("scope=repository%3Ateam%2Fapp%3Apull%2Cpush&scope=repository%3Ateam%2Fbase%3Apull"),
        "{token}"
    );
    let Mount::Upload(upload) = mounted else { panic!("{mounted:?}") };
    block(transport.fill_upload(&host, "team/app", upload, &digest, b"x", &call)).unwrap();
    assert_eq!(registry.blob("team/app", &digest.to_string()).unwrap(), b"x");
    registry.fault("POST", Fault::Answer(201, vec![], vec![]));
    assert!(matches!(block(transport.mount_blob(&host, "team/app", &digest, "team/base", &call)), Ok(Mount::Mounted)));
}

#[test]
fn a_cold_batch_is_refused_once() {
    let registry = Registry::with_auth(Auth::token("ann", "pw"));
    registry.add_image("team/app", "v1");
    let auth = vec![(registry.host(), Credential::basic("ann", "pw"))];
    let transport = Arc::new(quick(TransportOptions { auth, ..Default::default() }));
    block(async {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (transport, host) = (transport.clone(), registry.host());
                tokio::spawn(async move { transport.get_manifest(&host, "team/app", "v1", &Call::new()).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap().unwrap();
        }
    });
    let log = registry.log();
    assert_eq!(log.iter().filter(|line| line.ends_with(" 401")).count(), 1, "{log:?}");
    assert_eq!(log.len(), 10, "{log:?}");
}

fn index(entries: std::ops::Range<usize>) -> Vec<u8> {
    let entries = entries.map(|n| {
        let digest = Digest::sha256(n.to_string().as_bytes());
        let kind = if n.is_multiple_of(2) { "even/type" } else { "odd/type" };
        format!(r#"{{"mediaType":"{OCI_MANIFEST}","size":1,"digest":"{digest}","artifactType":"{kind}"}}"#)
    });
    let entries: Vec<_> = entries.collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{}]}}"#, entries.join(",")).into_bytes()
}

fn page(asked: &Asked) -> usize {
    asked.line.split("page=").nth(1).and_then(|rest| rest.parse().ok()).unwrap_or(0)
}

#[test]
fn referrers_come_in_pages_that_end() {
    let subject = Digest::sha256(b"subject");
    let ask = |address: SocketAddr, kind: Option<&str>| {
        block(open().referrers(&address.to_string(), "a", &subject, kind, &Call::new()))
    };
    let linked = |to: String| format!("Content-Type: {OCI_INDEX}\r\nLink: <{to}>; rel=\"next\"\r\n");
    let last = format!("Content-Type: {OCI_INDEX}\r\n");
    let end = last.clone();
    // Pages overlap: an entry that comes twice counts once.
    let (three, log) = server(move |asked| match page(asked) {
        n @ 0..2 => (200, linked(format!("?page={}", n + 1)), index(n * 10..n * 10 + 12)),
        n => (200, end.clone(), index(n * 10..n * 10 + 5)),
    });
    let Ok(Referrers::Found(all)) = ask(three, None) else { panic!("found") };
    assert_eq!((all.len(), lines(&log).len()), (25, 3));
    let Ok(Referrers::Found(even)) = ask(three, Some("even/type")) else { panic!("found") };
    assert_eq!(even.len(), 13);
    assert!(lines(&log)[3].contains("?artifactType=even%2Ftype"), "{:?}", lines(&log));

    let (endless, log) = server(move |asked| (200, linked(format!("?page={}", page(asked) + 1)), index(0..0)));
    assert_eq!(code(ask(endless, None)), Code::TooLarge);
    assert_eq!(lines(&log).len(), 32);
    for bad in
        ["?", "http://127.0.0.1:1/v2/", "https://a.test/", "//a.test/x", "http://u:p@{here}/x?page=1", "file:///x"]
    {
        let (stranger, log) = server(move |asked| {
            let here = asked.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
            (200, linked(bad.replace("{here}", here)), index(0..1))
        });
        assert_eq!(code(ask(stranger, None)), Code::Protocol, "{bad}");
        assert!(lines(&log).len() <= 2, "{bad}");
    }
    let (many, _) = server(move |asked| (200, linked(format!("?page={}", page(asked) + 1)), index(0..600)));
    assert_eq!(code(ask(many, None)), Code::TooLarge);
    let (large, _) = server(move |_| (200, last.clone(), vec![b' '; (4 << 20) + 1]));
    assert_eq!(code(ask(large, None)), Code::TooLarge);
    for broken in [&b"{"[..], b"[]", br#"{"schemaVersion":2}x"#, br#"{"manifests":[{"digest":"x"}]}"#] {
        let (server, _) = server(move |_| (200, format!("Content-Type: {OCI_INDEX}\r\n"), broken.to_vec()));
        code(ask(server, None));
    }
}

#[test]
fn a_missing_referrers_api_is_remembered_until_it_shows() {
    let registry = Registry::start();
    let (transport, subject, call) = (open(), Digest::sha256(b"subject"), Call::new());
    let host = registry.host();
    let ask = || block(transport.referrers(&host, "team/app", &subject, None, &call)).unwrap();
    assert_eq!((ask(), ask()), (Referrers::NoApi, Referrers::NoApi));
    assert_eq!(registry.log().len(), 1);
    let subject_header = vec![("OCI-Subject", subject.to_string()), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT".into())];
    registry.fault("PUT", Fault::Answer(201, subject_header, vec![]));
    let put = block(transport.put_manifest(&host, "team/app", "t", OCI_MANIFEST, b"{}", &call)).unwrap();
    let stored = put.stored().unwrap();
    assert!(stored.oci_subject);
    assert_eq!(stored.digest, Digest::sha256(b"{}"));
    assert_eq!(stored.date, Some(std::time::UNIX_EPOCH + Duration::from_secs(784_111_777)));
    registry.clear_log();
    assert_eq!(ask(), Referrers::NoApi);
    assert_eq!(registry.log().len(), 1);
    // A repository that is not there yet says nothing about the API.
    let registry = Registry::start();
    registry.fault("/referrers/", Fault::error(404, "NAME_UNKNOWN"));
    let ask = || block(transport.referrers(&registry.host(), "team/app", &subject, None, &call)).unwrap();
    assert_eq!((ask(), ask()), (Referrers::NoApi, Referrers::NoApi));
    assert_eq!(registry.log().len(), 2);
}

fn tags(names: &[&str]) -> Vec<u8> {
    serde_json::json!({"name": "a", "tags": names}).to_string().into_bytes()
}

#[test]
fn tags_are_listed_from_the_prefix_on_and_no_further() {
    let ask = |address: SocketAddr, expected: Option<&str>| {
        block(open().list_tags(&address.to_string(), "a", "m.", expected, &Call::new()))
            .map(|list| list.map(|TagList { tags, .. }| tags))
    };
    let next = |page: usize| format!("Link: </v2/a/tags/list?page={page}>; rel=\"next\"\r\n");
    // In order: it stops at the first tag past the prefix, although there is more.
    let (sorted, log) = server(move |asked| match page(asked) {
        0 => (200, next(1), tags(&["m.1", "m.2"])),
        _ => (200, next(2), tags(&["m.3", "n"])),
    });
    assert_eq!(ask(sorted, Some("m.3")).unwrap().unwrap(), ["m.1", "m.2", "m.3"]);
    assert_eq!(lines(&log), ["GET /v2/a/tags/list?n=100&last=m.", "GET /v2/a/tags/list?page=1"]);
    // Out of order: nothing is known before the end.
    let (unsorted, log) = server(move |asked| match page(asked) {
        0 => (200, next(1), tags(&["m.2", "z", "b"])),
        _ => (200, String::new(), tags(&["m.1", "m.2"])),
    });
    assert_eq!(ask(unsorted, Some("m.1")).unwrap().unwrap(), ["m.2", "m.1"]);
    assert_eq!(lines(&log).len(), 2);
    // A registry that misreads `last` shows by the tag that is missing; one that refuses it, by its status.
    for refusal in [200, 400, 405, 413] {
        let (odd, log) = server(move |asked| match asked.line.contains("last=") {
            true => (refusal, String::new(), tags(&[])),
            false => (200, String::new(), tags(&["a", "m.1"])),
        });
        assert_eq!(ask(odd, Some("m.1")).unwrap().unwrap(), ["m.1"], "{refusal}");
        assert_eq!(lines(&log).len(), 2, "{refusal}");
    }
    for status in [401, 403, 404] {
        let (closed, _) = server(move |_| (status, String::new(), vec![]));
        code(ask(closed, None));
    }
    let unknown = br#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#;
    let (absent, _) = server(move |_| (404, String::new(), unknown.to_vec()));
    assert_eq!(ask(absent, None).unwrap(), None);
    for link in ["https://a.test/x", "/v2/a/tags/list?n=100&last=m."] {
        let (stranger, _) = server(move |_| (200, format!("Link: <{link}>; rel=next\r\n"), tags(&["m.1"])));
        assert_eq!(code(ask(stranger, None)), Code::Protocol, "{link}");
    }
    let (endless, log) = server(move |asked| (200, next(page(asked) + 1), tags(&["m.1"])));
    assert_eq!(code(ask(endless, None)), Code::TooLarge);
    assert_eq!(lines(&log).len(), 32);
}

#[test]
fn a_list_of_tags_ends_at_16_mib_and_10_000_with_the_prefix() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    registry.fault("/tags/", Fault::Endless);
    let list = |prefix: &str| block(open().list_tags(&registry.host(), "team/app", prefix, None, &Call::new()));
    assert_eq!(code(list("m.")), Code::TooLarge);
    let names: Vec<String> = (0..10_001).map(|n| format!("m.{n}")).collect();
    registry.heal();
    let body = serde_json::json!({ "tags": names }).to_string().into_bytes();
    registry.fault("/tags/", Fault::Answer(200, vec![], body));
    assert_eq!(code(list("m.")), Code::TooLarge);
    assert_eq!(list("m.1000").unwrap().unwrap().tags.len(), 2);
}

#[test]
fn a_head_is_believed_only_when_it_says_everything() {
    let registry = Registry::start();
    let digest = registry.add_image("team/app", "v1");
    let (host, call) = (registry.host(), Call::new());
    let head = |reference: &str| block(open().head_manifest(&host, "team/app", reference, &call));
    let found = head("v1").unwrap().unwrap();
    assert_eq!((found.digest.to_string(), found.media_type.as_str()), (digest.clone(), OCI_MANIFEST));
    assert_eq!(found.size, registry.manifest("team/app", "v1").unwrap().1.len() as u64);
    assert_eq!(registry.log(), ["HEAD /v2/team/app/manifests/v1 200"]);
    registry.clear_log();
    assert!(head("none").unwrap().is_none());
    assert_eq!(registry.log(), ["HEAD /v2/team/app/manifests/none 404", "GET /v2/team/app/manifests/none 404"]);
    let lie = vec![("Docker-Content-Digest", Digest::sha256(b"x").to_string()), ("Content-Type", OCI_MANIFEST.into())];
    registry.fault("HEAD", Fault::Answer(200, lie, vec![]));
    assert_eq!(code(head(&digest)), Code::Content);
    let silent = Registry::with(Options { no_digest_header: true, ..Options::default() });
    let digest = silent.add_image("team/app", "v1");
    let found = block(open().head_manifest(&silent.host(), "team/app", "v1", &call)).unwrap().unwrap();
    assert_eq!((found.digest.to_string(), silent.log().len()), (digest, 2));
}

#[test]
fn deleting_says_what_was_there() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    let host = registry.host();
    let delete = || block(open().delete_manifest(&host, "team/app", "v1", &Call::new()));
    assert!(delete().unwrap());
    assert!(registry.tags("team/app").is_empty());
    registry.fault_at("DELETE", 0, 1, Fault::error(404, "MANIFEST_UNKNOWN"));
    assert!(!delete().unwrap());
    for status in [400, 405] {
        registry.fault_at("DELETE", 0, 1, Fault::error(status, "UNSUPPORTED"));
        assert_eq!(code(delete()), Code::Unsupported);
    }
    registry.fault_at("DELETE", 0, 1, Fault::Portal);
    assert_eq!(code(delete()), Code::Protocol);
}

/// Names with chosen addresses, spoken to in plain HTTP.
fn named(names: &[(&str, SocketAddr)], auth: Vec<(String, Credential)>) -> Transport {
    quick(TransportOptions {
        addresses: names.iter().map(|(name, to)| ((*name).to_owned(), *to)).collect(),
        http_hosts: names.iter().map(|(name, to)| format!("{name}:{}", to.port())).collect(),
        auth,
        ..Default::default()
    })
}

#[test]
fn a_public_registry_does_not_lead_into_a_private_network_by_name() {
    let inside = Registry::start();
    inside.add_image("team/app", "v1");
    let inner: SocketAddr = inside.host().parse().unwrap();
    // The registry is public by its address as far as the transport can see: it stands behind a proxy.
    let location = format!("Location: http://inner.test:{}/v2/team/app/manifests/v1\r\n", inner.port());
    let (proxy, _) = server(move |_| (307, location.clone(), vec![]));
    let options = TransportOptions {
        addresses: vec![("inner.test".into(), inner), ("proxy.test".into(), proxy)],
        http_hosts: vec!["public.test".into(), format!("inner.test:{}", inner.port())],
        proxies: ProxyRules::new("", &format!("http://proxy.test:{}", proxy.port()), "inner.test").unwrap(),
        ..Default::default()
    };
    let ask = |host: &str| block(quick(options.clone()).get_manifest(host, "team/app", "v1", &Call::new()));
    let error = ask("public.test").unwrap_err();
    assert_eq!(error.code(), Code::Protocol);
    assert!(error.message().contains("private network"), "{error}");
    assert!(inside.log().is_empty());
    // A registry that is itself inside may: its name leads there, too.
    let location = format!("Location: http://inner.test:{}/v2/team/app/manifests/v1\r\n", inner.port());
    let (neighbour, _) = server(move |_| (307, location.clone(), vec![]));
    let transport = named(&[("inner.test", inner), ("home.test", neighbour)], vec![]);
    let host = format!("home.test:{}", neighbour.port());
    assert!(block(transport.get_manifest(&host, "team/app", "v1", &Call::new())).unwrap().is_some());
}

#[test]
fn credentials_go_to_a_token_server_of_the_same_owner_or_one_that_was_permitted() {
    let (tokens, log) = server(|_| (200, String::new(), br#"{"token":"t"}"#.to_vec()));
    for (name, permitted, allowed) in [
        ("auth.owner.test", false, true),
        ("other.test", false, false),
        ("other.test", true, true),
        ("owner.test.other.test", false, false),
    ] {
        log.lock().unwrap().clear();
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{name}:{}/t\"\r\n", tokens.port());
        let (registry, _) = server(move |asked| match asked.head.contains("authorization: Bearer t") {
            true => (200, format!("Content-Type: {OCI_MANIFEST}\r\n"), b"{}".to_vec()),
            false => (401, challenge.clone(), vec![]),
        });
        let host = format!("registry.owner.test:{}", registry.port());
        let names = [("registry.owner.test", registry), (name, tokens)];
        let transport = quick(TransportOptions {
            addresses: names.iter().map(|(name, to)| ((*name).to_owned(), *to)).collect(),
            http_hosts: names.iter().map(|(name, to)| format!("{name}:{}", to.port())).collect(),
            auth: vec![(host.clone(), Credential::basic("ann", "pw"))],
            token_servers: if permitted { vec![(host.clone(), name.to_owned())] } else { vec![] },
            ..Default::default()
        });
        let got = block(transport.get_manifest(&host, "team/app", "v1", &Call::new()));
        assert_eq!(got.is_ok(), allowed, "{name} {permitted}");
        assert_eq!(lines(&log).len(), usize::from(allowed), "{name}");
    }
}

#[test]
fn an_identity_token_falls_back_to_get() {
    for status in [404, 405] {
        let (tokens, log) = server(move |asked| match asked.line.starts_with("POST") {
            true => (status, String::new(), vec![]),
            false => (200, String::new(), br#"{"token":"t"}"#.to_vec()),
        });
        let registry = Registry::with_auth(Auth::Token {
            login: None,
            refresh: None,
            realm: Some(format!("http://{tokens}/t")),
            expires_in: 300,
        });
        let json = format!(r#"{{"auths":{{"{}":{{"identitytoken":"secret"}}}}}}"#, registry.host());
        let docker_configs = vec![DockerConfig::parse(json.as_bytes()).unwrap()];
        let transport = quick(TransportOptions { docker_configs, ..Default::default() });
        code(get(&transport, &registry, &Call::new()));
        let asked = lines(&log);
        assert!(asked[0].starts_with("POST /t") && asked[1].starts_with("GET /t?service=test&scope="), "{asked:?}");
        assert!(!log.lock().unwrap()[1].head.contains("secret"));
    }
}

#[test]
fn credentials_are_looked_for_file_by_file() {
    let registry = Registry::with_auth(Auth::Basic("ann".into(), "pw".into()));
    registry.add_image("team/app", "v1");
    let file = |entry: String| DockerConfig::parse(format!(r#"{{"auths":{{{entry}}}}}"#).as_bytes()).unwrap();
    let other = file(r#""other.test":{"username":"x","password":"y"}"#.to_owned());
    let empty = file(format!(r#""{}":{{}}"#, registry.host()));
    let right = file(format!(r#""{}/team":{{"username":"ann","password":"pw"}}"#, registry.host()));
    let docker_configs = vec![other, empty, right];
    assert!(get(&quick(TransportOptions { docker_configs, ..Default::default() }), &registry, &Call::new()).unwrap());
}

/// Runs this very test in a child process with other variables; true in the child.
fn child(test: &str, variables: &[(&str, String)]) -> bool {
    const CHILD: &str = "COSIGN_TESTS_TRANSPORT_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    command.args(["--exact", test, "--nocapture"]).env(CHILD, "1");
    let output = command.envs(variables.iter().map(|(name, value)| (*name, value.as_str()))).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    false
}

fn helper(dir: &std::path::Path, name: &str, script: &str) {
    let path = dir.join(format!("docker-credential-{name}"));
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn helpers_are_started_when_allowed_and_never_outlive_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let good = r#"read server; echo x >> "$0.runs"; echo "{\"ServerURL\":\"$server\",\"Username\":\"ann\",\"Secret\":\"pw\"}""#;
    helper(dir.path(), "good", good);
    helper(dir.path(), "none", "echo 'credentials not found in native keychain'; exit 1");
    helper(dir.path(), "broken", "echo secret-in-output; exit 1");
    helper(dir.path(), "flood", "yes");
    helper(dir.path(), "slow", r#"echo $$ > "$0.pid"; sleep 1000 & wait"#);
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
    let place = dir.path().display().to_string();
    let test = "helpers_are_started_when_allowed_and_never_outlive_the_call";
    if !child(test, &[("PATH", path), ("HELPERS", place)]) {
        return;
    }
    let dir = std::path::PathBuf::from(std::env::var_os("HELPERS").unwrap());
    let registry = Registry::with_auth(Auth::Basic("ann".into(), "pw".into()));
    registry.add_image("team/app", "v1");
    let with = |json: String, credential_helpers: bool| {
        let docker_configs = vec![DockerConfig::parse(json.as_bytes()).unwrap()];
        quick(TransportOptions { docker_configs, credential_helpers, ..Default::default() })
    };
    let named = |name: &str| format!(r#"{{"credHelpers":{{"{}":"{name}"}}}}"#, registry.host());
    let transport = with(named("good"), true);
    for _ in 0..3 {
        assert!(get(&transport, &registry, &Call::new()).unwrap());
    }
    assert_eq!(std::fs::read_to_string(dir.join("docker-credential-good.runs")).unwrap(), "x\n");
    assert!(get(&with(r#"{"credsStore":"good"}"#.to_owned(), true), &registry, &Call::new()).unwrap());
    let error = get(&with(named("good"), false), &registry, &Call::new()).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
    for name in ["none", "broken", "missing", "../x", "a b", "flood"] {
        let error = get(&with(named(name), true), &registry, &Call::new()).unwrap_err();
        assert_eq!(error.code(), Code::Auth, "{name}");
        assert!(!error.json().contains("secret"), "{error}");
    }
    let call = Call::new().with_timeout(Duration::from_millis(300));
    assert_eq!(code(get(&with(named("slow"), true), &registry, &call)), Code::Timeout);
    let pid = std::fs::read_to_string(dir.join("docker-credential-slow.pid")).unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists());
}

#[test]
fn a_proxy_is_used_when_it_was_named_and_its_password_is_not_shown() {
    let body = || (200, format!("Content-Type: {OCI_MANIFEST}\r\n"), b"{}".to_vec());
    let (proxy, log) = server(move |_| body());
    let proxies = ProxyRules::new("", &format!("http://me:secret@{proxy}"), "").unwrap();
    let http_hosts = vec!["far.test".to_owned()];
    let options = TransportOptions { proxies, http_hosts, ..Default::default() };
    assert!(!format!("{options:?}").contains("secret"));
    let transport = quick(options);
    assert!(block(transport.get_manifest("far.test", "team/app", "v1", &Call::new())).unwrap().is_some());
    assert_eq!(lines(&log), ["GET http://far.test/v2/team/app/manifests/v1"]);
    let head = log.lock().unwrap()[0].head.to_ascii_lowercase();
    assert!(head.contains("proxy-authorization: basic bwu6c2vjcmv0"), "{head}");
    // Loopback is never asked for through a proxy.
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    assert!(get(&transport, &registry, &Call::new()).unwrap());
    assert_eq!((lines(&log).len(), registry.log().len()), (1, 1));
}

#[test]
fn only_from_env_reads_the_environment() {
    let (proxy, log) = server(|_| (418, String::new(), vec![]));
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(".docker")).unwrap();
    std::fs::write(dir.path().join(".docker/config.json"), "not json").unwrap();
    let name = "only_from_env_reads_the_environment";
    let variables = [
        ("HTTP_PROXY", format!("http://{proxy}")),
        ("https_proxy", format!("http://{proxy}")),
        ("HOME", dir.path().display().to_string()),
        ("DOCKER_CONFIG", dir.path().join(".docker").display().to_string()),
    ];
    if !child(name, &variables) {
        // The child's one request through the proxy is that of `from_env`.
        assert_eq!(lines(&log).len(), 1, "{:?}", lines(&log));
        return;
    }
    let far = |options: ClientOptions| {
        let mut options = options;
        options.dangerous_allow_http("far.invalid").set_retry_base(Duration::ZERO);
        let client = cosign_core::blocking::Client::new(options).unwrap();
        client.resolve(&"far.invalid/team/app:v1".parse().unwrap(), &Call::new()).unwrap_err()
    };
    assert_eq!(far(ClientOptions::default()).code(), Code::Network);
    // A broken file that a variable names is said; without it the same file would count as not there.
    assert_eq!(ClientOptions::from_env().unwrap_err().code(), Code::Argument);
    std::fs::write(std::path::PathBuf::from(std::env::var_os("DOCKER_CONFIG").unwrap()).join("config.json"), "{}")
        .unwrap();
    assert_eq!(far(ClientOptions::from_env().unwrap()).code(), Code::Protocol);
}

/// A server that says these bytes to everybody, whatever was asked, and hangs up.
fn parrot(bytes: Vec<u8>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let host = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {}
            let _ = stream.write_all(&bytes);
        }
    });
    host
}

#[test]
fn an_answer_cut_at_any_byte_is_never_a_shorter_body() {
    let digest = Digest::sha256(b"hello");
    let blob = |host: String, size| block(open().get_blob(&host, "a", &digest, size, &Call::new()));
    for good in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    ] {
        assert_eq!(blob(parrot(good.into()), 5).unwrap().unwrap(), b"hello");
        for cut in 0..good.len() {
            let error = blob(parrot(good[..cut].into()), 5).expect_err(&good[..cut]);
            assert_eq!(error.code(), Code::Network, "{:?}", &good[..cut]);
        }
    }
    // More than was announced is not part of the answer; less than was asked for is no blob.
    assert!(blob(parrot(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more".to_vec()), 5).unwrap().is_some());
    assert_eq!(
        code(blob(parrot(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhellohello".to_vec()), 5)),
        Code::TooLarge
    );
    assert_eq!(code(blob(parrot(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell".to_vec()), 5)), Code::Content);
}

#[test]
fn a_flood_of_headers_is_refused() {
    let flood = |header: String, times: usize| {
        let bytes = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\n\r\n{{}}", header.repeat(times));
        block(open().get_manifest(&parrot(bytes.into_bytes()), "a", "v1", &Call::new()))
    };
    assert!(flood("X: y\r\n".to_owned(), 100).is_ok());
    for (header, times) in [
        ("X: y\r\n".to_owned(), 200),
        (format!("X: {}\r\n", "y".repeat(1000)), 80),
        (format!("X: {}\r\n", "y".repeat(1_000_000)), 1),
    ] {
        code(flood(header, times));
    }
}

#[test]
fn a_client_certificate_is_shown_to_the_registry_that_asks() {
    let dir = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "one.key", "-out", "one.cert"])
        .current_dir(dir.path())
        .stderr(std::process::Stdio::null())
        .status();
    assert!(made.expect("openssl").success());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let host = format!("127.0.0.1:{port}");
    let mut server = std::process::Command::new("openssl")
        .args(["s_server", "-www", "-quiet", "-accept", &host, "-cert", "one.cert", "-key", "one.key"])
        .args(["-Verify", "1", "-verify_return_error", "-CAfile", "one.cert", "-partial_chain"])
        .current_dir(dir.path())
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("openssl");
    let patience = Instant::now();
    while std::net::TcpStream::connect(&host).is_err() && patience.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // certs.d, with and without the client's half.
    let folder = |name: &str, files: &[(&str, &str)]| {
        let place = dir.path().join(name).join(&host);
        std::fs::create_dir_all(&place).unwrap();
        for (from, to) in files {
            std::fs::copy(dir.path().join(from), place.join(to)).unwrap();
        }
        dir.path().join(name)
    };
    let whole = folder("whole", &[("one.cert", "ca.crt"), ("one.cert", "me.cert"), ("one.key", "me.key")]);
    let half = folder("half", &[("one.cert", "ca.crt")]);
    let keyless = folder("keyless", &[("one.cert", "me.cert")]);
    let ask = |certs_dirs: Vec<std::path::PathBuf>| {
        let options = TransportOptions { certs_dirs, replace_system_ca: true, ..Default::default() };
        code(block(quick(options).get_manifest(&host, "a", "v1", &Call::new())))
    };
    // The server's web page shows that the connection was made.
    let found = [ask(vec![dir.path().join("nothing"), whole]), ask(vec![half]), ask(vec![keyless])];
    let mut options = ClientOptions::default();
    let pem = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    options.set_ca_pem(&pem("one.cert")).unwrap().set_retry_base(Duration::ZERO);
    options.set_client_certificate(&pem("one.cert"), &pem("one.key")).unwrap();
    let client = cosign_core::blocking::Client::new(options).unwrap();
    let image = format!("{host}/team/app:v1").parse().unwrap();
    let through_options = client.resolve(&image, &Call::new()).unwrap_err().code();
    let _ = server.kill();
    let _ = server.wait();
    assert_eq!(found[0], Code::Protocol);
    assert!(matches!(found[1], Code::Tls | Code::Network), "{:?}", found[1]);
    assert_eq!(found[2], Code::Io);
    assert_eq!(through_options, Code::Protocol);
    let mut options = ClientOptions::default();
    assert_eq!(code(options.set_client_certificate(&pem("one.cert"), b"no key").map(|_| ())), Code::Argument);
}
