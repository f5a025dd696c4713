//! The transparency log against a real one: a Rekor v1 on loopback to which real cosign 2.5 and 3.1 and this library upload,
//! and in which each finds and verifies what the others wrote; and a server in between that changes its answers.

use std::fs;

use cosign_core::blocking::Client;
use cosign_core::bundle::legacy::LOG_BUNDLE;
use cosign_core::bundle::rekor;
use cosign_core::client::{TlogOutcome, TlogUpload};
use cosign_core::registry::{Transport, TransportOptions};
use cosign_core::sigstore::Rekor;
use cosign_core::trust::TrustedRoot;
use cosign_core::verify::Verification;
use cosign_core::{
    Call, Class, ClientOptions, Code, Error, Format, ImageRef, KeyAlgorithm, KeyFormat, Policy, PrivateKey, PublicKey,
    SignOptions, Signed, Verified, VerifyOptions,
};
use cosign_tests::log_server::{LogServer, Reply};
use cosign_tests::oracle::{PASSWORD, Registry, Sandbox, root};
use cosign_tests::oracle_stack::Stack;
use cosign_tests::registry::{Auth, Fault, Registry as Hostile};
use serde_json::{Value, json};
use std::sync::Arc;

const IMAGE_HEX: &str = "ea9afc656d4fdc1d3b6adcc5e9e0afe2f52bf239f37ecd2d0e40628a78614c82";

/// A stack, a registry, a folder for the peers, a client that knows the log.
struct World {
    stack: Arc<Stack>,
    registry: Registry,
    sandbox: Sandbox,
}

/// A key pair as our objects, and as files for the peers.
struct Pair {
    key: PrivateKey,
    private: String,
    public: String,
}

impl World {
    fn new() -> World {
        World { stack: Stack::shared(), registry: Registry::start(), sandbox: Sandbox::new() }
    }

    fn client(&self) -> Client {
        client(self.stack.rekor())
    }

    fn push(&self, repository: &str) -> String {
        let (source, host) = (root().join("examples/image"), self.registry.host());
        let target = format!("{host}/{repository}:v1");
        let source = format!("{}:v1", source.display());
        self.sandbox.run("oras", ["cp", "--from-oci-layout", &source, "--to-plain-http", &target]).success();
        format!("{host}/{repository}@sha256:{IMAGE_HEX}")
    }

    fn pair(&self, name: &str, algorithm: KeyAlgorithm) -> Pair {
        let key = PrivateKey::generate(algorithm).unwrap();
        let pem = key.to_pem(PASSWORD.as_bytes(), KeyFormat::Cosign).unwrap();
        let private = self.sandbox.write(&format!("{name}.key"), pem.as_bytes());
        let public = self.sandbox.write(&format!("{name}.pub"), key.public_key().to_pem());
        Pair { key, private, public }
    }

    fn log_key(&self) -> PublicKey {
        PublicKey::from_pem(&self.stack.rekor_key()).unwrap()
    }

    /// Accepts this key and demands an entry in the real log.
    fn policy(&self, key: &PublicKey) -> Policy {
        let mut policy = Policy::new().with_key(key.clone());
        policy.add_log_key(self.log_key());
        policy.require_tlog(true);
        policy
    }

    fn sign(&self, image: &str, key: &PrivateKey, format: Format) -> Signed {
        let options = SignOptions { format, tlog: TlogUpload::Always, ..SignOptions::default() };
        self.client().sign(&reference(image), key, &options, &Call::new()).unwrap()
    }

    /// Signs without telling the log.
    fn sign_silently(&self, image: &str, key: &PrivateKey) {
        self.client().sign(&reference(image), key, &SignOptions::default(), &Call::new()).unwrap();
    }

    fn cosign(&self, name: &str, arguments: &[&str]) -> cosign_tests::oracle::Outcome {
        let environment = [("SIGSTORE_REKOR_PUBLIC_KEY", self.stack.value("STACK_REKOR1_PUB"))];
        self.sandbox.run_with(name, arguments, &environment)
    }

    /// The one layer of the image's signature: its payload and annotations.
    fn layer(&self, repository: &str) -> (Vec<u8>, Value) {
        let digest = self.registry.tag(repository, &format!("sha256-{IMAGE_HEX}.sig")).expect("a signature image");
        let manifest: Value = serde_json::from_slice(&self.registry.blob(&digest)).unwrap();
        let layer = &manifest["layers"][0];
        (self.registry.blob(layer["digest"].as_str().unwrap()), layer["annotations"].clone())
    }

    fn rekor(&self) -> Rekor {
        let transport = Transport::new(TransportOptions::default()).unwrap();
        Rekor::new(Arc::new(transport), self.stack.rekor()).unwrap()
    }
}

