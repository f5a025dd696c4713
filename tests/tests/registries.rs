//! Both formats on real registries of three makers, across with real cosign 2.5.0 and 3.1.1; and many signers at once on a
//! real Distribution registry.

use std::sync::OnceLock;

use cosign_core::blocking::Client;
use cosign_core::store::Protection;
use cosign_core::{
    Call, ClientOptions, Code, Digest, Format, ImageRef, KeyAlgorithm, KeyFormat, Policy, PrivateKey, PublicKey,
    SignOptions, VerifyOptions,
};
use cosign_tests::oracle::{self, Outcome, Sandbox, root};
use cosign_tests::oracle_registries::{Kind, PASSWORD, Server, USER};

fn key(n: usize) -> &'static PrivateKey {
    static KEYS: OnceLock<Vec<PrivateKey>> = OnceLock::new();
    &KEYS.get_or_init(|| (0..16).map(|_| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).collect())[n]
}

fn options(format: Format) -> SignOptions {
    SignOptions { format, ..Default::default() }
}

fn count(client: &Client, image: &ImageRef, key: &PublicKey) -> usize {
    let policy = Policy::new().with_key(key.clone());
    client.verify(image, &policy, &VerifyOptions::default(), &Call::new()).unwrap().count()
}

fn pair(sandbox: &Sandbox, name: &str) -> (String, String, PrivateKey) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let pem = key.to_pem(oracle::PASSWORD.as_bytes(), KeyFormat::Cosign).unwrap();
    let private = sandbox.write(&format!("{name}.key"), pem.as_bytes());
    let public = sandbox.write(&format!("{name}.pub"), key.public_key().to_pem());
    (private, public, key)
}

