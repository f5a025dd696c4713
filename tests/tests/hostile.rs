//! What a hostile or broken registry may hold beside an image, through the verbs and over a connection: the same cases as
//! for layouts (`core/tests/layout.rs`), where a tag, a list and a media type come from somebody else.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cosign_core::blocking::Client;
use cosign_core::{
    Call, Class, ClientOptions, Code, Error, Format, ImageRef, KeyAlgorithm, Policy, PrivateKey, SignOptions,
    Verification, Verified, VerifyOptions,
};
use cosign_tests::registry::{Certificate, Fault, OCI_INDEX, OCI_MANIFEST, Options, Referrers, Registry, Tls, digest};
use serde_json::{Value, json};

const REPOSITORY: &str = "team/app";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

fn key() -> &'static PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap())
}

/// A registry with an image that is signed once.
struct World {
    registry: Registry,
    client: Client,
    image: ImageRef,
    digest: String,
    format: Format,
}

impl World {
    fn signed(format: Format, referrers: bool) -> World {
        let registry = Registry::start();
        registry.set(|is| is.referrers = if referrers { Referrers::On } else { Referrers::Off });
        let digest = registry.add_image(REPOSITORY, "v1");
        let image = ImageRef::parse(&format!("{}/{REPOSITORY}:v1", registry.host())).unwrap();
        let mut options = ClientOptions::new();
        options.set_retry_base(Duration::ZERO);
        let client = Client::new(options).unwrap();
        let options = SignOptions { format, journal: referrers, ..Default::default() };
        client.sign(&image, key(), &options, &Call::new()).unwrap();
        World { registry, client, image, digest, format }
    }

    fn verify(&self) -> Result<Verified<Verification>, Error> {
        let policy = Policy::new().with_key(key().public_key());
        let options = VerifyOptions { format: Some(self.format), ..Default::default() };
        self.client.verify(&self.image, &policy, &options, &Call::new())
    }

    fn tag(&self) -> String {
        let suffix = if self.format == Format::Legacy { ".sig" } else { "" };
        format!("{}{suffix}", self.digest.replace(':', "-"))
    }

    fn stored(&self) -> Value {
        serde_json::from_slice(&self.registry.manifest(REPOSITORY, &self.tag()).unwrap().1).unwrap()
    }

    /// Puts something else in the place of the signature image.
    fn set(&self, document: &[u8]) -> Result<usize, Error> {
        self.registry.add_manifest(REPOSITORY, &self.tag(), OCI_MANIFEST, document);
        self.verify().map(|verified| verified.count())
    }
}

#[track_caller]
fn code<T>(outcome: Result<T, Error>) -> Code {
    match outcome {
        Ok(_) => panic!("this must be an error"),
        Err(error) => error.code(),
    }
}

// 60 to 63, 67 to 70, 73
#[test]
fn layers_that_lie_or_have_no_signature_are_refused() {
    let world = World::signed(Format::Legacy, false);
    let good = world.stored();
    let set = |change: &dyn Fn(&mut Value)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        world.set(manifest.to_string().as_bytes())
    };
    let signature = good["layers"][0]["annotations"][SIGNATURE].as_str().unwrap().to_owned();
    assert_eq!(set(&|_| {}).unwrap(), 1);
    let wrapped = format!("{}\r\n{}\n", &signature[..40], &signature[40..]);
    assert_eq!(set(&|m| m["layers"][0]["annotations"][SIGNATURE] = wrapped.clone().into()).unwrap(), 1);
    let in_between = format!("{} {}", &signature[..40], &signature[40..]);
    for text in ["", " ", "!!!", "A", &in_between, &"A".repeat(3 << 20)] {
        let found = code(set(&|m| m["layers"][0]["annotations"][SIGNATURE] = text.into()));
        assert_eq!(found, Code::NoSignatureMatches, "{}", &text[..text.len().min(20)]);
    }
    // An annotation that makes the manifest larger than any.
    let found = code(set(&|m| m["layers"][0]["annotations"][SIGNATURE] = "A".repeat(4 << 20).into()));
    assert_eq!(found, Code::TooLarge);
    let remove = |m: &mut Value| drop(m["layers"][0]["annotations"].as_object_mut().unwrap().remove(SIGNATURE));
    assert_eq!(code(set(&remove)), Code::NoSignatureMatches);
    assert_eq!(code(set(&|m| m["layers"] = json!([]))), Code::NoSignatures);
    // Another blob behind the descriptor's digest, a size that is none, a digest that is none.
    let other = world.registry.add_blob(REPOSITORY, b"{}");
    assert_eq!(code(set(&|m| m["layers"][0]["digest"] = other.clone().into())), Code::Content);
    let whole = |m: &mut Value| {
        m["layers"][0]["digest"] = other.clone().into();
        m["layers"][0]["size"] = 2.into();
    };
    assert_eq!(code(set(&whole)), Code::NoSignatureMatches);
    for size in [json!(-1), json!(u64::MAX), json!(1.5), json!("1"), Value::Null] {
        assert_eq!(code(set(&|m| m["layers"][0]["size"] = size.clone())), Code::Protocol, "{size}");
    }
    for named in ["sha256:00", "../../../etc/passwd", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        assert_eq!(code(set(&|m| m["layers"][0]["digest"] = named.into())), Code::Protocol, "{named}");
    }
}