fn client(rekor_url: &str) -> Client {
    let mut options = ClientOptions::new();
    options.set_rekor_url(rekor_url).unwrap();
    options.set_retry_base(std::time::Duration::from_millis(1));
    Client::new(options).unwrap()
}

fn reference(image: &str) -> ImageRef {
    ImageRef::parse(image).unwrap()
}

fn verify(client: &Client, image: &str, policy: &Policy, offline: bool) -> Result<Verified<Verification>, Error> {
    let options = VerifyOptions { offline, ..VerifyOptions::default() };
    client.verify(&reference(image), policy, &options, &Call::new())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// An address on this machine where nobody is.
const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn what_real_cosign_logs_we_verify_offline_and_online() {
    let world = World::new();
    let image = world.push("theirs");
    let pair = world.pair("theirs", KeyAlgorithm::EcdsaP256);
    let url = world.stack.rekor();
    let flags = ["sign", "--key", &pair.private, "--tlog-upload=true", "--rekor-url", url, "-y", &image];
    world.cosign("cosign2", &flags).success();
    let policy = world.policy(&pair.key.public_key());
    // The entry beside the signature suffices: nobody is asked.
    let verified = verify(&client(NOWHERE), &image, &policy, false).unwrap();
    let proof = verified.signatures()[0].log().unwrap().clone();
    assert!(proof.integrated_time.is_some() && !proof.included, "{proof:?}");
    assert!(verify(&client(NOWHERE), &image, &policy, true).is_ok());
    // What cosign wrote is byte for byte what we write of the same entry.
    let (_, annotations) = world.layer("theirs");
    let text = annotations[LOG_BUNDLE].as_str().unwrap();
    assert_eq!(rekor::annotation(&rekor::parse_annotation(text).unwrap()).unwrap(), text);
    // Another log's key: what is there is judged, demanded or not.
    let mut stranger = Policy::new().with_key(pair.key.public_key());
    stranger.add_log_key(PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public_key());
    let refused = verify(&world.client(), &image, &stranger, false).unwrap_err();
    assert_eq!(refused.code(), Code::NoSignatureMatches);
    assert!(refused.message().contains("no log that is trusted"), "{refused}");

    // cosign uploads without storing the entry: it is found in the log.
    let bare = world.push("bare");
    let flags = ["sign", "--key", &pair.private, "--tlog-upload=false", "-y", &bare];
    world.cosign("cosign2", &flags).success();
    assert!(verify(&world.client(), &bare, &policy, false).unwrap_err().message().contains("no entry of this"));
    let (payload, annotations) = world.layer("bare");
    let (payload, signature) =
        (world.sandbox.write("payload", payload), &annotations["dev.cosignproject.cosign/signature"]);
    let signature = base64(signature.as_str().unwrap());
    let subject = cosign_core::trust::Subject::message(&fs::read(payload).unwrap(), &signature, &pair.key.public_key());
    let proposal = rekor::hashedrekord(
        cosign_core::crypto::Hash::Sha256,
        subject.hash(cosign_core::crypto::Hash::Sha256).unwrap(),
        &signature,
        &pair.key.public_key(),
    );
    assert!(run(world.rekor().upload(&proposal, &Call::new())).unwrap().created);
    let verified = verify(&world.client(), &bare, &policy, false).unwrap();
    let proof = verified.signatures()[0].log().unwrap();
    assert!(proof.included && proof.integrated_time.is_some(), "{proof:?}");
    // Offline it is not there, and that is a refusal with its reason.
    let refused = verify(&world.client(), &bare, &policy, true).unwrap_err();
    assert_eq!((refused.code(), refused.code().class()), (Code::NoSignatureMatches, Class::Refused));
    assert!(refused.message().contains("no log entry beside it"), "{refused}");
}

fn base64(text: &str) -> Vec<u8> {
    cosign_core::encoding::base64::decode(text).unwrap()
}

#[test]
fn what_we_log_real_cosign_verifies() {
    let world = World::new();
    let url = world.stack.rekor();
    let root = world.stack.value("STACK_TRUSTED_ROOT");
    for (name, algorithm) in [("p256", KeyAlgorithm::EcdsaP256), ("rsa", KeyAlgorithm::Rsa2048)] {
        let image = world.push(name);
        let pair = world.pair(name, algorithm);
        let signed = world.sign(&image, &pair.key, Format::Both);
        let records: Vec<_> = signed.signatures().iter().map(|signature| signature.log.clone().unwrap()).collect();
        assert_eq!(
            records.iter().map(|record| record.entry.kind.as_str()).collect::<Vec<_>>(),
            ["hashedrekord", "dsse"]
        );
        assert!(records.iter().all(|record| record.created && record.url == url));
        let verified = verify(&client(NOWHERE), &image, &world.policy(&pair.key.public_key()), false).unwrap();
        assert_eq!(verified.count(), 2);
        // With the entry beside it, and by asking the log.
        let check = ["verify", "--key", &pair.public, "--rekor-url", url];
        world.cosign("cosign2", &[&check[..], &["--offline=true", &image]].concat()).success();
        world.cosign("cosign2", &[&check[..], &[&image]].concat()).success();
        let legacy = ["verify", "--key", &pair.public, "--new-bundle-format=false", "--trusted-root", root, &image];
        world.cosign("cosign3", &legacy).success();
        let bundle = ["verify", "--key", &pair.public, "--trusted-root", root, &image];
        world.cosign("cosign3", &bundle).success();
        let stranger = world.pair("stranger", KeyAlgorithm::EcdsaP256);
        let refuse = ["verify", "--key", &stranger.public, "--rekor-url", url, &image];
        world.cosign("cosign2", &refuse).refusal("no matching signatures");
    }
}

#[test]
fn every_kind_of_key_is_logged_found_and_verified() {
    let world = World::new();
    for (algorithm, kind) in [
        (KeyAlgorithm::EcdsaP256, "hashedrekord"),
        (KeyAlgorithm::EcdsaP384, "hashedrekord"),
        (KeyAlgorithm::EcdsaP521, "hashedrekord"),
        (KeyAlgorithm::Rsa3072, "hashedrekord"),
        // Signs no hash: the log is shown the payload.
        (KeyAlgorithm::Ed25519, "rekord"),
    ] {
        let name = algorithm.name();
        let image = world.push(name);
        let key = PrivateKey::generate(algorithm).unwrap();
        let policy = world.policy(&key.public_key());
        world.sign_silently(&image, &key);
        let refused = verify(&world.client(), &image, &policy, false).unwrap_err();
        assert_eq!(refused.code(), Code::NoSignatureMatches, "{name} {refused}");
        let other = world.push(&format!("{name}-logged"));
        let signed = world.sign(&other, &key, Format::Legacy);
        let record = signed.signatures()[0].log.as_ref().unwrap();
        assert_eq!((record.entry.kind.as_str(), record.created), (kind, true), "{name}");
        assert!(verify(&client(NOWHERE), &other, &policy, true).is_ok(), "{name}");
        // The signature without the entry beside it: then the log is asked.
        let (payload, annotations) = world.layer(&format!("{name}-logged"));
        let signature = base64(annotations["dev.cosignproject.cosign/signature"].as_str().unwrap());
        let subject = cosign_core::trust::Subject::message(&payload, &signature, &key.public_key());
        let found = run(world.rekor().find(&subject, |found| !found.is_empty(), &Call::new())).unwrap();
        assert_eq!(found.len(), 1, "{name}");
        let mut root = TrustedRoot::new();
        root.add_log(cosign_core::trust::TrustedLog::of_key(world.log_key()));
        assert!(cosign_core::trust::check_included(&found[0], &subject, &root).is_ok(), "{name}");
        if algorithm == KeyAlgorithm::EcdsaP384 {
            // Rekor's index does not take SHA-384.
            continue;
        }
        // By its index alone it is found too.
        let found = run(world.rekor().find(&subject, |_| false, &Call::new())).unwrap();
        let good = |logged: &rekor::Logged| cosign_core::trust::check_included(logged, &subject, &root).is_ok();
        assert!(found.iter().any(good), "{name}");
    }
}

#[test]
fn bundles_that_cosign_3_logs_are_judged_by_the_trusted_root() {
    let world = World::new();
    let image = world.push("cosign3");
    let pair = world.pair("cosign3", KeyAlgorithm::EcdsaP256);
    let (config, root) = (world.stack.value("STACK_SIGNING_CONFIG_REKOR1"), world.stack.value("STACK_TRUSTED_ROOT"));
    let flags = ["sign", "--key", &pair.private, "--signing-config", config, "--trusted-root", root, "-y", &image];
    world.cosign("cosign3", &flags).success();
    let mut policy = Policy::new().with_key(pair.key.public_key());
    policy.trust(TrustedRoot::from_json(&fs::read(root).unwrap()).unwrap());
    for demanded in [false, true] {
        policy.require_tlog(demanded);
        let verified = verify(&client(NOWHERE), &image, &policy, true).unwrap();
        let proof = verified.signatures()[0].log().unwrap();
        assert!(proof.included && proof.integrated_time.is_some(), "{proof:?}");
        assert_eq!(verified.signatures()[0].format(), "bundle");
    }
    let mut stranger = Policy::new().with_key(pair.key.public_key());
    stranger.add_log_key(PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public_key());
    assert_eq!(verify(&client(NOWHERE), &image, &stranger, true).unwrap_err().code(), Code::NoSignatureMatches);
    // Entries of a log of the second generation are not read yet: no proof where one is demanded, and no reason to refuse.
    let image = world.push("cosign3-rekor2");
    let config = world.stack.value("STACK_SIGNING_CONFIG_REKOR2");
    let flags = ["sign", "--key", &pair.private, "--signing-config", config, "--trusted-root", root, "-y", &image];
    world.cosign("cosign3", &flags).success();
    policy.require_tlog(false);
    assert!(verify(&client(NOWHERE), &image, &policy, true).unwrap().signatures()[0].log().is_none());
    policy.require_tlog(true);
    let refused = verify(&client(NOWHERE), &image, &policy, true).unwrap_err();
    assert!(refused.message().contains("second generation"), "{refused}");
}

#[test]
fn blobs_that_real_cosign_logs_are_judged_by_the_entry_in_their_bundle() {
    use cosign_core::verify::{BlobJudge, BlobSignature};
    let world = World::new();
    let pair = world.pair("blobs", KeyAlgorithm::EcdsaP256);
    let blob = world.sandbox.write("blob", "some bytes");
    let (config, root) = (world.stack.value("STACK_SIGNING_CONFIG_REKOR1"), world.stack.value("STACK_TRUSTED_ROOT"));
    let (old, new) = (world.sandbox.arg("old.json"), world.sandbox.arg("new.json"));
    let flags =
        ["sign-blob", "--key", &pair.private, "--rekor-url", world.stack.rekor(), "-y", "--bundle", &old, &blob];
    world.cosign("cosign2", &flags).success();
    let flags = ["sign-blob", "--key", &pair.private, "--signing-config", config, "--trusted-root", root, "-y"];
    world.cosign("cosign3", &[&flags[..], &["--bundle", &new, &blob]].concat()).success();
    let judge = |bytes: &[u8], policy: &Policy, blob: &[u8]| {
        let mut judge = BlobJudge::new("blob", &[BlobSignature::bundle("bundle", bytes)], policy, None).unwrap();
        judge.update(blob);
        judge.finish()
    };
    let mut stranger = Policy::new().with_key(pair.key.public_key());
    stranger.add_log_key(PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public_key());
    for (file, included) in [(&old, false), (&new, true)] {
        let bytes = fs::read(file).unwrap();
        let verified = judge(&bytes, &world.policy(&pair.key.public_key()), b"some bytes").unwrap();
        let proof = verified.signatures()[0].log().unwrap();
        assert_eq!((proof.included, proof.integrated_time.is_some()), (included, true), "{file}");
        assert!(judge(&bytes, &world.policy(&pair.key.public_key()), b"other bytes").is_err(), "{file}");
        let refused = judge(&bytes, &stranger, b"some bytes").unwrap_err();
        assert!(refused.message().contains("no log that is trusted"), "{file} {refused}");
    }
    // An entry of another signature of the same blob (CVE-2022-36056), and none where one is demanded.
    let other = world.sandbox.arg("other.json");
    let flags =
        ["sign-blob", "--key", &pair.private, "--rekor-url", world.stack.rekor(), "-y", "--bundle", &other, &blob];
    world.cosign("cosign2", &flags).success();
    let mut mixed: Value = serde_json::from_slice(&fs::read(&old).unwrap()).unwrap();
    let other: Value = serde_json::from_slice(&fs::read(&other).unwrap()).unwrap();
    mixed["rekorBundle"] = other["rekorBundle"].clone();
    let mut trusting = world.policy(&pair.key.public_key());
    trusting.require_tlog(false);
    let refused = judge(mixed.to_string().as_bytes(), &trusting, b"some bytes").unwrap_err();
    assert!(refused.message().contains("another signature"), "{refused}");
    mixed.as_object_mut().unwrap().remove("rekorBundle");
    assert!(judge(mixed.to_string().as_bytes(), &trusting, b"some bytes").is_ok());
    let refused =
        judge(mixed.to_string().as_bytes(), &world.policy(&pair.key.public_key()), b"some bytes").unwrap_err();
    assert!(refused.message().contains("no log entry beside it"), "{refused}");
}

#[test]
fn the_rekord_of_2021_is_found_and_verified() {
    let world = World::new();
    let image = world.push("rekord");
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    world.sign_silently(&image, &key);
    let (payload, annotations) = world.layer("rekord");
    let signature = base64(annotations["dev.cosignproject.cosign/signature"].as_str().unwrap());
    let proposal = rekor::rekord(&payload, &signature, &key.public_key());
    let uploaded = run(world.rekor().upload(&proposal, &Call::new())).unwrap();
    assert_eq!((uploaded.logged.entry.kind.as_str(), uploaded.created), ("rekord", true));
    let verified = verify(&world.client(), &image, &world.policy(&key.public_key()), false).unwrap();
    assert!(verified.signatures()[0].log().unwrap().included);
    // What is there already is found, not an error.
    let again = run(world.rekor().upload(&proposal, &Call::new())).unwrap();
    assert_eq!((again.logged.uuid, again.created), (uploaded.logged.uuid.clone(), false));
    let at = run(world.rekor().entry_at(uploaded.logged.entry.index, &Call::new())).unwrap();
    assert_eq!(at.uuid, uploaded.logged.uuid);
    let missing = run(world.rekor().entry(&"0".repeat(64), &Call::new())).unwrap_err();
    assert_eq!(missing.code(), Code::ServiceNotFound, "{missing}");
}

#[test]
fn a_signature_that_the_log_has_already_gets_the_entry_that_is_there() {
    let world = World::new();
    let (first, second) = (world.push("first"), world.push("first-again"));
    // The same payload and, with RSA, the same signature.
    let key = PrivateKey::generate(KeyAlgorithm::Rsa2048).unwrap();
    let identity = Some("registry.test/one".to_owned());
    let options = SignOptions { tlog: TlogUpload::Always, identity, ..SignOptions::default() };
    let sign = |image: &str| world.client().sign(&reference(image), &key, &options, &Call::new()).unwrap();
    let (one, two) = (sign(&first), sign(&second));
    let record = |signed: &Signed| signed.signatures()[0].log.clone().unwrap();
    assert!(record(&one).created && !record(&two).created);
    assert_eq!(record(&one).uuid, record(&two).uuid);
    assert!(two.json().contains("\"created\":false"), "{}", two.json());
    for image in [&first, &second] {
        assert!(verify(&client(NOWHERE), image, &world.policy(&key.public_key()), true).is_ok());
    }
}

#[test]
fn a_log_that_is_silent_or_says_no_is_unknown_and_never_a_verdict() {
    let world = World::new();
    let image = world.push("unknown");
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    world.sign_silently(&image, &key);
    let policy = world.policy(&key.public_key());
    let gone = verify(&client(NOWHERE), &image, &policy, false).unwrap_err();
    assert_eq!((gone.code(), gone.code().class()), (Code::Network, Class::Unknown), "{gone}");
    assert!(gone.message().contains("transparency log 127.0.0.1:9"), "{gone}");
    let server = LogServer::start(Some(world.stack.rekor()));
    let client = client(&server.url());
    for (status, code) in [
        (500, Code::Network),
        (502, Code::Network),
        (429, Code::RateLimited),
        (401, Code::Auth),
        (403, Code::Denied),
        (404, Code::ServiceNotFound),
        (302, Code::Protocol),
        (204, Code::Protocol),
        (422, Code::Protocol),
    ] {
        server.change(move |_, _| Reply {
            headers: vec!["Location: http://127.0.0.1:9/".to_owned()],
            ..Reply::json(status, json!({"code": status, "message": "no\u{1b}[31m"}))
        });
        let error = verify(&client, &image, &policy, false).unwrap_err();
        assert_eq!((error.code(), error.code().class()), (code, Class::Unknown), "{status} {error}");
        assert!(!error.message().contains('\u{1b}'), "{error:?}");
        assert_eq!(error.report().unwrap().unread.len(), 1);
        let options = SignOptions { tlog: TlogUpload::Always, ..SignOptions::default() };
        let before = world.registry.tag("unknown", &format!("sha256-{IMAGE_HEX}.sig"));
        let unsigned = client.sign(&reference(&image), &key, &options, &Call::new()).unwrap_err();
        assert_eq!(unsigned.code().class(), Class::Unknown, "{status} {unsigned}");
        assert_eq!(world.registry.tag("unknown", &format!("sha256-{IMAGE_HEX}.sig")), before, "something was stored");
    }
    for body in ["", "null", "[]x", "{\"a\":{}}", "<html>", "[[[[", "[{\"\":1}]"] {
        server.change(move |_, _| Reply::json(200, body));
        let error = verify(&client, &image, &policy, false).unwrap_err();
        assert_eq!((error.code(), error.code().class()), (Code::Protocol, Class::Unknown), "{body} {error}");
    }
    server.change(|_, _| Reply::json(200, " ".repeat(33 << 20)));
    assert_eq!(verify(&client, &image, &policy, false).unwrap_err().code(), Code::TooLarge);
    // Passing on what is true, it is believed.
    server.change(|_, reply| reply);
    assert_eq!(verify(&client, &image, &policy, false).unwrap_err().code(), Code::NoSignatureMatches);
}

/// Every path to a value inside a document that holds no others.
fn leaves(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(k, v)| leaves(v, &format!("{at}/{k}"), out)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, v)| leaves(v, &format!("{at}/{n}"), out)),
        _ => out.push(at.to_owned()),
    }
}

