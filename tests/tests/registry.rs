//! The transport against the in-process registry: exact request lists, authentication, lies, and the end of patience.
//!
//! Each lie must end in an error whose class is "unknown"; only the registry's own words make something absent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cosign_core::blocking::Client;
use cosign_core::registry::{Credential, DockerConfig, FetchedManifest, Referrers, Transport, TransportOptions};
use cosign_core::{
    Call, Cancel, Class, ClientOptions, Code, Digest, Error, ImageRef, KeyAlgorithm, Policy, PrivateKey,
};
use cosign_core::{SignOptions, VerifyOptions};
use cosign_tests::registry::{Auth, Fault, OCI_MANIFEST, Options, Registry};

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn transport(options: TransportOptions) -> Transport {
    // Nobody waits between attempts here.
    Transport::new(TransportOptions { retry_base: Some(Duration::ZERO), ..options }).expect("a transport")
}

fn transport_with(options: TransportOptions) -> Transport {
    transport(options)
}

fn open() -> Transport {
    transport(TransportOptions::default())
}

fn user(registry: &Registry, password: &str) -> Transport {
    transport(TransportOptions {
        auth: vec![(registry.host(), Credential::basic("ann", password))],
        ..Default::default()
    })
}

fn get(transport: &Transport, registry: &Registry, reference: &str) -> Result<Option<FetchedManifest>, Error> {
    block(transport.get_manifest(&registry.host(), "team/app", reference, &Call::new()))
}

fn push(transport: &Transport, registry: &Registry) -> Result<(), Error> {
    let host = registry.host();
    block(async {
        let call = Call::new();
        transport.announce_push(&host, "team/app");
        transport.get_manifest(&host, "team/app", "v1", &call).await?;
        let blob = b"payload";
        transport.put_blob(&host, "team/app", &Digest::sha256(blob), blob, &call).await?;
        let bytes = b"{\"schemaVersion\":2}";
        transport.put_manifest(&host, "team/app", "new", OCI_MANIFEST, bytes, &call).await?.stored()?;
        Ok(())
    })
}

#[track_caller]
fn code<T>(result: Result<T, Error>) -> Code {
    match result {
        Ok(_) => panic!("this must be an error"),
        Err(error) => error.code(),
    }
}

#[test]
fn reading_takes_one_request_each() {
    let registry = Registry::start();
    let digest = registry.add_image("team/app", "v1");
    let blob = registry.add_blob("team/app", b"hello");
    let transport = open();
    let by_tag = get(&transport, &registry, "v1").unwrap().unwrap();
    assert_eq!(by_tag.digest.to_string(), digest);
    assert_eq!(by_tag.media_type, OCI_MANIFEST);
    assert_eq!(get(&transport, &registry, &digest).unwrap().unwrap().bytes, by_tag.bytes);
    let digest_of_blob = Digest::parse(&blob).unwrap();
    let read = |size| block(transport.get_blob(&registry.host(), "team/app", &digest_of_blob, size, &Call::new()));
    assert_eq!(read(5).unwrap().unwrap(), b"hello");
    assert_eq!(
        registry.log(),
        [
            "GET /v2/team/app/manifests/v1 200".to_owned(),
            format!("GET /v2/team/app/manifests/{digest} 200"),
            format!("GET /v2/team/app/blobs/{blob} 200"),
        ]
    );
    // A declared size that is not the real one is refused in both directions.
    assert_eq!(code(read(4)), Code::TooLarge);
    assert_eq!(code(read(6)), Code::Content);
}

#[test]
fn writing_a_blob_takes_two_requests_and_a_manifest_one() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    push(&open(), &registry).unwrap();
    assert_eq!(
        registry.log(),
        [
            "GET /v2/team/app/manifests/v1 200",
            "POST /v2/team/app/blobs/uploads/ 202",
            "PUT /v2/team/app/blobs/uploads/upload-1 201",
            "PUT /v2/team/app/manifests/new 201",
        ]
    );
    assert_eq!(registry.blob("team/app", &Digest::sha256(b"payload").to_string()).unwrap(), b"payload");
    assert_eq!(
        registry.manifest("team/app", "new").unwrap(),
        (OCI_MANIFEST.to_owned(), b"{\"schemaVersion\":2}".to_vec())
    );
    let put = registry.seen().into_iter().find(|seen| seen.target.contains("upload-1")).unwrap();
    assert!(put.target.contains("state=x&digest=sha256%3A"), "{}", put.target);
}

