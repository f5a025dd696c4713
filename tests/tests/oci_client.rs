//! oci-client both as wire and as judge: programs that hold an `oci_client::Client` sign and verify through it, and it
//! pulls what our own transport pushed.
//!
//! Its answers go through our checks, so each lie of the registry must come out as it does from our own transport; its
//! panics must come out as errors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cosign_core::oci::{Descriptor, Document, Manifest, RegistryRef, media_type};
use cosign_core::oci_client::client::{ClientConfig, ClientProtocol};
use cosign_core::oci_client::manifest::{OciDescriptor, OciImageManifest, OciManifest};
use cosign_core::oci_client::secrets::RegistryAuth;
use cosign_core::oci_client::{self, Reference};
use cosign_core::registry::{FetchedManifest, OciClient, PutOutcome, Referrers, Transport};
use cosign_core::store::Protection;
use cosign_core::{
    Call, Cancel, Class, Client, ClientOptions, Code, Digest, Error, Format, ImageRef, KeyAlgorithm, Policy,
    PrivateKey, SignOptions, VerifyOptions,
};
use cosign_tests::registry::{Auth, Credentials, Fault, OCI_INDEX, OCI_MANIFEST, Options, Registry, Tls, digest};

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn theirs(monolithic: bool) -> oci_client::Client {
    let config =
        ClientConfig { protocol: ClientProtocol::Http, use_monolithic_push: monolithic, ..ClientConfig::default() };
    oci_client::Client::try_from(config).expect("a client of theirs")
}

fn through() -> OciClient {
    OciClient::new(theirs(false))
}

fn login(registry: &Registry, password: &str) -> OciClient {
    let auth = RegistryAuth::Basic("ann".into(), password.into());
    through().with_auth(&registry.host(), auth).expect("credentials")
}

fn client(through: OciClient) -> Client {
    Client::with_oci_client(ClientOptions::new(), through).expect("a client")
}

fn ours() -> Client {
    Client::new(ClientOptions::new()).expect("a client")
}

fn wire() -> Transport {
    Transport::through(through()).expect("a transport")
}

fn image(registry: &Registry) -> ImageRef {
    format!("{}/team/app:v1", registry.host()).parse().expect("a reference")
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key")
}

fn sign(client: &Client, registry: &Registry, key: &PrivateKey, options: &SignOptions) -> Result<(), Error> {
    block(client.sign(&image(registry), key, options, &Call::new())).map(drop)
}

fn verify(client: &Client, registry: &Registry, key: &PrivateKey) -> Result<usize, Error> {
    let policy = Policy::new().with_key(key.public_key());
    let verified = block(client.verify(&image(registry), &policy, &VerifyOptions::default(), &Call::new()))?;
    Ok(verified.count())
}

fn get(registry: &Registry, reference: &str, call: &Call) -> Result<Option<FetchedManifest>, Error> {
    block(wire().get_manifest(&registry.host(), "team/app", reference, call))
}

#[track_caller]
fn refused<T>(result: Result<T, Error>) -> (Code, Class) {
    match result {
        Ok(_) => panic!("this must be an error"),
        Err(error) => (error.code(), error.code().class()),
    }
}

fn signature_tag(image: &str) -> String {
    format!("{}.sig", image.replace(':', "-"))
}

#[test]
fn each_verifies_what_the_other_signed() {
    for monolithic in [false, true] {
        let registry = Registry::start();
        let digest = registry.add_image("team/app", "v1");
        let (first, second) = (key(), key());
        let through = client(OciClient::new(theirs(monolithic)));
        let options = SignOptions { annotations: vec![("env".into(), "prod <&>".into())], ..SignOptions::default() };
        sign(&ours(), &registry, &first, &options).unwrap();
        sign(&through, &registry, &second, &options).unwrap();
        for (client, key) in [(&ours(), &first), (&ours(), &second), (&through, &first), (&through, &second)] {
            assert_eq!(verify(client, &registry, key).unwrap(), 1);
            // The annotations are in the payload that was stored.
            let demanding = |value: &str| {
                let mut policy = Policy::new().with_key(key.public_key());
                policy.require_annotation("env", value).unwrap();
                block(client.verify(&image(&registry), &policy, &VerifyOptions::default(), &Call::new()))
            };
            assert_eq!(demanding("prod <&>").unwrap().digest().to_string(), digest);
            assert_eq!(refused(demanding("test")).1, Class::Refused);
            assert_eq!(refused(verify(client, &registry, &self::key())), (Code::NoSignatureMatches, Class::Refused));
        }

        // Signing again through the other wire finds the duplicate: payload and signature image have one form.
        let (_, before) = registry.manifest("team/app", &signature_tag(&digest)).unwrap();
        sign(&through, &registry, &first, &options).unwrap();
        sign(&ours(), &registry, &second, &options).unwrap();
        assert_eq!(registry.manifest("team/app", &signature_tag(&digest)).unwrap().1, before);
    }
}

#[test]
fn both_wires_store_the_same_bytes() {
    // Ed25519 signs the same bytes the same way each time, so the whole signature image must be equal.
    let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let options = SignOptions { identity: Some("example.com/team/app".into()), ..SignOptions::default() };
    let stored = |client: Client| {
        let registry = Registry::start();
        let subject = registry.add_image("team/app", "v1");
        sign(&client, &registry, &key, &options).unwrap();
        registry.manifest("team/app", &signature_tag(&subject)).unwrap()
    };
    let own = stored(ours());
    assert_eq!(stored(client(through())), own);
    assert_eq!(stored(client(OciClient::new(theirs(true)))), own);
    assert_eq!(own.0, OCI_MANIFEST);
}