#[test]
fn every_field_of_an_answer_counts() {
    let world = World::new();
    let image = world.push("fields");
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    world.sign_silently(&image, &key);
    let (payload, annotations) = world.layer("fields");
    let signature = base64(annotations["dev.cosignproject.cosign/signature"].as_str().unwrap());
    let proposal = rekor::rekord(&payload, &signature, &key.public_key());
    run(world.rekor().upload(&proposal, &Call::new())).unwrap();
    // More entries behind it, so that its proof has hashes.
    for n in 0..3 {
        let content = format!("more {n} of {IMAGE_HEX}");
        let more = rekor::rekord(content.as_bytes(), &key.sign(content.as_bytes()).unwrap(), &key.public_key());
        run(world.rekor().upload(&more, &Call::new())).unwrap();
    }
    let policy = world.policy(&key.public_key());
    let server = LogServer::start(Some(world.stack.rekor()));
    let client = client(&server.url());
    assert!(verify(&client, &image, &policy, false).is_ok());
    assert_eq!(server.asked(), ["POST /api/v1/log/entries/retrieve"], "one request finds it");

    let mut fields = Vec::new();
    let subject = cosign_core::trust::Subject::message(&payload, &signature, &key.public_key());
    let answer = json!({"entries": [rekor::rekord(&payload, &subject.signature, &subject.key)]});
    let answer = ask(world.stack.rekor(), "/api/v1/log/entries/retrieve", &answer);
    leaves(&answer[0].as_object().unwrap().values().next().unwrap().clone(), "", &mut fields);
    assert!(fields.len() >= 10, "{fields:?}");
    for field in fields {
        for change in [flip, empty, null] {
            let pointer = field.clone();
            server.change(move |request, reply| {
                if request.contains("index/retrieve") {
                    return Reply::json(200, "[]");
                }
                let mut value: Value = serde_json::from_slice(&reply.body).unwrap();
                for entry in value.as_array_mut().unwrap() {
                    for (_, entry) in entry.as_object_mut().unwrap() {
                        if let Some(field) = entry.pointer_mut(&pointer) {
                            *field = change(field);
                        }
                    }
                }
                Reply::json(reply.status, value)
            });
            let error = verify(&client, &image, &policy, false).expect_err(&field);
            assert!(matches!(error.code(), Code::NoSignatureMatches | Code::Protocol), "{field} {error}");
        }
    }
    // The entry under another name, and the entry of somebody else in its place.
    server.change(|_, reply| {
        let text = String::from_utf8(reply.body).unwrap();
        let at = text.find("\":{\"body").unwrap_or(1) - 1;
        let mut bytes = text.into_bytes();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        Reply { body: bytes, status: reply.status, headers: Vec::new() }
    });
    assert!(verify(&client, &image, &policy, false).is_err());
    let other = ask(world.stack.rekor(), "/api/v1/log/entries/retrieve", &json!({"logIndexes": [0]}));
    server.change(move |_, _| Reply::json(200, &other));
    let error = verify(&client, &image, &policy, false).unwrap_err();
    assert_eq!(error.code(), Code::Protocol, "the index is no list of entries: {error}");
}