#[test]
fn basic_auth_is_sent_after_one_challenge_and_then_at_once() {
    let registry = Registry::with_auth(Auth::Basic("ann".into(), "pw".into()));
    registry.add_image("team/app", "v1");
    push(&user(&registry, "pw"), &registry).unwrap();
    assert_eq!(
        registry.log(),
        [
            "GET /v2/team/app/manifests/v1 401",
            "GET /v2/team/app/manifests/v1 200",
            "POST /v2/team/app/blobs/uploads/ 202",
            "PUT /v2/team/app/blobs/uploads/upload-1 201",
            "PUT /v2/team/app/manifests/new 201",
        ]
    );
    let seen = registry.seen();
    assert_eq!(seen[0].authorization(), None);
    assert_eq!(seen[4].authorization(), Some("Basic YW5uOnB3"));

    registry.clear_log();
    let error = get(&user(&registry, "wrong-secret"), &registry, "v1").unwrap_err();
    assert_eq!((error.code(), error.code().class()), (Code::Auth, Class::Unknown));
    assert!(!error.message().contains("wrong-secret"), "{error}");
    assert_eq!(registry.log().len(), 2);
    registry.clear_log();
    let error = get(&open(), &registry, "v1").unwrap_err();
    assert_eq!(error.code(), Code::Auth);
    assert!(error.message().contains("configure credentials"), "{error}");
    assert_eq!(registry.log().len(), 1);
}

#[test]
fn one_token_serves_a_whole_push() {
    let registry = Registry::with_auth(Auth::token("ann", "pw"));
    registry.add_image("team/app", "v1");
    let transport = user(&registry, "pw");
    push(&transport, &registry).unwrap();
    let expected = [
        "GET /v2/team/app/manifests/v1 401",
        "GET /token 200",
        "GET /v2/team/app/manifests/v1 200",
        "POST /v2/team/app/blobs/uploads/ 202",
        "PUT /v2/team/app/blobs/uploads/upload-2 201",
        "PUT /v2/team/app/manifests/new 201",
    ];
    assert_eq!(registry.log(), expected);
    let seen = registry.seen();
    assert_eq!(seen[1].target, "/token?service=test&scope=repository%3Ateam%2Fapp%3Apull%2Cpush");
    assert_eq!(seen[1].authorization(), Some("Basic YW5uOnB3"));
    assert_eq!(seen[2].authorization(), Some("Bearer token-1"));

    // A token that stopped working is replaced once.
    registry.revoke_tokens();
    registry.clear_log();
    get(&transport, &registry, "v1").unwrap().unwrap();
    assert_eq!(
        registry.log(),
        ["GET /v2/team/app/manifests/v1 401", "GET /token 200", "GET /v2/team/app/manifests/v1 200"]
    );

    // Another repository needs another token; the challenge is known, so there is no 401 in between.
    registry.clear_log();
    registry.add_image("team/other", "v1");
    block(transport.get_manifest(&registry.host(), "team/other", "v1", &Call::new())).unwrap().unwrap();
    assert_eq!(registry.log(), ["GET /token 200", "GET /v2/team/other/manifests/v1 200"]);
}