#[test]
fn oci_client_pulls_what_we_pushed() {
    let registry = Registry::start();
    let subject = registry.add_image("team/app", "v1");
    let key = key();
    let options = SignOptions { annotations: vec![("a".into(), "b".into())], ..SignOptions::default() };
    sign(&ours(), &registry, &key, &options).unwrap();
    sign(&ours(), &registry, &self::key(), &options).unwrap();

    let (_, stored) = registry.manifest("team/app", &signature_tag(&subject)).unwrap();
    let oracle = theirs(false);
    let at: Reference = format!("{}/team/app:{}", registry.host(), signature_tag(&subject)).parse().unwrap();
    block(async {
        let auth = RegistryAuth::Anonymous;
        let (bytes, pulled) = oracle.pull_manifest_raw(&at, &auth, &[OCI_MANIFEST]).await.unwrap();
        assert_eq!(bytes, stored);
        assert_eq!(pulled, digest(&stored));

        let (parsed, _) = oracle.pull_image_manifest(&at, &auth).await.unwrap();
        let ours = Manifest::parse(&stored, Some(OCI_MANIFEST)).unwrap();
        assert_eq!(parsed.layers.len(), 2);
        for layer in &parsed.layers {
            let mut payload = Vec::new();
            oracle.pull_blob(&at, layer, &mut payload).await.unwrap();
            assert_eq!(payload, registry.blob("team/app", &layer.digest).unwrap());
            assert!(payload.starts_with(br#"{"critical":{"identity":"#));
        }
        // Their reading of the manifest is ours, in both directions.
        assert_eq!(Document::try_from(&OciManifest::Image(parsed)).unwrap(), Document::Manifest(ours.clone()));
        let back = OciManifest::Image(OciImageManifest::try_from(&ours).unwrap());
        assert_eq!(Document::try_from(&back).unwrap(), Document::Manifest(ours));
    });
}

#[test]
fn credentials_go_to_their_registry_alone() {
    for auth in [Auth::Basic("ann".into(), "pw".into()), Auth::token("ann", "pw")] {
        let registry = Registry::with_auth(auth);
        registry.add_image("team/app", "v1");
        let key = key();
        let allowed = client(login(&registry, "pw"));
        sign(&allowed, &registry, &key, &SignOptions::default()).unwrap();
        assert_eq!(verify(&allowed, &registry, &key).unwrap(), 1);

        let open = Registry::start();
        open.add_image("team/app", "v1");
        assert_eq!(refused(verify(&allowed, &open, &key)).0, Code::NoSignatures);
        assert!(open.seen().iter().all(|seen| seen.authorization().is_none()));

        // No or wrong credentials: nothing is known, and the password is in no error.
        for other in [through(), login(&registry, "wrong-secret")] {
            let error = verify(&client(other), &registry, &key).unwrap_err();
            assert_eq!((error.code(), error.code().class()), (Code::Auth, Class::Unknown), "{error}");
            assert!(!format!("{error} {error:?} {}", error.json()).contains("wrong-secret"));
        }
    }
    let secret = RegistryAuth::Basic("ann".into(), "wrong-secret".into());
    assert!(!format!("{:?}", through().with_auth("a.test", secret).unwrap()).contains("wrong-secret"));
}

#[test]
fn a_token_that_stopped_working_is_renewed_once() {
    let registry = Registry::with_auth(Auth::token("ann", "pw"));
    registry.add_image("team/app", "v1");
    let transport = Transport::through(login(&registry, "pw")).unwrap();
    let (host, call) = (registry.host(), Call::new());
    let get = || transport.get_manifest(&host, "team/app", "v1", &call);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(get()).unwrap().unwrap();
    registry.revoke_tokens();
    registry.clear_log();
    runtime.block_on(get()).unwrap().unwrap();
    let log = registry.log();
    assert_eq!(log.first().unwrap(), "GET /v2/team/app/manifests/v1 401");
    assert_eq!(log.last().unwrap(), "GET /v2/team/app/manifests/v1 200");
    assert_eq!(log.iter().filter(|line| line.starts_with("GET /token")).count(), 1, "{log:?}");
}

#[test]
fn only_the_registrys_own_words_make_something_absent() {
    let key = key();
    let signed = Registry::start();
    let subject = signed.add_image("team/app", "v1");
    let through = client(through());
    assert_eq!(refused(verify(&through, &signed, &key)), (Code::NoSignatures, Class::Refused));
    sign(&ours(), &signed, &key, &SignOptions::default()).unwrap();

    let json = |status: u16, body: &str| {
        Fault::Answer(status, vec![("Content-Type", "application/json".into())], body.as_bytes().to_vec())
    };
    let place = format!("manifests/{}", signature_tag(&subject));
    for (fault, code) in [
        (Fault::error(429, "TOOMANYREQUESTS"), Code::RateLimited),
        (json(429, "slow down"), Code::RateLimited),
        (Fault::error(401, "UNAUTHORIZED"), Code::Auth),
        (Fault::error(403, "DENIED"), Code::Denied),
        (json(403, "no"), Code::Denied),
        (Fault::error(500, "UNKNOWN"), Code::Network),
        (Fault::error(503, "MANIFEST_UNKNOWN"), Code::Network),
        (Fault::Portal, Code::Protocol),
        (json(404, r#"{"errors":[]}"#), Code::Protocol),
        (json(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"},{"code":"TOOMANYREQUESTS"}]}"#), Code::RateLimited),
        (json(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"},{"code":"UNKNOWN"}]}"#), Code::Protocol),
        (json(200, "<html>Please log in</html>"), Code::Protocol),
        (Fault::Truncate, Code::Network),
        (Fault::Close, Code::Network),
        (Fault::WrongBytes, Code::Content),
    ] {
        signed.fault(&place, fault.clone());
        let error = verify(&through, &signed, &key).unwrap_err();
        assert_eq!((error.code(), error.code().class()), (code, Class::Unknown), "{fault:?}: {error}");
        // A signer that cannot read what is there must not replace it.
        let (_, before) = signed.manifest("team/app", &signature_tag(&subject)).unwrap();
        assert_eq!(refused(sign(&through, &signed, &self::key(), &SignOptions::default())).0, code, "{fault:?}");
        assert_eq!(signed.manifest("team/app", &signature_tag(&subject)).unwrap().1, before);
        signed.heal();
    }
    assert_eq!(verify(&through, &signed, &key).unwrap(), 1);
    let missing = get(&signed, "v2", &Call::new()).unwrap();
    assert!(missing.is_none());
    signed.fault("manifests/v2", Fault::error(404, "NAME_UNKNOWN"));
    assert!(get(&signed, "v2", &Call::new()).unwrap().is_none());
}

#[test]
fn an_unread_fallback_tag_is_not_an_empty_one() {
    // oci-client itself answers an empty list here.
    let registry = Registry::start();
    let subject = registry.add_image("team/app", "v1");
    let fallback = format!("manifests/{}", subject.replace(':', "-"));
    let through = client(through());
    for (fault, code) in [
        (Fault::error(403, "DENIED"), Code::Denied),
        (Fault::error(429, "TOOMANYREQUESTS"), Code::RateLimited),
        (Fault::Portal, Code::Protocol),
    ] {
        // The tag with the suffix is read before, and honestly absent.
        registry.fault_at(&fallback, 1, usize::MAX, fault);
        assert_eq!(refused(verify(&through, &registry, &key())), (code, Class::Unknown));
        registry.heal();
    }
    assert_eq!(refused(verify(&through, &registry, &key())).0, Code::NoSignatures);
}

#[test]
fn bundles_are_written_and_read_in_both_places() {
    for referrers in [true, false] {
        let registry = Registry::with(Options { referrers, ..Options::default() });
        let subject = Digest::parse(&registry.add_image("team/app", "v1")).unwrap();
        let fallback = subject.to_string().replace(':', "-");
        let (first, second, third) = (key(), key(), key());
        let options = SignOptions { format: Format::Bundle, journal: false, ..SignOptions::default() };
        sign(&ours(), &registry, &first, &options).unwrap();
        for key in [&second, &third] {
            sign(&client(through()), &registry, key, &options).unwrap();
        }
        for client in [ours(), client(through())] {
            for key in [&first, &second, &third] {
                assert_eq!(verify(&client, &registry, key).unwrap(), 1, "API {referrers}");
            }
            assert_eq!(refused(verify(&client, &registry, &key())), (Code::NoSignatureMatches, Class::Refused));
        }
        // Each place in its registry alone, although oci-client answers from both in the same way.
        let at = registry.manifest("team/app", &fallback);
        let named = at.map(|(media_type, bytes)| match Document::parse(&bytes, Some(&media_type)).unwrap() {
            Document::Index(index) => index.manifests.len(),
            Document::Manifest(_) => panic!("the fallback tag holds an index"),
        });
        assert_eq!(named, (!referrers).then_some(3));
        let listed = block(wire().referrers(&registry.host(), "team/app", &subject, None, &Call::new())).unwrap();
        assert_eq!(matches!(listed, Referrers::Found(entries) if entries.len() == 3), referrers);
    }
}

#[test]
fn what_arrives_is_hashed_and_capped() {
    let registry = Registry::with(Options { no_digest_header: true, ..Options::default() });
    let subject = registry.add_image("team/app", "v1");
    let call = Call::new();
    let found = get(&registry, &subject, &call).unwrap().unwrap();
    assert_eq!((found.digest.to_string(), found.media_type.as_str()), (subject.clone(), OCI_MANIFEST));
    assert_eq!(found.bytes, registry.manifest("team/app", "v1").unwrap().1);

    registry.fault("manifests/", Fault::WrongBytes);
    assert_eq!(refused(get(&registry, &subject, &call)).0, Code::Content);
    registry.heal();
    registry.fault("manifests/", Fault::OverLong(4 << 20));
    assert_eq!(refused(get(&registry, "v1", &call)), (Code::TooLarge, Class::Unknown));
    registry.heal();

    // No image: schema 1, and a document that is manifest and index at once.
    for bad in [
        r#"{"schemaVersion":1,"name":"team/app","tag":"old","history":[]}"#.to_owned(),
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[],"layers":[]}}"#),
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","mediaType":"{OCI_MANIFEST}","manifests":[]}}"#),
        "[]".to_owned(),
    ] {
        registry.add_manifest("team/app", "bad", OCI_MANIFEST, bad.as_bytes());
        assert_eq!(refused(get(&registry, "bad", &call)).0, Code::Protocol, "{bad}");
    }
    // An index may leave its media type out.
    registry.add_manifest("team/app", "index", OCI_INDEX, br#"{"schemaVersion":2,"manifests":[]}"#);
    assert_eq!(get(&registry, "index", &call).unwrap().unwrap().media_type, OCI_INDEX);

    let blob = Digest::parse(&registry.add_blob("team/app", b"hello")).unwrap();
    let wire = wire();
    let read = |size| block(wire.get_blob(&registry.host(), "team/app", &blob, size, &Call::new()));
    assert_eq!(read(5).unwrap().unwrap(), b"hello");
    assert_eq!(refused(read(4)).0, Code::TooLarge);
    assert_eq!(refused(read(6)).0, Code::Content);
    registry.fault("blobs/", Fault::WrongBytes);
    assert_eq!(refused(read(5)).0, Code::Content);
    registry.heal();
    // A blob that never ends is cut at its declared size, not collected.
    for endless in [Fault::Endless, Fault::OverLong(1 << 20)] {
        registry.fault("blobs/", endless);
        assert_eq!(refused(read(5)).0, Code::TooLarge);
        registry.heal();
    }
    registry.fault("blobs/", Fault::Truncate);
    assert_eq!(refused(read(5)).0, Code::Network);
    registry.heal();
    let unknown = Digest::sha256(b"unknown");
    let absent = block(wire.get_blob(&registry.host(), "team/app", &unknown, 7, &Call::new()));
    assert!(absent.unwrap().is_none());
}

#[test]
fn a_signature_image_with_too_many_layers_is_not_judged() {
    let registry = Registry::start();
    let subject = registry.add_image("team/app", "v1");
    let config = registry.add_blob("team/app", b"{}");
    let layer = format!(r#"{{"mediaType":"{}","size":2,"digest":"{config}"}}"#, media_type::SIMPLE_SIGNING);
    let layers = vec![layer; 1001].join(",");
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"{config}"}},"layers":[{layers}]}}"#
    );
    registry.add_manifest("team/app", &signature_tag(&subject), OCI_MANIFEST, manifest.as_bytes());
    assert_eq!(refused(verify(&client(through()), &registry, &key())), (Code::TooLarge, Class::Unknown));
    assert!(!registry.log().iter().any(|line| line.contains("/blobs/")));
}

#[test]
fn the_deadline_and_the_cancel_of_a_call_hold() {
    for fault in [Fault::Stall, Fault::StallBody] {
        let registry = Registry::start();
        registry.add_image("team/app", "v1");
        registry.fault("manifests/", fault);
        let call = Call::new().with_timeout(Duration::from_millis(150));
        let error = get(&registry, "v1", &call).unwrap_err();
        assert_eq!(error.code(), Code::Timeout);
        assert!(error.message().contains("GET manifest v1"), "{error}");

        let cancel = Cancel::new();
        let call = Call::new().with_cancel(cancel.clone());
        let seen = registry.seen().len();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Cancelled when the request is there, not before; a request that never comes ends the test by its count.
                let started = Instant::now();
                while registry.seen().len() <= seen && started.elapsed() < Duration::from_secs(60) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                cancel.cancel();
            });
            assert_eq!(refused(get(&registry, "v1", &call)), (Code::Cancelled, Class::Stopped));
        });
        assert!(registry.seen().len() > seen);
    }
}