fn flip(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let mut bytes = text.clone().into_bytes();
            let at = bytes.len() / 2;
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            json!(String::from_utf8_lossy(&bytes))
        }
        Value::Number(number) => json!(number.as_u64().unwrap() + 1),
        other => other.clone(),
    }
}

fn empty(value: &Value) -> Value {
    if value.is_string() { json!("") } else { json!(-1) }
}

fn null(_: &Value) -> Value {
    Value::Null
}

fn ask(base: &str, path: &str, body: &Value) -> Value {
    use std::io::{Read as _, Write as _};
    let host = base.trim_start_matches("http://");
    let body = body.to_string();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_else(|e| panic!("{e}: {answer}"))
}

#[test]
fn what_the_log_answers_to_an_upload_must_be_about_the_signature() {
    let world = World::new();
    let image = world.push("upload");
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let server = LogServer::start(Some(world.stack.rekor()));
    let client = client(&server.url());
    let options = SignOptions { tlog: TlogUpload::Always, ..SignOptions::default() };
    let sign = || client.sign(&reference(&image), &key, &options, &Call::new());
    let content = b"something else";
    let other = rekor::rekord(content, &key.sign(content).unwrap(), &key.public_key());
    let other = run(world.rekor().upload(&other, &Call::new())).unwrap();
    let path = format!("/api/v1/log/entries/{}", other.logged.uuid);
    // Another entry; a conflict that names another entry, nothing, or another place.
    let elsewhere =
        ask(world.stack.rekor(), "/api/v1/log/entries/retrieve", &json!({"entryUUIDs": [other.logged.uuid]}));
    let elsewhere = elsewhere[0].clone();
    server.change(move |_, _| Reply::json(201, &elsewhere));
    assert!(sign().unwrap_err().message().contains("another"), "the log's answer is of something else");
    let location = path.clone();
    server.change(move |request, reply| match request.starts_with("POST") {
        true => Reply { headers: vec![format!("Location: {location}")], ..Reply::json(409, "{}") },
        false => reply,
    });
    assert!(sign().unwrap_err().message().contains("another"));
    for place in ["", "/api/v1/log/entries/", "http://127.0.0.1:9/../../etc", "/api/v1/log/entries/XYZ"] {
        let place = place.to_owned();
        server.change(move |_, _| Reply { headers: vec![format!("Location: {place}")], ..Reply::json(409, "{}") });
        server.asked();
        let error = sign().unwrap_err();
        assert_eq!(error.code(), Code::Protocol, "{error}");
        assert_eq!(server.asked(), ["POST /api/v1/log/entries"], "nothing else was asked");
    }
    // No promise: nothing that a reader could verify.
    server.change(|_, reply| {
        let mut value: Value = serde_json::from_slice(&reply.body).unwrap();
        for (_, entry) in value.as_object_mut().unwrap() {
            entry["verification"].as_object_mut().unwrap().remove("signedEntryTimestamp");
        }
        Reply::json(reply.status, value)
    });
    assert!(sign().unwrap_err().message().contains("no signed timestamp"));
    assert_eq!(world.registry.tag("upload", &format!("sha256-{IMAGE_HEX}.sig")), None, "nothing was stored");
    // An answer that is lost on the way: asked again, the log says that it has it.
    let lost = std::sync::atomic::AtomicBool::new(false);
    server.change(move |_, reply| match lost.swap(true, std::sync::atomic::Ordering::SeqCst) {
        false => Reply::json(503, "{}"),
        true => reply,
    });
    server.asked();
    let signed = sign().unwrap();
    assert!(!signed.signatures()[0].log.as_ref().unwrap().created);
    let asked = server.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_eq!(asked[..2], ["POST /api/v1/log/entries", "POST /api/v1/log/entries"]);
    assert!(asked[2].starts_with("GET /api/v1/log/entries/"), "{asked:?}");
    assert!(verify(&client, &image, &world.policy(&key.public_key()), true).is_ok());
}