// 71, 72
#[test]
fn certificates_that_are_none_are_refused_without_a_panic() {
    let world = World::signed(Format::Legacy, false);
    let good = world.stored();
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let set = |name: &str, text: &str| {
        let mut manifest = good.clone();
        manifest["layers"][0]["annotations"][name] = text.into();
        world.set(manifest.to_string().as_bytes())
    };
    for text in [" ", "\n", "x", certificate, &certificate.repeat(2), &key().public_key().to_pem()] {
        assert_eq!(code(set("dev.sigstore.cosign/certificate", text)), Code::NoSignatureMatches, "{text:?}");
    }
    // A chain of a thousand is no reason for anything: with a key nobody asks for it, and nobody reads it.
    match set("dev.sigstore.cosign/chain", &certificate.repeat(1000)) {
        Ok(count) => assert_eq!(count, 1),
        Err(error) => assert_eq!(error.code(), Code::NoSignatureMatches, "{error}"),
    }
}

// 74 to 77
#[test]
fn a_thousand_layers_are_read_and_no_more() {
    let world = World::signed(Format::Legacy, false);
    let good = world.stored();
    let with = |count: usize| {
        let mut bad = good["layers"][0].clone();
        bad["annotations"][SIGNATURE] = "MAYCAQECAQE=".into();
        let mut layers = vec![bad; count - 1];
        layers.push(good["layers"][0].clone());
        let mut manifest = good.clone();
        manifest["layers"] = layers.into();
        world.set(manifest.to_string().as_bytes())
    };
    assert_eq!(with(1000).unwrap(), 1);
    assert_eq!(code(with(1001)), Code::TooLarge);
    let mut manifest = good.clone();
    let empty = json!({"mediaType": "x/y", "size": 0, "digest": digest(b"")});
    manifest["layers"] = vec![empty; 25_000].into();
    let error = world.set(manifest.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.code().row().class, Class::Unknown, "{error}");
    // A thousand different refusals, and no more text than a terminal bears.
    let distinct = |n: usize| {
        let mut layer = good["layers"][0].clone();
        layer["mediaType"] = format!("x/{n}").into();
        layer
    };
    manifest["layers"] = (0..1000).map(distinct).collect();
    let error = world.set(manifest.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.code(), Code::NoSignatureMatches);
    assert!(error.message().len() < 64 << 10, "{} bytes", error.message().len());
}

// 65, 66
#[test]
fn a_tag_that_moves_meanwhile_changes_nothing() {
    let world = World::signed(Format::Legacy, false);
    let other = world.registry.add_image(REPOSITORY, "other");
    let (media_type, bytes) = world.registry.manifest(REPOSITORY, &other).unwrap();
    let held = world.registry.hold("GET *sha256-*");
    std::thread::scope(|scope| {
        let verified = scope.spawn(|| world.verify());
        held.wait_for(1);
        world.registry.add_manifest(REPOSITORY, "v1", &media_type, &bytes);
        held.release();
        let verified = verified.join().unwrap().unwrap();
        assert_eq!(verified.digest().to_string(), world.digest);
        assert!(verified.reference().ends_with(&format!("@{}", world.digest)), "{}", verified.reference());
    });
    world.registry.heal();
    // The tag names the other image now, and nobody has signed that.
    assert_eq!(code(world.verify()), Code::NoSignatures);
}

// 78
#[test]
fn an_index_of_itself_or_without_end_is_one_image() {
    let world = World::signed(Format::Legacy, false);
    let descriptor = json!({"mediaType": OCI_INDEX, "digest": digest(b"itself"), "size": 6});
    let mut index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor]}).to_string();
    for _ in 0..100 {
        let named = world.registry.add_untagged(REPOSITORY, OCI_INDEX, index.as_bytes());
        let child = json!({"mediaType": OCI_INDEX, "digest": named, "size": index.len()});
        index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]}).to_string();
    }
    let named = world.registry.add_manifest(REPOSITORY, "deep", OCI_INDEX, index.as_bytes());
    let image = ImageRef::parse(&format!("{}/{REPOSITORY}:deep", world.registry.host())).unwrap();
    let mark = world.registry.mark();
    let signed = world.client.sign(&image, key(), &SignOptions::default(), &Call::new()).unwrap();
    assert_eq!(signed.digest().to_string(), named);
    let policy = Policy::new().with_key(key().public_key());
    world.client.verify(&image, &policy, &VerifyOptions::default(), &Call::new()).unwrap();
    // None of the hundred is read.
    let read = world
        .registry
        .since(mark)
        .iter()
        .filter(|line| line.contains("GET") && line.contains("manifests/sha256:"))
        .count();
    assert_eq!(read, 0, "{:#?}", world.registry.since(mark));
}