/// Runs on a thread whose panics are not printed: these are expected.
fn quietly<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    const NAME: &str = "expects panics";
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() != Some(NAME) {
                usual(info);
            }
        }));
    });
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(NAME.into()).spawn_scoped(scope, work).expect("a thread");
        thread.join().expect("no panic reaches the caller")
    })
}

#[test]
fn a_manifest_by_digest_needs_no_location() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    let (_, bytes) = registry.manifest("team/app", "v1").unwrap();
    let name = digest(&bytes);
    registry.fault("PUT /v2/team/app/manifests/", Fault::Answer(201, Vec::new(), Vec::new()));
    let host = registry.host();

    // What makes oci-client itself panic.
    let at = Reference::with_digest(host.clone(), "team/app".into(), name.clone());
    let bare = quietly(|| {
        let push = theirs(false);
        let content_type = OCI_MANIFEST.parse().unwrap();
        let pushed = std::panic::AssertUnwindSafe(|| block(push.push_manifest_raw(&at, bytes.clone(), content_type)));
        std::panic::catch_unwind(pushed).map(|outcome| outcome.is_ok())
    });
    assert!(bare.is_err(), "oci-client has mended this; the guard can go");

    for reference in [name.as_str(), "new"] {
        let outcome = block(wire().put_manifest(&host, "team/app", reference, OCI_MANIFEST, &bytes, &Call::new()));
        let stored = outcome.unwrap().stored().unwrap();
        assert_eq!((stored.digest.to_string(), stored.date, stored.oci_subject), (name.clone(), None, false));
        let put = registry.seen().pop().unwrap();
        assert_eq!(put.target, format!("/v2/team/app/manifests/{reference}"));
        assert_eq!((put.body, put.headers["content-type"].as_str()), (bytes.clone(), OCI_MANIFEST));
    }
}