#[test]
fn a_private_image_is_told_to_the_log_only_when_that_was_asked_for() {
    let stack = Stack::shared();
    let server = LogServer::start(Some(stack.rekor()));
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let log_key = PublicKey::from_pem(&stack.rekor_key()).unwrap();
    for (auth, public) in [
        (Auth::None, true),
        (Auth::Basic("user".into(), "secret".into()), false),
        (Auth::token("user", "secret"), false),
    ] {
        let registry = Hostile::with_auth(auth.clone());
        let image = format!("{}@{}", format_args!("{}/app", registry.host()), registry.add_image("app", "v1"));
        let mut options = ClientOptions::new();
        options.set_rekor_url(&server.url()).unwrap();
        options.set_auth_basic(&registry.host(), "user", "secret");
        options.set_retry_base(std::time::Duration::from_millis(1));
        let client = Client::new(options).unwrap();
        let sign = |tlog: TlogUpload| {
            let options = SignOptions { tlog, ..SignOptions::default() };
            client.sign(&reference(&image), &key, &options, &Call::new())
        };
        server.asked();
        let signed = sign(TlogUpload::Never).unwrap();
        assert_eq!((signed.tlog(), server.asked().len()), (TlogOutcome::NotAsked, 0));
        let signed = sign(TlogUpload::IfPublic).unwrap();
        let (outcome, asked) = if public { (TlogOutcome::Uploaded, 1) } else { (TlogOutcome::SkippedPrivate, 0) };
        assert_eq!((signed.tlog(), server.asked().len()), (outcome, asked), "{auth:?}");
        assert_eq!(signed.signatures()[0].log.is_some(), public);
        let signed = sign(TlogUpload::Always).unwrap();
        let outcome = if public { TlogOutcome::Uploaded } else { TlogOutcome::ForcedPrivate };
        assert_eq!((signed.tlog(), server.asked().len()), (outcome, 1), "{auth:?}");
        let mut policy = Policy::new().with_key(key.public_key());
        policy.add_log_key(log_key.clone());
        policy.require_tlog(true);
        assert!(verify(&client, &image, &policy, true).is_ok());
        // What is neither public nor private is an error, before anything is written or told.
        let before = registry.tags("app");
        for fault in
            [Fault::error(500, "UNKNOWN"), Fault::error(429, "TOOMANYREQUESTS"), Fault::error(400, "NAME_INVALID")]
        {
            registry.fault("GET /v2/app/manifests/sha256:", fault);
            let error = sign(TlogUpload::IfPublic).unwrap_err();
            assert_eq!(error.code().class(), Class::Unknown, "{error}");
            registry.heal();
        }
        assert_eq!((server.asked().len(), registry.tags("app")), (0, before));
    }
}