// 79, 80
#[test]
fn a_document_of_two_kinds_or_under_another_type_is_no_verdict() {
    let world = World::signed(Format::Legacy, false);
    let good = world.stored();
    let mut both = good.clone();
    both["manifests"] = json!([]);
    assert_eq!(code(world.set(both.to_string().as_bytes())), Code::Protocol);
    let mut typed = good.clone();
    typed["mediaType"] = OCI_INDEX.into();
    assert_eq!(code(world.set(typed.to_string().as_bytes())), Code::Protocol);
    assert_eq!(world.set(good.to_string().as_bytes()).unwrap(), 1);
    for (served, pattern) in [(OCI_INDEX, ".sig$"), ("text/html", ".sig$"), (OCI_INDEX, "manifests/v1$")] {
        world.registry.heal();
        world.registry.fault(pattern, Fault::ContentType(served.to_owned()));
        let error = world.verify().unwrap_err();
        assert_eq!(error.code().row().class, Class::Unknown, "{served} {pattern}: {error}");
    }
    // The image itself.
    world.registry.heal();
    world.registry.add_manifest(REPOSITORY, "v1", OCI_MANIFEST, both.to_string().as_bytes());
    assert_eq!(code(world.verify()), Code::Protocol);
}

// 81 to 83
#[test]
fn what_refers_to_something_else_or_is_something_else_is_ignored() {
    for referrers in [true, false] {
        let world = World::signed(Format::Bundle, referrers);
        assert_eq!(world.verify().unwrap().count(), 1);
        let other = world.registry.add_image(REPOSITORY, "other");
        let changed = |change: &dyn Fn(&mut Value), entry: &dyn Fn(&mut Value)| {
            let fresh = World::signed(Format::Bundle, referrers);
            let manifests = fresh.registry.manifests(REPOSITORY);
            let is_bundle = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("\"subject\"");
            let (named, _, bytes) = manifests.iter().find(|(_, _, bytes)| is_bundle(bytes)).unwrap();
            let mut manifest: Value = serde_json::from_slice(bytes).unwrap();
            change(&mut manifest);
            let text = manifest.to_string();
            // Whoever asks for the list hears of the changed manifest, whatever it refers to.
            let mut descriptor = json!({"mediaType": OCI_MANIFEST, "digest": digest(text.as_bytes()), "size": text.len(), "artifactType": BUNDLE});
            entry(&mut descriptor);
            let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor]}).to_string();
            fresh.registry.add_untagged(REPOSITORY, OCI_MANIFEST, text.as_bytes());
            assert_ne!(digest(text.as_bytes()), *named);
            if referrers {
                let headers = vec![("Content-Type".to_owned(), OCI_INDEX.to_owned())];
                fresh.registry.fault("/referrers/", Fault::Reply { status: 200, headers, body: index });
            } else {
                fresh.registry.add_manifest(REPOSITORY, &fresh.tag(), OCI_INDEX, index.as_bytes());
            }
            fresh.verify().map(|verified| verified.count())
        };
        let nothing: &dyn Fn(&mut Value) = &|_| {};
        // Another subject, or none.
        assert_eq!(code(changed(&|m| m["subject"]["digest"] = other.clone().into(), nothing)), Code::NoSignatures);
        assert_eq!(code(changed(&|m| drop(m.as_object_mut().unwrap().remove("subject")), nothing)), Code::NoSignatures);
        // A bundle's type on what is an ordinary image.
        let ordinary = |m: &mut Value| m["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
        assert_eq!(code(changed(&ordinary, nothing)), Code::NoSignatures);
        let two = |m: &mut Value| {
            let layer = m["layers"][0].clone();
            m["layers"].as_array_mut().unwrap().push(layer);
        };
        assert_eq!(code(changed(&two, nothing)), Code::NoSignatureMatches);
        // What the list says of its type decides nothing: the signed content does.
        let confused = |d: &mut Value| d["artifactType"] = format!("{BUNDLE};x=y").into();
        assert_eq!(changed(&|m| m["annotations"]["x"] = "y".into(), &confused).unwrap(), 1);
    }
}