#[test]
fn panics_of_oci_client_are_errors() {
    // An upload location that is no URL, in the two ways of uploading: only one of them panics.
    for monolithic in [true, false] {
        let registry = Registry::with(Options { upload_location: Some("no url".into()), ..Options::default() });
        registry.add_image("team/app", "v1");
        let client = client(OciClient::new(theirs(monolithic)));
        let error = quietly(|| sign(&client, &registry, &key(), &SignOptions::default()).unwrap_err());
        assert_eq!(error.code().class(), Class::Unknown, "{error}");
        assert_eq!(error.message().contains("it panicked"), monolithic, "{error}");
    }
    // A token that a header cannot carry, from the token server and from the caller.
    let registry = Registry::with_auth(Auth::token("ann", "pw"));
    registry.add_image("team/app", "v1");
    let broken = Fault::Answer(200, Vec::new(), br#"{"token":"a\nb"}"#.to_vec());
    registry.fault("GET /token", broken);
    let client = client(login(&registry, "pw"));
    let error = quietly(|| verify(&client, &registry, &key()).unwrap_err());
    assert_eq!(error.code().class(), Class::Unknown, "{error}");
    assert!(error.message().contains("it panicked"), "{error}");
    for bad in ["", "a\nb", "a b"] {
        let error = through().with_auth("a.test", RegistryAuth::Bearer(bad.into())).unwrap_err();
        assert_eq!(error.code(), Code::Argument);
    }
}

#[test]
fn registries_that_answer_uploads_freely_are_believed_after_a_look() {
    let registry = Registry::start();
    let blob = b"payload".as_slice();
    let name = Digest::sha256(blob);
    let host = registry.host();
    let put = || block(wire().put_blob(&host, "team/app", &name, blob, &Call::new()));
    // 201 without a Location: it is there only if the registry says so.
    registry.fault("PUT /v2/team/app/blobs/uploads/", Fault::Answer(201, Vec::new(), Vec::new()));
    assert_eq!(refused(put()).0, Code::Protocol);
    registry.add_blob("team/app", blob);
    put().unwrap();
    registry.heal();
    for (fault, code) in [
        (Fault::error(403, "DENIED"), Code::Denied),
        (Fault::error(429, "TOOMANYREQUESTS"), Code::RateLimited),
        (Fault::error(400, "DIGEST_INVALID"), Code::Protocol),
        (Fault::error(400, "TAG_IMMUTABLE"), Code::Conflict),
        (Fault::error(502, "UNKNOWN"), Code::Network),
    ] {
        registry.fault("POST /v2/team/app/blobs/uploads/", fault.clone());
        assert_eq!(refused(put()), (code, Class::Unknown), "{fault:?}");
        registry.heal();
        registry.fault("PUT /v2/team/app/manifests/", fault.clone());
        let pushed = block(wire().put_manifest(&host, "team/app", "x", OCI_MANIFEST, b"{}", &Call::new()));
        assert_eq!(refused(pushed.and_then(PutOutcome::stored)), (code, Class::Unknown), "{fault:?}");
        registry.heal();
    }
}

#[test]
fn nothing_unfit_for_a_url_reaches_oci_client() {
    let registry = Registry::start();
    let wire = wire();
    let pinned = format!("t@{}", digest(b"x"));
    for (repository, reference) in [
        ("a/../../x", "t"),
        ("a", "t"),
        ("team/app", "?x"),
        ("team/app", "../b"),
        ("team/app", ""),
        ("Team/app", "t"),
        ("team/app", &pinned),
    ] {
        let asked = block(wire.get_manifest(&registry.host(), repository, reference, &Call::new()));
        assert_eq!(refused(asked).0, Code::Reference, "{repository} {reference}");
    }
    assert!(registry.log().is_empty());
}

#[test]
fn options_that_the_given_client_would_ignore_are_refused() {
    let mut options = ClientOptions::new();
    options.set_auth_basic("a.test", "ann", "pw");
    assert_eq!(refused(Client::with_oci_client(options, through())).0, Code::Argument);
    let tls = Registry::with(Options { tls: Some(Tls::default()), ..Options::default() });
    let Credentials { ca, client, client_key } = tls.credentials();
    let changes: [&dyn Fn(&mut ClientOptions); 12] = [
        &|options| {
            options.set_user_agent("x").unwrap();
        },
        &|options| {
            options.add_ca_pem(ca.as_bytes()).unwrap();
        },
        &|options| {
            options.set_ca_pem(ca.as_bytes()).unwrap();
        },
        &|options| {
            options.set_client_certificate(client.as_bytes(), client_key.as_bytes()).unwrap();
        },
        &|options| {
            options.add_certs_dir(std::path::Path::new("/etc/docker/certs.d"));
        },
        &|options| {
            options.set_docker_config(b"{}").unwrap();
        },
        &|options| {
            options.allow_credential_helpers(true);
        },
        &|options| {
            options.allow_token_server("a.test", "b.test");
        },
        &|options| {
            options.set_proxy("http://proxy.test:3128", "", "").unwrap();
        },
        &|options| {
            options.set_proxy("", "http://proxy.test:3128", "").unwrap();
        },
        &|options| {
            options.set_retry_base(Duration::ZERO);
        },
        &|options| {
            options.dangerous_allow_http("a.test");
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut options = ClientOptions::new();
        change(&mut options);
        assert_eq!(refused(Client::with_oci_client(options, through())).0, Code::Argument, "{number}");
    }
    let mut options = ClientOptions::new();
    options.set_layouts(false);
    let client = Client::with_oci_client(options, through()).unwrap();
    let layout = "oci:/nonexistent:v1".parse().unwrap();
    let resolved = block(client.resolve(&layout, &Call::new()));
    assert_eq!(refused(resolved).0, Code::Reference);
}

#[test]
fn verbs_through_it_move_between_threads() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    let key = Arc::new(key());
    sign(&ours(), &registry, &key, &SignOptions::default()).unwrap();
    let (client, image) = (client(through()), image(&registry));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (client, image, policy) = (client.clone(), image.clone(), Policy::new().with_key(key.public_key()));
                tokio::spawn(async move {
                    client.verify(&image, &policy, &VerifyOptions::default(), &Call::new()).await.map(|v| v.count())
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap(), 1);
        }
    });
}