#[test]
fn a_parallel_batch_fetches_one_token() {
    let registry = Registry::with_auth(Auth::token("ann", "pw"));
    registry.add_image("team/app", "v1");
    let transport = Arc::new(user(&registry, "pw"));
    let host = registry.host();
    block(async {
        let call = Call::new();
        transport.get_manifest(&host, "team/app", "v1", &call).await.unwrap();
        registry.revoke_tokens();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (transport, host) = (transport.clone(), host.clone());
                tokio::spawn(async move { transport.get_manifest(&host, "team/app", "v1", &Call::new()).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap().unwrap();
        }
    });
    let tokens = registry.log().iter().filter(|line| line.starts_with("GET /token")).count();
    assert_eq!(tokens, 2);
}

#[test]
fn anonymous_identity_and_registry_tokens() {
    let anonymous = Auth::Token { login: None, refresh: None, realm: None, expires_in: -1 };
    let registry = Registry::with_auth(anonymous);
    registry.add_image("team/app", "v1");
    let transport = open();
    get(&transport, &registry, "v1").unwrap().unwrap();
    assert_eq!(registry.seen()[1].authorization(), None);

    let refresh = Auth::Token {
        login: Some(("x".into(), "y".into())),
        refresh: Some("refresh-me".into()),
        realm: None,
        expires_in: 300,
    };
    let registry = Registry::with_auth(refresh);
    registry.add_image("team/app", "v1");
    let json = format!(r#"{{"auths":{{"{}":{{"identitytoken":"refresh-me"}}}}}}"#, registry.host());
    let docker_configs = vec![DockerConfig::parse(json.as_bytes()).unwrap()];
    let stored = transport_with(TransportOptions { docker_configs, ..Default::default() });
    get(&stored, &registry, "v1").unwrap().unwrap();
    let log = registry.log();
    assert_eq!(log[1], "POST /token 200");
    let body = String::from_utf8(registry.seen()[1].body.clone()).unwrap();
    assert!(body.contains("grant_type=refresh_token") && body.contains("refresh_token=refresh-me"), "{body}");
}

#[test]
fn a_token_server_that_says_no_is_an_auth_error() {
    let registry = Registry::with_auth(Auth::token("ann", "pw"));
    registry.add_image("team/app", "v1");
    let error = get(&user(&registry, "wrong-secret"), &registry, "v1").unwrap_err();
    assert_eq!(error.code(), Code::Auth);
    assert!(!error.message().contains("wrong-secret"), "{error}");
    for (fault, expected) in [
        (Fault::error(503, "UNAVAILABLE"), Code::Network),
        (Fault::error(429, "TOOMANYREQUESTS"), Code::RateLimited),
        (Fault::Redirect(302, "http://169.254.169.254/".into()), Code::Protocol),
        (Fault::Answer(200, vec![], b"{}".to_vec()), Code::Auth),
        (Fault::Answer(200, vec![], b"{\"token\":\"a\\r\\nb\"}".to_vec()), Code::Auth),
        (Fault::Endless, Code::TooLarge),
        (Fault::Close, Code::Network),
    ] {
        registry.heal();
        registry.fault("/token", fault.clone());
        assert_eq!(code(get(&user(&registry, "pw"), &registry, "v1")), expected, "{fault:?}");
    }
    // 401 after every token: two tries, then the end.
    registry.heal();
    registry.clear_log();
    registry.fault("/manifests/", Fault::Answer(401, vec![("WWW-Authenticate", challenge(&registry))], vec![]));
    assert_eq!(code(get(&user(&registry, "pw"), &registry, "v1")), Code::Auth);
    assert_eq!(registry.log().len(), 3);
}

fn challenge(registry: &Registry) -> String {
    format!("Bearer realm=\"{}/token\",service=\"test\"", registry.url())
}

#[test]
fn only_the_registrys_own_words_make_something_absent() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    let transport = open();
    assert!(get(&transport, &registry, "none").unwrap().is_none());
    let missing = Digest::sha256(b"missing");
    let blob = || block(transport.get_blob(&registry.host(), "team/app", &missing, 7, &Call::new()));
    assert!(blob().unwrap().is_none());
    for known in ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "NOT_FOUND"] {
        registry.heal();
        registry.fault("GET", Fault::error(404, known));
        assert!(get(&transport, &registry, "v1").unwrap().is_none(), "{known}");
    }
    let long = [&b"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\""[..], &[b'x'; 9000], b"\"}]}"].concat();
    for fault in [
        Fault::Portal,
        Fault::error(404, "DENIED"),
        Fault::error(404, "manifest_unknown"),
        Fault::Answer(404, vec![], vec![]),
        Fault::Answer(404, vec![], b"{\"errors\":[]}".to_vec()),
        Fault::Answer(404, vec![], long),
        Fault::Answer(410, vec![], b"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}".to_vec()),
        Fault::Answer(400, vec![], b"{\"errors\":[{\"code\":\"NAME_UNKNOWN\"}]}".to_vec()),
        Fault::Answer(200, vec![("Content-Type", "text/html".into())], b"<html>".to_vec()),
        Fault::Answer(204, vec![], vec![]),
    ] {
        registry.heal();
        registry.fault("GET", fault.clone());
        let error = get(&transport, &registry, "v1").unwrap_err();
        assert_eq!(error.code().class(), Class::Unknown, "{fault:?} {error}");
    }
}