#[test]
fn an_image_in_a_layout_is_private_and_can_be_logged_and_searched_for() {
    let stack = Stack::shared();
    let sandbox = Sandbox::new();
    let layout = sandbox.path("layout");
    for folder in ["", "blobs", "blobs/sha256"] {
        let from = root().join("examples/image").join(folder);
        fs::create_dir_all(layout.join(folder)).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            fs::copy(entry.path(), layout.join(folder).join(entry.file_name())).unwrap();
        }
    }
    let image = format!("oci:{}:v1", layout.display());
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let client = client(stack.rekor());
    let mut policy = Policy::new().with_key(key.public_key());
    policy.add_log_key(PublicKey::from_pem(&stack.rekor_key()).unwrap());
    policy.require_tlog(true);
    let sign = |tlog: TlogUpload| {
        let options = SignOptions { tlog, ..SignOptions::default() };
        client.sign(&reference(&image), &key, &options, &Call::new()).unwrap()
    };
    assert_eq!(sign(TlogUpload::IfPublic).tlog(), TlogOutcome::SkippedPrivate);
    assert_eq!(verify(&client, &image, &policy, false).unwrap_err().code(), Code::NoSignatureMatches);
    assert_eq!(sign(TlogUpload::Always).tlog(), TlogOutcome::ForcedPrivate);
    assert_eq!(verify(&client, &image, &policy, true).unwrap().count(), 1);
}