#[test]
fn references_keep_their_registry() {
    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for text in [
        "alpine".to_owned(),
        "docker.io/alpine:3".to_owned(),
        "ghcr.io/team/app:1.2".to_owned(),
        "localhost:5000/a/b".to_owned(),
        format!("ghcr.io/team/app@{D}"),
        format!("ghcr.io/team/app:1@{D}"),
    ] {
        let parsed: Reference = text.parse().unwrap();
        let converted = RegistryRef::try_from(&parsed).unwrap();
        assert_eq!(converted, RegistryRef::parse(&text).unwrap(), "{text}");
        let back = Reference::from(&converted);
        assert_eq!(back.resolve_registry(), parsed.resolve_registry(), "{text}");
        assert_eq!(back.repository(), parsed.repository(), "{text}");
        assert_eq!(RegistryRef::try_from(&back).unwrap(), converted, "{text}");
    }
    // Names that our rules would send elsewhere, and what our rules refuse.
    for (registry, repository, tag) in [
        ("intranet", "team/app", "1"),
        ("ghcr.io", "team/app:1", "2"),
        ("ghcr.io/team", "app", "1"),
        ("ghcr.io", "Team/app", "1"),
        ("ghcr.io", "team/../app", "1"),
        ("ghcr.io", "team/app", "a/b"),
        ("u@ghcr.io", "team/app", "1"),
        ("ghcr.io", "team/app", &format!("1@{D}")),
    ] {
        let odd = Reference::with_tag(registry.into(), repository.into(), tag.into());
        assert_eq!(refused(RegistryRef::try_from(&odd)).0, Code::Reference, "{odd}");
        assert_eq!(refused(ImageRef::try_from(&odd)).0, Code::Reference, "{odd}");
    }
    let sha384 = Reference::with_digest("ghcr.io".into(), "a/b".into(), format!("sha384:{}", "0".repeat(96)));
    assert_eq!(refused(RegistryRef::try_from(&sha384)).0, Code::Reference);
}