#[test]
fn each_lie_has_its_code() {
    let registry = Registry::start();
    let digest = registry.add_image("team/app", "v1");
    let blob = registry.add_blob("team/app", b"hello");
    let blob_digest = Digest::parse(&blob).unwrap();
    let transport = open();
    let too_long = 5 << 20;
    let gzip = Fault::Answer(200, vec![("Content-Encoding", "gzip".into())], vec![31, 139]);
    for (fault, manifest, blob) in [
        (Fault::error(429, "TOOMANYREQUESTS"), Code::RateLimited, Code::RateLimited),
        (Fault::error(500, "UNKNOWN"), Code::Network, Code::Network),
        (Fault::error(503, "UNAVAILABLE"), Code::Network, Code::Network),
        (Fault::error(403, "DENIED"), Code::Denied, Code::Denied),
        (Fault::error(401, "UNAUTHORIZED"), Code::Auth, Code::Auth),
        (Fault::Truncate, Code::Network, Code::Network),
        (Fault::Close, Code::Network, Code::Network),
        (Fault::WrongBytes, Code::Content, Code::Content),
        (Fault::OverLong(1), Code::Content, Code::TooLarge),
        (Fault::OverLong(too_long), Code::TooLarge, Code::TooLarge),
        (Fault::Endless, Code::TooLarge, Code::TooLarge),
        (gzip, Code::Protocol, Code::Protocol),
    ] {
        registry.heal();
        registry.fault("GET", fault.clone());
        assert_eq!(code(get(&transport, &registry, &digest)), manifest, "{fault:?}");
        let call = Call::new();
        let read = block(transport.get_blob(&registry.host(), "team/app", &blob_digest, 5, &call));
        assert_eq!(code(read), blob, "{fault:?}");
    }
}

#[test]
fn a_rate_limit_says_how_long_to_wait() {
    let registry = Registry::start();
    let headers = vec![("Retry-After", "17".to_owned()), ("Content-Type", "application/json".into())];
    let body = b"{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"slow\\u001b[31m down\"}]}";
    registry.fault("GET", Fault::Answer(429, headers, body.to_vec()));
    // Waiting would outlast the call, so that it is not begun.
    let call = Call::new().with_timeout(Duration::from_secs(10));
    let error = block(open().get_manifest(&registry.host(), "team/app", "v1", &call)).unwrap_err();
    assert_eq!((error.code(), registry.log().len()), (Code::RateLimited, 1));
    assert!(error.is_retryable());
    assert_eq!(error.detail("retry_after").unwrap(), 17);
    assert_eq!(error.detail("registry_code").unwrap(), "TOOMANYREQUESTS");
    let text = error.message();
    assert!(text.contains(&registry.host()) && text.contains("team/app") && text.contains("429"), "{text}");
    assert!(text.contains("slow[31m down"), "{text:?}");
}

#[test]
fn the_digest_header_must_not_contradict_the_bytes() {
    let registry = Registry::start();
    let header = ("Docker-Content-Digest", Digest::sha256(b"other").to_string());
    registry.fault("GET", Fault::Answer(200, vec![header], b"{}".to_vec()));
    assert_eq!(code(get(&open(), &registry, "v1")), Code::Content);
    let silent = Registry::with(Options { no_digest_header: true, ..Options::default() });
    let digest = silent.add_image("team/app", "v1");
    assert_eq!(get(&open(), &silent, "v1").unwrap().unwrap().digest.to_string(), digest);
}

#[test]
fn a_connection_that_ended_while_idle_is_replaced() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    registry.fault("/manifests/v1", Fault::CloseAfter);
    let transport = open();
    // The runtime sleeps between the calls, so nobody notices the end of the connection until it is used again.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for round in 0..20 {
        let call = Call::new();
        let host = registry.host();
        let got = runtime.block_on(transport.get_manifest(&host, "team/app", "v1", &call));
        assert!(got.unwrap_or_else(|error| panic!("{round}: {error}")).is_some());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nothing_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = block(open().get_manifest(&host, "team/app", "v1", &Call::new())).unwrap_err();
    assert_eq!(error.code(), Code::Network);
    assert!(error.message().contains(&host) && error.message().contains("cannot connect"), "{error}");
}