#[test]
fn an_address_of_a_log_is_https_or_plain_on_loopback() {
    let transport = |options: TransportOptions| Arc::new(Transport::new(options).unwrap());
    let new = |url: &str| Rekor::new(transport(TransportOptions::default()), url);
    for good in
        ["https://log.test", "https://log.test/rekor/", "http://localhost:1", "http://127.0.0.1:3000", "http://[::1]:1"]
    {
        assert!(new(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "log.test",
        "http://log.test",
        "ftp://log.test",
        "file:///etc/passwd",
        "https://user@log.test",
        "https://user:pw@log.test",
        "https://log.test?x=1",
        "https://log.test#x",
        "https://",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.test",
    ] {
        let error = new(bad).unwrap_err();
        assert_eq!(error.code(), Code::Argument, "{bad}");
        assert!(!error.message().contains("pw"), "{error}");
    }
    let http_hosts = vec!["log.test:3000".to_owned()];
    let allowed = transport(TransportOptions { http_hosts, ..TransportOptions::default() });
    assert!(Rekor::new(allowed.clone(), "http://log.test:3000").is_ok());
    assert!(Rekor::new(allowed, "http://log.test:3001").is_err());
}

#[test]
fn nothing_of_a_registrys_goes_to_the_log() {
    let server = LogServer::start(None);
    server.change(|_, _| Reply::json(201, "{}"));
    let mut options = ClientOptions::new();
    options.set_rekor_url(&format!("{}/prefix", server.url())).unwrap();
    let host = server.url().trim_start_matches("http://").to_owned();
    options.set_auth_basic(&host, "user", "secret");
    let client = Client::new(options).unwrap();
    let registry = Hostile::start();
    let image = format!("{}/app@{}", registry.host(), registry.add_image("app", "v1"));
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let options = SignOptions { tlog: TlogUpload::Always, ..SignOptions::default() };
    let error = client.sign(&reference(&image), &key, &options, &Call::new()).unwrap_err();
    assert_eq!(error.code(), Code::Protocol, "{error}");
    let asked = server.bodies();
    assert_eq!(asked[0].0, "POST /prefix/api/v1/log/entries");
    let body = String::from_utf8(asked[0].1.clone()).unwrap();
    assert!(!body.contains("secret") && body.contains("\"hashedrekord\""), "{body}");
}

#[test]
fn the_whole_stack_answers() {
    let stack = Stack::shared();
    for (name, path) in [
        ("STACK_REKOR1", "/api/v1/log"),
        ("STACK_REKOR2", "/healthz"),
        ("STACK_FULCIO", "/api/v2/trustBundle"),
        ("STACK_CTLOG", "/ct/v1/get-sth"),
        ("STACK_OIDC", "/keys"),
        ("STACK_TUF", "/root.json"),
        ("STACK_REKOR2_TILES", "/checkpoint"),
        ("STACK_TSA", "/certchain"),
        ("STACK_REGISTRY", "/v2/"),
    ] {
        let value = stack.value(name);
        let value = value.trim_start_matches("http://");
        let (host, prefix) = value.split_once('/').map_or((value, String::new()), |(h, p)| (h, format!("/{p}")));
        let mut stream = std::net::TcpStream::connect(host).unwrap_or_else(|e| panic!("{name}: {e}"));
        use std::io::{Read as _, Write as _};
        stream.write_all(format!("GET {prefix}{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{name} {answer}");
    }
}