#[test]
fn descriptors_are_checked_on_the_way_in() {
    let mut ours = Descriptor::of("text/plain", b"hello");
    ours.annotations.insert("a".into(), "b".into());
    ours.artifact_type = Some("application/x".into());
    let theirs = OciDescriptor::try_from(&ours).unwrap();
    assert_eq!(Descriptor::try_from(&theirs).unwrap(), ours);
    for bad in [
        OciDescriptor { size: -1, ..theirs.clone() },
        OciDescriptor { digest: "sha256:../../x".into(), ..theirs.clone() },
        OciDescriptor { digest: "md5:d41d8cd98f00b204e9800998ecf8427e".into(), ..theirs.clone() },
    ] {
        assert_eq!(refused(Descriptor::try_from(&bad)).0, Code::Protocol);
        let manifest = OciImageManifest { config: bad, ..OciImageManifest::default() };
        assert_eq!(refused(Document::try_from(&OciManifest::Image(manifest))).0, Code::Protocol);
    }
    ours.size = u64::MAX;
    assert_eq!(refused(OciDescriptor::try_from(&ours)).0, Code::Protocol);
}

#[test]
fn a_push_without_a_whole_answer_is_left_open() {
    let registry = Registry::start();
    let host = registry.host();
    let put = |call: &Call| {
        registry.clear_log();
        let outcome = block(wire().put_manifest(&host, "team/app", "tag", OCI_MANIFEST, b"{}", call));
        (outcome, registry.log().iter().filter(|line| line.starts_with("PUT")).count())
    };
    let unreadable = Fault::Answer(201, vec![("Location", "/v2/é".into())], Vec::new());
    for (fault, code) in [
        (Fault::error(502, "UNKNOWN"), Code::Network),
        (Fault::error(504, "UNKNOWN"), Code::Network),
        (Fault::error(499, "UNKNOWN"), Code::Protocol),
        (Fault::error(522, "UNKNOWN"), Code::Network),
        (Fault::Close, Code::Network),
        (Fault::Reset, Code::Network),
        (Fault::ResetAt(10), Code::Network),
        (unreadable, Code::Protocol),
    ] {
        registry.fault("PUT", fault.clone());
        let (outcome, sent) = put(&Call::new());
        let Ok(PutOutcome::Ambiguous(error)) = outcome else { panic!("{fault:?}: {outcome:?}") };
        assert_eq!((error.code(), sent), (code, 1), "{fault:?}: {error}");
        registry.heal();
    }
    registry.fault("PUT", Fault::Stall);
    let (outcome, _) = put(&Call::new().with_timeout(Duration::from_millis(100)));
    let Ok(PutOutcome::Ambiguous(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.code(), Code::Timeout);
    registry.heal();

    // The registry's own refusal, a call that ended before, and a registry that nobody reached leave nothing open.
    for (status, code) in [(401, Code::Auth), (403, Code::Denied), (429, Code::RateLimited), (503, Code::Network)] {
        registry.fault("PUT", Fault::error(status, "UNKNOWN"));
        let (outcome, sent) = put(&Call::new());
        assert_eq!((refused(outcome).0, sent), (code, 1), "{status}");
        registry.heal();
    }
    let call = Call::new();
    call.cancel().cancel();
    let (outcome, sent) = put(&call);
    assert_eq!((refused(outcome).0, sent), (Code::Cancelled, 0));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let outcome = block(wire().put_manifest(&nobody, "team/app", "tag", OCI_MANIFEST, b"{}", &Call::new()));
    assert_eq!(refused(outcome).0, Code::Network);
    // Any success is one.
    for status in [200, 202, 204] {
        registry.fault("PUT", Fault::Answer(status, Vec::new(), Vec::new()));
        assert!(matches!(put(&Call::new()).0, Ok(PutOutcome::Stored(_))), "{status}");
        registry.heal();
    }
}

#[test]
fn a_head_is_a_get() {
    let registry = Registry::start();
    let digest = registry.add_image("team/app", "v1");
    let (host, call) = (registry.host(), Call::new());
    let head = |reference: &str| block(wire().head_manifest(&host, "team/app", reference, &call));
    for reference in ["v1", &digest] {
        let found = head(reference).unwrap().unwrap();
        assert_eq!((found.digest.to_string(), found.media_type.as_str()), (digest.clone(), OCI_MANIFEST));
        let size = registry.manifest("team/app", "v1").unwrap().1.len() as u64;
        assert_eq!((found.size, found.date), (size, None));
    }
    assert!(registry.log().iter().all(|line| line.starts_with("GET ")));
    assert!(head("none").unwrap().is_none());
    registry.fault("manifests/", Fault::WrongBytes);
    assert_eq!(refused(head(&digest)).0, Code::Content);
    registry.heal();
    registry.fault("manifests/", Fault::Portal);
    assert_eq!(refused(head("none")).0, Code::Protocol);
}

#[test]
fn referrers_are_listed_by_type() {
    let registry = Registry::with(Options { referrers: true, ..Options::default() });
    let subject = Digest::parse(&registry.add_image("team/app", "v1")).unwrap();
    let add = |artifact: &str, note: &str| {
        let empty = digest(b"{}");
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","artifactType":"{artifact}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}},"layers":[],"subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":1}},"annotations":{{"note":"{note}"}}}}"#
        );
        registry.add_untagged("team/app", OCI_MANIFEST, text.as_bytes())
    };
    let ask = |artifact: Option<&str>| {
        block(wire().referrers(&registry.host(), "team/app", &subject, artifact, &Call::new())).map(|found| match found
        {
            Referrers::Found(entries) => {
                Some(entries.iter().map(|e| e.descriptor.digest.to_string()).collect::<Vec<_>>())
            }
            Referrers::NoApi => None,
        })
    };
    const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let other = add("application/x", "1");
    // oci-client's lists without what was sought may come from anywhere: the tag must be read, too.
    assert_eq!(ask(None).unwrap(), None);
    assert_eq!(ask(Some(BUNDLE)).unwrap(), None);
    assert_eq!(ask(Some("application/x")).unwrap().unwrap(), std::slice::from_ref(&other));
    let bundle = add(BUNDLE, "2");
    let mut all = ask(None).unwrap().unwrap();
    all.sort();
    let mut both = [other, bundle.clone()];
    both.sort();
    assert_eq!(all, both);
    assert_eq!(ask(Some(BUNDLE)).unwrap().unwrap(), [bundle]);
    for number in 0..1000 {
        add(BUNDLE, &format!("many {number}"));
    }
    assert_eq!(refused(ask(None)).0, Code::TooLarge);
    for (fault, code) in [
        (Fault::error(401, "UNAUTHORIZED"), Code::Auth),
        (Fault::error(429, "TOOMANYREQUESTS"), Code::RateLimited),
        (Fault::Text(429, "slow down".into()), Code::RateLimited),
        (Fault::error(503, "UNKNOWN"), Code::Network),
    ] {
        registry.fault("/referrers/", fault.clone());
        assert_eq!(refused(ask(None)).0, code, "{fault:?}");
        registry.heal();
    }
}