#[test]
fn credentials_never_follow_a_redirect_to_another_origin() {
    let elsewhere = Registry::start();
    elsewhere.add_image("team/app", "v1");
    for auth in [Auth::Basic("ann".into(), "pw".into()), Auth::token("ann", "pw")] {
        let registry = Registry::with_auth(auth);
        registry.add_image("team/app", "v1");
        let transport = user(&registry, "pw");
        get(&transport, &registry, "v1").unwrap().unwrap();
        elsewhere.clear_log();
        registry.fault("/manifests/", Fault::Redirect(307, format!("{}{{path}}", elsewhere.url())));
        get(&transport, &registry, "v1").unwrap().unwrap();
        assert_eq!(elsewhere.log(), ["GET /v2/team/app/manifests/v1 200"]);
        assert!(elsewhere.seen().iter().all(|seen| seen.authorization().is_none()));

        // It asks for credentials there: none are fetched, none are sent.
        elsewhere.fault("GET", Fault::Answer(401, vec![("WWW-Authenticate", challenge(&elsewhere))], vec![]));
        elsewhere.clear_log();
        registry.clear_log();
        assert_eq!(code(get(&transport, &registry, "v1")), Code::Auth);
        assert_eq!(elsewhere.log(), ["GET /v2/team/app/manifests/v1 401"]);
        assert_eq!(registry.log(), ["GET /v2/team/app/manifests/v1 307"]);

        // There and back again: once away, the credentials stay home.
        elsewhere.heal();
        elsewhere.fault("GET", Fault::Redirect(307, format!("{}{{path}}&back", registry.url())));
        registry.heal();
        registry.fault_at("/manifests/", 0, 1, Fault::Redirect(307, format!("{}{{path}}?x", elsewhere.url())));
        registry.clear_log();
        assert_eq!(code(get(&transport, &registry, "v1")), Code::Auth);
        assert_eq!(registry.seen().last().unwrap().authorization(), None);
        elsewhere.heal();
    }
}

#[test]
fn redirects_within_the_origin_keep_the_credentials_and_end() {
    let registry = Registry::with_auth(Auth::Basic("ann".into(), "pw".into()));
    registry.add_image("team/app", "v1");
    let transport = user(&registry, "pw");
    registry.fault_at("/manifests/v1", 0, 1, Fault::Redirect(301, "/v2/team/app/manifests/v1?again".into()));
    get(&transport, &registry, "v1").unwrap().unwrap();
    registry.fault("GET", Fault::Redirect(302, "{path}".into()));
    registry.clear_log();
    assert_eq!(code(get(&transport, &registry, "v1")), Code::TooLarge);
    assert_eq!(registry.log().len(), 6);
    for bad in [
        "ftp://127.0.0.1/x",
        "http://user:pw@127.0.0.1/x",
        "http://a.test/x",
        "http://10.0.0.1/",
        "http://[",
        "file:///etc/passwd",
    ] {
        registry.heal();
        registry.fault("GET", Fault::Redirect(302, bad.into()));
        assert_eq!(code(get(&transport, &registry, "v1")), Code::Protocol, "{bad}");
    }
    registry.heal();
    registry.fault("PUT", Fault::Redirect(302, "/v2/x".into()));
    assert_eq!(code(push(&transport, &registry)), Code::Protocol);
}