/// Pushes the example image, and lets every pair of signer and verifier meet on it.
fn cross(host: &str, client: &Client, what: &str) {
    let sandbox = Sandbox::new();
    if what.contains("Basic") || what.contains("Bearer") {
        let auth = cosign_core::encoding::base64::encode(format!("{USER}:{PASSWORD}").as_bytes());
        sandbox.write("docker/config.json", format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#));
    }
    let (source, target) = (format!("{}:v1", root().join("examples/image").display()), format!("{host}/team/app:v1"));
    sandbox.run("oras", ["cp", "--from-oci-layout", &source, "--to-plain-http", &target]).success();
    let image = ImageRef::parse(&target).unwrap();
    let unsigned =
        client.verify(&image, &Policy::new().with_key(key(0).public_key()), &VerifyOptions::default(), &Call::new());
    assert_eq!(unsigned.unwrap_err().code(), Code::NoSignatures, "{what}");

    let (_, ours_public, ours) = pair(&sandbox, "ours");
    let signed = client.sign(&image, &ours, &options(Format::Both), &Call::new()).unwrap();
    for signature in signed.signatures() {
        assert_eq!(signature.added.protection, Protection::Stored, "{what}: {}", signed.json());
    }
    let verify = |name: &str, public: &str, flags: &[&str]| -> Outcome {
        let arguments = ["verify", "--key", public, "--insecure-ignore-tlog=true"];
        sandbox.run(name, arguments.iter().chain(flags).chain(&[target.as_str()]))
    };
    verify("cosign3", &ours_public, &[]).success();
    verify("cosign3", &ours_public, &["--new-bundle-format=false"]).success();
    verify("cosign2", &ours_public, &[]).success();

    let (bundle_private, bundle_public, bundle) = pair(&sandbox, "bundle");
    let flags = ["--use-signing-config=false", "--tlog-upload=false", "-y"];
    let sign = ["sign", "--key", &bundle_private];
    let theirs = sandbox.run("cosign3", sign.iter().chain(&flags).chain(&[target.as_str()]));
    // cosign 3.1.1 takes "405 method not allowed" to a list of referrers for a failure; it finds
    // no bundles there either.
    let bundles_of_theirs = if what == "OlaregTagOnly" { 0 } else { 1 };
    match bundles_of_theirs {
        0 => drop(theirs.refusal("method not allowed")),
        _ => drop(theirs.success()),
    }
    let (legacy_private, legacy_public, legacy) = pair(&sandbox, "legacy");
    sandbox.run("cosign2", ["sign", "--key", &legacy_private, "--tlog-upload=false", "-y", &target]).success();
    // A second bundle of ours after theirs.
    let (_, second_public, second) = pair(&sandbox, "second");
    client.sign(&image, &second, &options(Format::Bundle), &Call::new()).unwrap();

    for (key, signatures) in [(&ours, 2), (&legacy, 1), (&second, 1)] {
        assert_eq!(count(client, &image, &key.public_key()), signatures, "{what}");
    }
    if bundles_of_theirs == 1 {
        assert_eq!(count(client, &image, &bundle.public_key()), 1, "{what}");
        verify("cosign3", &bundle_public, &[]).success();
        verify("cosign3", &second_public, &[]).success();
    }
    verify("cosign3", &ours_public, &[]).success();
    verify("cosign2", &legacy_public, &[]).success();
    verify("cosign2", &ours_public, &[]).success();
}

#[test]
fn formats_cross_on_registries_with_and_without_referrers() {
    let distribution = oracle::Registry::start();
    cross(&distribution.host(), &Client::new(ClientOptions::new()).unwrap(), "Distribution");
    for kind in [Kind::Olareg, Kind::OlaregTagOnly, Kind::Ggcr, Kind::GgcrTagOnly] {
        let server = Server::start(kind);
        cross(&server.host(), &Client::new(ClientOptions::new()).unwrap(), &format!("{kind:?}"));
    }
}

#[test]
fn formats_cross_on_registries_that_ask_who_is_there() {
    for kind in [Kind::OlaregBasic, Kind::OlaregBearer] {
        let server = Server::start(kind);
        let mut options = ClientOptions::new();
        options.set_auth_basic(&server.host(), USER, PASSWORD);
        cross(&server.host(), &Client::new(options).unwrap(), &format!("{kind:?}"));
        let image = ImageRef::parse(&format!("{}/team/app:v1", server.host())).unwrap();
        let policy = Policy::new().with_key(key(0).public_key());
        let stranger = Client::new(ClientOptions::new()).unwrap();
        let refused = stranger.verify(&image, &policy, &VerifyOptions::default(), &Call::new()).unwrap_err();
        assert!(matches!(refused.code(), Code::Auth | Code::Denied), "{kind:?}: {refused}");
    }
}

#[test]
fn a_bundle_in_a_layout_is_verified_by_cosign() {
    let sandbox = Sandbox::new();
    let copied = sandbox.arg("layout");
    let copy = std::process::Command::new("cp").arg("-r").arg(root().join("examples/image")).arg(&copied).status();
    assert!(copy.unwrap().success());
    let image = ImageRef::parse(&format!("oci:{copied}:v1")).unwrap();
    let client = Client::new(ClientOptions::new()).unwrap();
    let (_, public, ours) = pair(&sandbox, "ours");
    client.sign(&image, &ours, &options(Format::Bundle), &Call::new()).unwrap();
    let arguments = ["verify", "--key", &public, "--insecure-ignore-tlog=true", "--local-image", &copied];
    sandbox.run("cosign3", arguments).success();
    let (_, other, _) = pair(&sandbox, "other");
    let arguments = ["verify", "--key", &other, "--insecure-ignore-tlog=true", "--local-image", &copied];
    assert_ne!(sandbox.run("cosign3", arguments).code, 0);
    let listed = sandbox.run("oras", ["discover", "--oci-layout", &format!("{copied}:v1")]).success();
    assert!(listed.stdout.contains("application/vnd.dev.sigstore.bundle.v0.3+json"), "{listed:#?}");
}

#[test]
fn sixteen_signers_sixty_times_lose_nothing_on_a_real_registry() {
    const ROUNDS: usize = 60;
    let registry = oracle::Registry::start();
    let subjects: Vec<Digest> = (0..ROUNDS).map(|n| Digest::sha256(format!("image {n}").as_bytes())).collect();
    let image = |subject: &Digest| ImageRef::parse(&format!("{}/team/app@{subject}", registry.host())).unwrap();
    let unprotected = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (subjects, image, unprotected) = (&subjects, &image, &unprotected);
            scope.spawn(move || {
                let client = Client::new(ClientOptions::new()).unwrap();
                for subject in subjects {
                    let signed = client.sign(&image(subject), key(n), &SignOptions::default(), &Call::new()).unwrap();
                    if *signed.protection() != Protection::Stored {
                        unprotected.lock().unwrap().push(signed.json());
                    }
                }
            });
        }
    });
    // Only the standard place counts: the journal must not be what saves it.
    let client = Client::new(ClientOptions::new()).unwrap();
    let plain = VerifyOptions { journal: false, format: Some(Format::Legacy), ..Default::default() };
    let mut everybody = (0..16).fold(Policy::new(), |policy, n| policy.with_key(key(n).public_key()));
    everybody.require_all_keys();
    for subject in &subjects {
        let verified = client.verify(&image(subject), &everybody, &plain, &Call::new());
        assert_eq!(verified.unwrap().count(), 16);
    }
    assert_eq!(unprotected.into_inner().unwrap(), Vec::<String>::new());
}