// The bundle that is judged first comes last: those behind it must not keep the room that it needs.
#[test]
fn bundles_larger_than_the_room_are_all_read_whatever_comes_first() {
    let world = World::signed(Format::Bundle, true);
    let is_bundle = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("\"subject\"");
    let manifests = world.registry.manifests(REPOSITORY);
    let (_, _, bytes) = manifests.iter().find(|(_, _, bytes)| is_bundle(bytes)).unwrap();
    let good: Value = serde_json::from_slice(bytes).unwrap();
    for n in 0..8 {
        let padding = vec![b'0' + n; 3 << 20];
        let mut manifest = good.clone();
        manifest["layers"][0]["digest"] = world.registry.add_blob(REPOSITORY, &padding).into();
        manifest["layers"][0]["size"] = padding.len().into();
        world.registry.add_untagged(REPOSITORY, OCI_MANIFEST, manifest.to_string().as_bytes());
    }
    world.registry.fault_at("GET */manifests/sha256:*", 0, 4, Fault::Delay(Duration::from_millis(300)));
    let mark = world.registry.mark();
    let policy = Policy::new().with_key(key().public_key());
    let options = VerifyOptions { format: Some(world.format), ..Default::default() };
    let image = ImageRef::parse(&format!("{}/{REPOSITORY}@{}", world.registry.host(), world.digest)).unwrap();
    let call = Call::new().with_timeout(Duration::from_secs(30));
    let verified = world.client.verify(&image, &policy, &options, &call).unwrap();
    assert_eq!(verified.count(), 1);
    assert_eq!(world.registry.hits(), 4);
    let lines = world.registry.since(mark);
    let of = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!((of("/referrers/"), of("/manifests/"), of("/blobs/"), lines.len()), (1, 9, 9, 19), "{lines:#?}");
}

// 189
#[test]
fn certificates_that_ended_or_are_for_another_name_are_refused() {
    for (certificate, accepted) in
        [(Certificate::Good, true), (Certificate::Expired, false), (Certificate::OtherName, false)]
    {
        for http2 in [false, true] {
            let tls = Some(Tls { http2, certificate, ..Tls::default() });
            let registry = Registry::with(Options { tls, ..Options::default() });
            registry.add_image(REPOSITORY, "v1");
            let mut options = ClientOptions::new();
            options.add_ca_pem(registry.credentials().ca.as_bytes()).unwrap();
            options.set_retry_base(Duration::ZERO);
            let client = Client::new(options).unwrap();
            let image = ImageRef::parse(&format!("{}/{REPOSITORY}:v1", registry.host())).unwrap();
            let policy = Policy::new().with_key(key().public_key());
            let verified = client.verify(&image, &policy, &VerifyOptions::default(), &Call::new());
            let signed = client.sign(&image, key(), &SignOptions::default(), &Call::new());
            if accepted {
                assert_eq!(code(verified), Code::NoSignatures);
                signed.unwrap();
            } else {
                assert_eq!((code(verified), code(signed)), (Code::Tls, Code::Tls), "{certificate:?}");
                assert_eq!(registry.log(), Vec::<String>::new());
            }
        }
    }
}

// 189
#[test]
fn tls_1_0_and_1_1_are_not_spoken() {
    let dir = tempfile::tempdir().unwrap();
    let made = cosign_tests::oracle_registries::Certificates::make(dir.path());
    for (version, accepted) in [("-tls1_2", true), ("-tls1_1", false), ("-tls1", false)] {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let openssl = |arguments: &[&str]| {
            let mut command = Command::new("openssl");
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("openssl")
        };
        // Old versions sign with SHA-1, which openssl does only when it is told to have no standards.
        let weak = ["-cipher", "DEFAULT:@SECLEVEL=0"];
        let serve =
            ["s_server", "-www", "-quiet", "-accept", &host, "-cert", &made.certificate, "-key", &made.key, version];
        let mut server = openssl(&[&serve[..], &weak].concat());
        let patience = Instant::now();
        while std::net::TcpStream::connect(&host).is_err() {
            assert!(patience.elapsed() < Duration::from_secs(20), "openssl does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        // The server does speak it with whoever wants to.
        let connect = ["s_client", "-connect", &host, "-CAfile", &made.ca, "-verify_return_error", version];
        let mut peer = openssl(&[&connect[..], &weak].concat());
        assert!(peer.wait().unwrap().success(), "openssl does not speak {version} with itself");

        let mut options = ClientOptions::new();
        options.add_ca_pem(&std::fs::read(&made.ca).unwrap()).unwrap();
        options.set_retry_base(Duration::ZERO);
        let image = ImageRef::parse(&format!("{host}/{REPOSITORY}:v1")).unwrap();
        let policy = Policy::new().with_key(key().public_key());
        let outcome = Client::new(options).unwrap().verify(&image, &policy, &VerifyOptions::default(), &Call::new());
        let _ = server.kill();
        let _ = server.wait();
        // openssl's web page is no manifest: a trusted connection shows by it.
        assert_eq!(code(outcome), if accepted { Code::Protocol } else { Code::Tls }, "{version}");
    }
}