#[test]
fn an_upload_elsewhere_gets_no_credentials() {
    let elsewhere = Registry::start();
    let registry = Registry::with(Options {
        auth: Auth::Basic("ann".into(), "pw".into()),
        upload_location: Some(format!("{}{{path}}", elsewhere.url())),
        ..Options::default()
    });
    registry.add_image("team/app", "v1");
    elsewhere.fault("PUT", Fault::Answer(201, vec![], vec![]));
    push(&user(&registry, "pw"), &registry).unwrap();
    assert_eq!(elsewhere.log().len(), 1);
    assert_eq!(elsewhere.seen()[0].authorization(), None);
    assert!(registry.seen().last().unwrap().authorization().is_some());
    for bad in ["http://a.test/", "gopher://127.0.0.1/", "http://169.254.169.254/"] {
        let options = Options { upload_location: Some(bad.to_owned()), ..Options::default() };
        let registry = Registry::with(options);
        registry.add_image("team/app", "v1");
        assert_eq!(code(push(&open(), &registry)), Code::Protocol, "{bad}");
    }
}

#[test]
fn writes_that_fail_say_why() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    let transport = open();
    for (fault, expected) in [
        (Fault::error(403, "DENIED"), Code::Denied),
        (Fault::error(409, "TAG_IMMUTABLE"), Code::Conflict),
        (Fault::error(400, "TAG_INVALID"), Code::Conflict),
        (Fault::error(400, "MANIFEST_INVALID"), Code::Protocol),
        (Fault::error(413, "SIZE_INVALID"), Code::TooLarge),
        (Fault::error(502, "UNKNOWN"), Code::Network),
        (Fault::error(404, "NAME_UNKNOWN"), Code::Protocol),
        (Fault::Close, Code::Network),
        (Fault::Answer(201, vec![("Docker-Content-Digest", Digest::sha256(b"x").to_string())], vec![]), Code::Content),
    ] {
        for pattern in ["PUT /v2/team/app/manifests/", "PUT /v2/team/app/blobs/"] {
            registry.heal();
            registry.fault(pattern, fault.clone());
            assert_eq!(code(push(&transport, &registry)), expected, "{pattern} {fault:?}");
        }
    }
}

#[test]
fn referrers_are_there_absent_or_unknown() {
    let subject = Digest::sha256(b"subject");
    let ask = |registry: &Registry| {
        let found = block(open().referrers(&registry.host(), "team/app", &subject, None, &Call::new()))?;
        Ok::<_, Error>(found != Referrers::NoApi)
    };
    let with = Registry::with(Options { referrers: true, ..Options::default() });
    assert!(ask(&with).unwrap());
    let without = Registry::start();
    assert!(!ask(&without).unwrap());
    for status in [400, 404, 405, 406, 501] {
        with.heal();
        with.fault("/referrers/", Fault::Answer(status, vec![], vec![]));
        assert!(!ask(&with).unwrap(), "{status}");
    }
    with.heal();
    with.fault("/referrers/", Fault::Answer(200, vec![("Content-Type", "text/html".into())], b"<html>".to_vec()));
    assert!(!ask(&with).unwrap());
    for (status, expected) in
        [(403, Code::Denied), (429, Code::RateLimited), (500, Code::Network), (502, Code::Network)]
    {
        with.heal();
        with.fault("/referrers/", Fault::Answer(status, vec![], vec![]));
        assert_eq!(code(ask(&with)), expected);
    }
}