#[test]
fn tags_are_listed_to_the_end_or_not_at_all() {
    let registry = Registry::start();
    let image = registry.add_image("team/app", "a");
    let (_, manifest) = registry.manifest("team/app", &image).unwrap();
    let add = |tag: &str| drop(registry.add_manifest("team/app", tag, OCI_MANIFEST, &manifest));
    let list = |prefix: &str, expected: Option<&str>| {
        registry.clear_log();
        let found = block(wire().list_tags(&registry.host(), "team/app", prefix, expected, &Call::new()));
        let sorted = found.map_err(|error| error.code()).map(|found| {
            found.map(|found| {
                assert_eq!(found.date, None);
                let mut tags = found.tags;
                tags.sort();
                tags
            })
        });
        (sorted, registry.log().iter().filter(|line| line.contains("/tags/list")).count())
    };
    let wanted: Vec<String> = (100..350).map(|n| format!("m.{n}")).collect();
    wanted.iter().for_each(|tag| add(tag));
    add("z.1");

    // Three pages, the last of which goes past the prefix; without a tag behind it, one more shows the end.
    assert_eq!(list("m.", None), (Ok(Some(wanted.clone())), 3));
    assert_eq!(list("z.", None), (Ok(Some(vec!["z.1".to_owned()])), 2));
    assert_eq!(list("zz", None), (Ok(Some(vec![])), 1));
    // The missing tag may be elsewhere: the whole list is read.
    assert_eq!(list("m.", Some("m.349")).1, 3);
    let (found, requests) = list("m.", Some("m.none"));
    assert_eq!((found, requests), (Ok(Some(wanted.clone())), 3 + 4));
    // Smaller pages, and no order.
    registry.set(|switches| switches.tags_list.page = Some(70));
    assert_eq!(list("m.", None), (Ok(Some(wanted.clone())), 4));
    registry.set(|switches| switches.tags_list.sorted = false);
    assert_eq!(list("m.", None).0, Ok(Some(wanted.clone())));

    // Distribution 2.8 reads neither `n` nor `last`: one request more shows that this is all.
    registry.set(|switches| (switches.tags_list.parameters, switches.tags_list.page) = (false, None));
    assert_eq!(list("m.", None), (Ok(Some(wanted.clone())), 2));
    registry.set(|switches| switches.tags_list.sorted = true);
    assert_eq!(list("m.", None), (Ok(Some(wanted)), 1));

    let json = |tags: &[String]| {
        let body = serde_json::json!({"name": "team/app", "tags": tags}).to_string().into_bytes();
        Fault::Answer(200, Vec::new(), body)
    };
    let some = |count: usize| (0..count).map(|n| format!("m.{n}")).collect::<Vec<_>>();
    // As short as a page, and the same whatever is asked for: all of it. Once cut shorter: nobody knows what follows.
    registry.fault("/tags/", json(&some(100)));
    assert_eq!(list("m.", None).0.unwrap().unwrap().len(), 100);
    registry.heal();
    registry.fault_at("/tags/", 0, 2, json(&some(100)));
    registry.fault_at("/tags/", 0, usize::MAX, json(&some(99)));
    assert_eq!(list("m.", None).0, Err(Code::Unsupported));
    registry.heal();

    registry.fault("/tags/", json(&some(10_001)));
    assert_eq!(list("m.", None).0, Err(Code::TooLarge));
    assert_eq!(list("m.1000", None).0.unwrap().unwrap(), ["m.1000", "m.10000"]);
    registry.heal();
    registry.fault("/tags/", json(&["m".repeat(129)]));
    assert_eq!(list("m", None).0, Err(Code::Protocol));
    registry.heal();
    for page in 0..40 {
        registry.fault_at("/tags/", page, 1, json(&[format!("m.{page}")]));
    }
    let (endless, requests) = list("m.", None);
    assert_eq!((endless, requests), (Err(Code::TooLarge), 32));
    registry.heal();

    registry.fault("/tags/", Fault::error(404, "NAME_UNKNOWN"));
    assert_eq!(list("m.", None), (Ok(None), 1));
    registry.heal();
    for (fault, code) in [
        (Fault::error(401, "UNAUTHORIZED"), Code::Auth),
        (Fault::error(403, "DENIED"), Code::Denied),
        (Fault::error(400, "UNSUPPORTED"), Code::Protocol),
        (Fault::error(500, "UNKNOWN"), Code::Network),
        (Fault::Portal, Code::Protocol),
        (Fault::Answer(200, Vec::new(), b"{}".to_vec()), Code::Protocol),
    ] {
        registry.fault("/tags/", fault.clone());
        assert_eq!(list("m.", None).0, Err(code), "{fault:?}");
        registry.heal();
    }
}

#[test]
fn a_signature_without_a_journal_is_told_so() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    let (client, key, options) = (client(through()), key(), SignOptions::default());
    let signed = block(client.sign(&image(&registry), &key, &options, &Call::new())).unwrap();
    let Protection::StoredUnprotected(why) = signed.protection() else { panic!("{signed:?}") };
    assert!(why.contains("oci_client"), "{why}");
    assert_eq!(verify(&client, &registry, &key).unwrap(), 1);
}

#[test]
fn what_oci_client_cannot_do_is_unsupported_and_sends_nothing() {
    let registry = Registry::start();
    let digest = Digest::parse(&registry.add_image("team/app", "v1")).unwrap();
    let (host, wire, call) = (registry.host(), wire(), Call::new());
    let own = block(wire.put_own_tag(&host, "team/app", "own", OCI_MANIFEST, b"{}", &call));
    assert_eq!(refused(own).0, Code::Unsupported);
    assert_eq!(refused(block(wire.delete_manifest(&host, "team/app", "v1", &call))).0, Code::Unsupported);
    assert_eq!(refused(block(wire.mount_blob(&host, "team/app", &digest, "team/base", &call))).0, Code::Unsupported);
    assert!(registry.log().is_empty());
}