#[test]
fn cancel_and_deadline_end_every_wait() {
    let registry = Registry::with_auth(Auth::token("ann", "pw"));
    registry.add_image("team/app", "v1");
    let host = registry.host();
    for (pattern, fault) in [
        ("/manifests/", Fault::Stall),
        ("/manifests/", Fault::StallBody),
        ("/token", Fault::Stall),
        ("/token", Fault::StallBody),
    ] {
        registry.heal();
        registry.fault_at(pattern, usize::from(pattern != "/token"), usize::MAX, fault.clone());
        let started = Instant::now();
        let call = Call::new().with_timeout(Duration::from_millis(200));
        let error = block(user(&registry, "pw").get_manifest(&host, "team/app", "v1", &call)).unwrap_err();
        assert_eq!(error.code(), Code::Timeout, "{fault:?}");
        assert!(error.message().contains(&host), "{error}");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(200) && took < Duration::from_millis(400), "{took:?}");

        let cancel = Cancel::new();
        let call = Call::new().with_cancel(cancel.clone());
        let canceller = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            cancel.cancel();
            Instant::now()
        });
        let result = block(user(&registry, "pw").get_manifest(&host, "team/app", "v1", &call));
        let ended = Instant::now();
        assert_eq!(code(result), Code::Cancelled);
        let late = ended.saturating_duration_since(canceller.join().unwrap());
        assert!(late < Duration::from_millis(100), "{late:?}");
    }
    let call = Call::new();
    call.cancel().cancel();
    registry.clear_log();
    assert_eq!(code(block(user(&registry, "pw").get_manifest(&host, "team/app", "v1", &call))), Code::Cancelled);
    assert!(registry.log().is_empty());
}

#[test]
fn the_environment_has_no_effect() {
    // The variables are set in a child, since changing one's own environment races with other threads.
    const CHILD: &str = "COSIGN_TESTS_HOSTILE_ENVIRONMENT";
    if let Ok(host) = std::env::var(CHILD) {
        let transport = open();
        block(transport.get_manifest(&host, "team/app", "v1", &Call::new())).unwrap().unwrap();
        return;
    }
    let (registry, proxy) = (Registry::start(), Registry::start());
    registry.add_image("team/app", "v1");
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "the_environment_has_no_effect", "--nocapture"]).env(CHILD, registry.host());
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, proxy.url());
    }
    let status = child.env("NO_PROXY", "").env("SSL_CERT_FILE", "/nonexistent").env("HOME", "/nonexistent");
    let output = status.env("DOCKER_CONFIG", "/nonexistent").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(registry.log(), ["GET /v2/team/app/manifests/v1 200"]);
    assert!(proxy.log().is_empty());
}

#[test]
fn signing_and_verifying_through_the_client_take_these_requests() {
    let registry = Registry::with(Options { auth: Auth::token("ann", "pw"), referrers: true, ..Options::default() });
    let digest = registry.add_image("team/app", "v1");
    let hex = digest.strip_prefix("sha256:").unwrap();
    let image: ImageRef = format!("{}/team/app@{digest}", registry.host()).parse().unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let mut options = ClientOptions::default();
    options.set_auth_basic(&registry.host(), "ann", "pw");
    let client = Client::new(options).unwrap();
    let policy = Policy::new().with_key(key.public_key());
    let call = Call::new();

    let unsigned = client.verify(&image, &policy, &VerifyOptions::default(), &call).unwrap_err();
    assert_eq!(unsigned.code(), Code::NoSignatures);
    registry.clear_log();
    assert!(client.sign(&image, &key, &SignOptions::default(), &call).unwrap().added());
    let mut log = registry.log();
    // The order inside the parallel batch of uploads is free, and their numbers with it.
    log.sort();
    let count = |start: &str| log.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(count("GET /token 200"), 1, "{log:?}");
    assert_eq!(count(&format!("GET /v2/team/app/manifests/sha256-{hex}.sig 404")), 1, "{log:?}");
    assert_eq!(count("POST /v2/team/app/blobs/uploads/ 202"), 2, "{log:?}");
    assert_eq!(count("PUT /v2/team/app/blobs/uploads/upload-"), 2, "{log:?}");
    assert_eq!(count(&format!("PUT /v2/team/app/manifests/sha256-{hex}.sig 201")), 1, "{log:?}");
    assert_eq!(registry.tags("team/app"), [format!("sha256-{hex}.sig"), "v1".to_owned()]);

    let verified = client.verify(&image, &policy, &VerifyOptions::default(), &call).unwrap();
    assert_eq!((verified.count(), verified.digest().to_string()), (1, digest.clone()));
    assert_eq!(verified.reference(), format!("{}/team/app@{digest}", registry.host()));

    // What cannot be read is unknown, never "no signatures".
    for (fault, expected) in [
        (Fault::error(429, "TOOMANYREQUESTS"), Code::RateLimited),
        (Fault::error(500, "UNKNOWN"), Code::Network),
        (Fault::Portal, Code::Protocol),
        (Fault::Truncate, Code::Network),
        (Fault::WrongBytes, Code::Content),
    ] {
        registry.heal();
        registry.fault("GET /v2/team/app/manifests/", fault.clone());
        let error = client.verify(&image, &policy, &VerifyOptions::default(), &call).unwrap_err();
        assert_eq!((error.code(), error.code().class()), (expected, Class::Unknown), "{fault:?} {error}");
    }
    let missing: ImageRef = format!("{}/team/app:none", registry.host()).parse().unwrap();
    registry.heal();
    let error = client.verify(&missing, &policy, &VerifyOptions::default(), &call).unwrap_err();
    assert_eq!(error.code(), Code::ImageNotFound);
}

/// A self-signed certificate and its key for `127.0.0.1`, or for another name.
fn certificate(dir: &std::path::Path, name: &str) -> Vec<u8> {
    let alternative = format!("subjectAltName={}", if name == "good" { "IP:127.0.0.1" } else { "DNS:other.test" });
    let status = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=test", "-addext", &alternative, "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
        .current_dir(dir)
        .stderr(std::process::Stdio::null())
        .status()
        .expect("openssl");
    assert!(status.success());
    std::fs::read(dir.join(format!("{name}.pem"))).unwrap()
}

#[test]
fn tls_is_tried_first_when_a_ca_was_given_and_never_trusts_a_stranger() {
    let dir = tempfile::tempdir().unwrap();
    let (good, other) = (certificate(dir.path(), "good"), certificate(dir.path(), "other"));
    let ask = |ca: &[u8], host: &str| {
        let transport = transport(TransportOptions { ca_pem: vec![ca.to_vec()], ..Default::default() });
        block(transport.get_manifest(host, "team/app", "v1", &Call::new()))
    };
    // A web server of openssl's own: a trusted connection shows by its web page.
    for (server, ca, expected) in
        [("good", &good, Code::Protocol), ("good", &other, Code::Tls), ("other", &other, Code::Tls)]
    {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = std::process::Command::new("openssl")
            .args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
            .args(["-cert", &format!("{server}.pem"), "-key", &format!("{server}.key")])
            .current_dir(dir.path())
            .stdin(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("openssl");
        let host = format!("127.0.0.1:{port}");
        let patience = Instant::now();
        while std::net::TcpStream::connect(&host).is_err() && patience.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let answer = ask(ca, &host);
        let _ = child.kill();
        let _ = child.wait();
        let error = answer.unwrap_err();
        assert_eq!(error.code(), expected, "{server}: {error}");
    }
    // The registry answers the greeting in plain text: a loopback host may be spoken to in plain HTTP then.
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    assert!(ask(&good, &registry.host()).unwrap().is_some());
    assert_eq!(registry.log(), ["GET /v2/team/app/manifests/v1 200"]);
}

#[test]
fn no_debug_output_shows_a_secret() {
    let registry = Registry::start();
    let options = TransportOptions {
        auth: vec![
            (registry.host(), Credential::basic("ann", "secret-1")),
            ("a.test".into(), Credential::token("secret-2")),
        ],
        docker_configs: vec![DockerConfig::parse(br#"{"auths":{"b.test":{"identitytoken":"secret-3"}}}"#).unwrap()],
        ..TransportOptions::default()
    };
    let shown = format!("{options:?} {:?}", transport(options.clone()));
    assert!(!shown.contains("secret"), "{shown}");
}
