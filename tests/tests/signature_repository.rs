//! Signatures in a repository of their own, as with cosign's `COSIGN_REPOSITORY`, and a signature image named directly.

use std::sync::OnceLock;
use std::time::Duration;

use cosign_core::blocking::Client;
use cosign_core::{
    Call, ClientOptions, Code, Error, Format, ImageRef, KeyAlgorithm, Policy, PrivateKey, SignOptions,
    TriangulateOptions, VerifyOptions,
};
use cosign_tests::oracle::{self, Sandbox};
use cosign_tests::registry::{Auth, Fault, Referrers, Registry};

fn key() -> &'static PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap())
}

fn policy() -> Policy {
    Policy::new().with_key(key().public_key())
}

fn client(signatures: &str) -> Client {
    let mut options = ClientOptions::new();
    options.set_signature_repository(signatures).unwrap().set_retry_base(Duration::ZERO);
    Client::new(options).unwrap()
}

fn plain() -> Client {
    let mut options = ClientOptions::new();
    options.set_retry_base(Duration::ZERO);
    Client::new(options).unwrap()
}

fn image(registry: &Registry, rest: &str) -> ImageRef {
    ImageRef::parse(&format!("{}/team/app{rest}", registry.host())).unwrap()
}

fn sign(client: &Client, image: &ImageRef, format: Format) -> Result<String, Error> {
    let options = SignOptions { format, ..Default::default() };
    client.sign(image, key(), &options, &Call::new()).map(|signed| signed.json())
}

fn verify(client: &Client, image: &ImageRef, options: &VerifyOptions) -> Result<usize, Error> {
    client.verify(image, &policy(), options, &Call::new()).map(|verified| verified.count())
}

#[test]
fn only_the_image_is_looked_for_in_its_own_repository() {
    for (referrers, api) in [(Referrers::On, true), (Referrers::Off, false)] {
        let registry = Registry::start();
        registry.set(|is| is.referrers = referrers);
        let digest = registry.add_image("team/app", "v1");
        let hex = digest.strip_prefix("sha256:").unwrap();
        let kept = format!("{}/signatures", registry.host());
        let (ours, by_tag) = (client(&kept), image(&registry, ":v1"));

        let mark = registry.mark();
        let signed = sign(&ours, &by_tag, Format::Both).unwrap();
        assert!(signed.contains(&format!("\"signature_reference\":\"{kept}:sha256-{hex}.sig\"")), "{signed}");
        assert!(signed.contains(&format!("\"place\":\"{kept}@sha256:")), "{signed}");
        assert!(signed.contains("\"status\":\"stored\""), "{signed}");
        let in_image: Vec<String> =
            registry.since(mark).into_iter().filter(|line| line.contains("/v2/team/app/")).collect();
        assert_eq!(in_image, ["GET /v2/team/app/manifests/v1 200"], "referrers {api}");

        let mark = registry.mark();
        assert_eq!(verify(&ours, &by_tag, &VerifyOptions::default()).unwrap(), 2);
        let in_image: Vec<String> =
            registry.since(mark).into_iter().filter(|line| line.contains("/v2/team/app/")).collect();
        assert_eq!(in_image, ["GET /v2/team/app/manifests/v1 200"]);

        // By digest the image's repository is asked for the subject of a bundle alone, and for nothing when verifying.
        let by_digest = image(&registry, &format!("@{digest}"));
        let mark = registry.mark();
        sign(&ours, &by_digest, Format::Bundle).unwrap();
        verify(&ours, &by_digest, &VerifyOptions::default()).unwrap();
        let in_image: Vec<String> =
            registry.since(mark).into_iter().filter(|line| line.contains("/v2/team/app/")).collect();
        assert_eq!(in_image, [format!("HEAD /v2/team/app/manifests/{digest} 200")]);

        // Without the option nothing is there; what looks at the signature repository alone does not find the image.
        assert_eq!(verify(&plain(), &by_tag, &VerifyOptions::default()).unwrap_err().code(), Code::NoSignatures);
        let place = ours.triangulate(&by_tag, &TriangulateOptions::default(), &Call::new()).unwrap();
        assert_eq!(place, format!("{kept}:sha256-{hex}.sig"));
        assert_eq!(ours.resolve(&by_tag, &Call::new()).unwrap(), format!("{}/team/app@{digest}", registry.host()));
    }
}

#[test]
fn the_signatures_may_be_in_another_registry_and_what_it_cannot_tell_is_unknown() {
    let (images, signatures) = (Registry::start(), Registry::start());
    images.add_image("team/app", "v1");
    images.set(|is| is.read_only = true);
    let ours = client(&format!("{}/mine", signatures.host()));
    let by_tag = image(&images, ":v1");
    sign(&ours, &by_tag, Format::Both).unwrap();
    assert_eq!(verify(&ours, &by_tag, &VerifyOptions::default()).unwrap(), 2);
    for status in [401, 403, 429, 503] {
        signatures.fault("/v2/mine/*", Fault::OciError(status, "UNAVAILABLE".into()));
        let error = verify(&ours, &by_tag, &VerifyOptions::default()).unwrap_err();
        assert_eq!(error.code().class(), cosign_core::Class::Unknown, "{status}: {error}");
        signatures.heal();
    }
    assert_eq!(verify(&ours, &by_tag, &VerifyOptions::default()).unwrap(), 2);
}

#[test]
fn a_journal_beside_the_signatures_is_read_there() {
    let registry = Registry::start();
    registry.set(|is| is.referrers = Referrers::Off);
    let digest = registry.add_image("team/app", "v1");
    let ours = client(&format!("{}/signatures", registry.host()));
    let by_tag = image(&registry, ":v1");
    sign(&ours, &by_tag, Format::Legacy).unwrap();
    // Somebody else's write has lost it.
    let tag = format!("sha256-{}.sig", digest.strip_prefix("sha256:").unwrap());
    let other = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}"#;
    registry.add_manifest("signatures", &tag, cosign_tests::registry::OCI_MANIFEST, other.as_bytes());
    assert_eq!(verify(&ours, &by_tag, &VerifyOptions::default()).unwrap(), 1);
}

#[test]
fn one_token_is_good_for_both_repositories_and_a_server_that_looks_at_one_is_asked_again() {
    for (first_only, tokens) in [(false, 1), (true, 2)] {
        let registry = Registry::with_auth(Auth::token("u", "p"));
        registry.set(|is| {
            is.tokens.first_scope_only = first_only;
            is.referrers = Referrers::Off;
        });
        let digest = registry.add_image("team/app", "v1");
        let writer = |signatures: &str| {
            let mut options = ClientOptions::new();
            options.set_auth_basic(&registry.host(), "u", "p").set_signature_repository(signatures).unwrap();
            Client::new(options).unwrap()
        };
        let kept = format!("{}/signatures", registry.host());
        sign(&writer(&kept), &image(&registry, ":v1"), Format::Legacy).unwrap();
        let reader = writer(&kept);
        let mark = registry.mark();
        verify(&reader, &image(&registry, ":v1"), &VerifyOptions::default()).unwrap();
        let asked: Vec<_> = registry.seen_since(mark).into_iter().filter(|seen| seen.path() == "/token").collect();
        assert_eq!(asked.len(), tokens, "{:?}", registry.since(mark));
        let query = asked[0].query();
        assert!(query.contains("team%2Fapp%3Apull") && query.contains("signatures%3Apull"), "{query}");
        // By digest the image's repository is not touched, so nothing but the signatures' token matters.
        let by_digest = image(&registry, &format!("@{digest}"));
        assert_eq!(verify(&writer(&kept), &by_digest, &VerifyOptions::default()).unwrap(), 1);
    }
}

#[test]
fn a_signature_image_can_be_named_directly_in_a_registry_and_in_a_layout() {
    let registry = Registry::start();
    let digest = registry.add_image("team/app", "v1");
    let (media, manifest) = registry.manifest("team/app", &digest).unwrap();
    registry.add_manifest("unsigned", "v1", &media, &manifest);
    let by_tag = image(&registry, ":v1");
    sign(&plain(), &by_tag, Format::Legacy).unwrap();
    let tag = format!("sha256-{}.sig", digest.strip_prefix("sha256:").unwrap());
    let unsigned = ImageRef::parse(&format!("{}/unsigned:v1", registry.host())).unwrap();
    assert_eq!(verify(&plain(), &unsigned, &VerifyOptions::default()).unwrap_err().code(), Code::NoSignatures);

    let named = |reference: String| VerifyOptions {
        signature_reference: Some(ImageRef::parse(&reference).unwrap()),
        ..Default::default()
    };
    let there = named(format!("{}/team/app:{tag}", registry.host()));
    let mark = registry.mark();
    assert_eq!(verify(&plain(), &unsigned, &there).unwrap(), 1);
    // The payload names another repository than this image's, so it has to be read: where the signature is.
    let lines = registry.since(mark);
    assert_eq!(lines[..2], ["GET /v2/unsigned/manifests/v1 200", &format!("GET /v2/team/app/manifests/{tag} 200")]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[2].starts_with("GET /v2/team/app/blobs/sha256:"), "{lines:?}");
    // The client's own signature repository does not matter then.
    assert_eq!(verify(&client(&format!("{}/empty", registry.host())), &unsigned, &there).unwrap(), 1);

    // A signature of another image does not count, whatever it is called.
    registry.add_image("team/other", "v1");
    let other = ImageRef::parse(&format!("{}/team/other:v1", registry.host())).unwrap();
    let digests = [registry.manifest("team/other", "v1").unwrap().1, manifest];
    if digests[0] == digests[1] {
        registry.add_manifest("team/other", "v1", &media, &[digests[0].as_slice(), b"\n"].concat());
    }
    assert_eq!(verify(&plain(), &other, &there).unwrap_err().code(), Code::NoSignatureMatches);
    let gone = named(format!("{}/team/app:nothing", registry.host()));
    let error = verify(&plain(), &unsigned, &gone).unwrap_err();
    assert_eq!(error.code(), Code::NoSignatures);
    assert!(error.report().is_some_and(|report| report.json().contains("nothing does not exist")), "{error}");
    registry.fault(&format!("GET /v2/team/app/manifests/{tag}"), Fault::OciError(503, "UNAVAILABLE".into()));
    assert_eq!(verify(&plain(), &unsigned, &there).unwrap_err().code(), Code::Network);
    registry.heal();
    let bundles = VerifyOptions { format: Some(Format::Bundle), ..there.clone() };
    assert_eq!(verify(&plain(), &unsigned, &bundles).unwrap_err().code(), Code::Argument);

    // A layout may hold the signatures of an image in a registry, and the other way round.
    let sandbox = Sandbox::new();
    let layout = sandbox.path("layout");
    copy_folder(&oracle::root().join("examples/image"), &layout);
    let local = ImageRef::parse(&format!("oci:{}", layout.display())).unwrap();
    sign(&plain(), &local, Format::Legacy).unwrap();
    let pinned = plain().resolve(&local, &Call::new()).unwrap();
    let hex = pinned.rsplit(':').next().unwrap();
    let file = |digest: &str| std::fs::read(layout.join("blobs/sha256").join(digest)).unwrap();
    registry.add_manifest("copied", "v1", &media, &file(hex));
    let copied = ImageRef::parse(&format!("{}/copied:v1", registry.host())).unwrap();
    for reference in [format!("oci:{}:sha256-{hex}.sig", layout.display()), format!("oci:{}", layout.display())] {
        assert_eq!(verify(&plain(), &copied, &named(reference.clone())).unwrap(), 1, "{reference}");
    }
    assert_eq!(verify(&plain(), &local, &there).unwrap_err().code(), Code::NoSignatureMatches);
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn refuses_what_is_no_repository() {
    for bad in ["", "a/b:1", "https://a.io/b", "a.io/b@sha256:00", "localhost:5000", "A/B", "a.io/"] {
        let error = ClientOptions::new().set_signature_repository(bad).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), Code::Reference, "{bad:?}");
    }
}

#[test]
fn real_cosign_finds_our_signatures_in_the_repository_that_it_is_told_and_we_find_its() {
    let (registry, sandbox) = (oracle::Registry::start(), Sandbox::new());
    let host = registry.host();
    let pem = key().to_pem(oracle::PASSWORD.as_bytes(), cosign_core::KeyFormat::Sigstore).unwrap();
    let (private, public) =
        (sandbox.write("k.key", pem.as_bytes()), sandbox.write("k.pub", key().public_key().to_pem()));
    let source = format!("{}:v1", oracle::root().join("examples/image").display());
    // COSIGN_REPOSITORY is a repository of the same registry.
    for (tool, format, writes) in [
        ("cosign2", Format::Legacy, vec!["--tlog-upload=false"]),
        (
            "cosign3",
            Format::Legacy,
            vec!["--tlog-upload=false", "--use-signing-config=false", "--new-bundle-format=false"],
        ),
        ("cosign3", Format::Bundle, vec!["--tlog-upload=false", "--use-signing-config=false"]),
    ] {
        let name = format!("{tool}-{}", format.name());
        let (image, kept) = (format!("{host}/{name}:v1"), format!("{host}/signatures/{name}"));
        sandbox.run("oras", ["cp", "--from-oci-layout", &source, "--to-plain-http", &image]).success();
        let environment = [("COSIGN_REPOSITORY", kept.as_str())];
        let reference = ImageRef::parse(&image).unwrap();
        let only = VerifyOptions { format: Some(format), ..Default::default() };
        let ours = client(&kept);

        let verify_theirs = |environment: &[(&str, &str)]| {
            let arguments = ["verify", "--key", &public, "--insecure-ignore-tlog=true", &image];
            sandbox.run_with(tool, arguments, environment)
        };
        sign(&ours, &reference, format).unwrap();
        verify_theirs(&environment).success();
        assert_ne!(verify_theirs(&[]).code, 0, "{name}: not beside the image");

        let other = client(&format!("{kept}-theirs"));
        let theirs = format!("{kept}-theirs");
        let arguments = ["sign", "--key", &private, "-y"].into_iter().chain(writes.clone()).chain([image.as_str()]);
        sandbox.run_with(tool, arguments, &[("COSIGN_REPOSITORY", theirs.as_str())]).success();
        assert_eq!(verify(&other, &reference, &only).unwrap(), 1, "{name}");
        assert_eq!(verify(&plain(), &reference, &only).unwrap_err().code(), Code::NoSignatures, "{name}");
        // Both write beside each other.
        sign(&other, &reference, format).unwrap();
        let arguments = ["sign", "--key", &private, "-y"].into_iter().chain(writes);
        sandbox.run_with(tool, arguments.chain([image.as_str()]), &[("COSIGN_REPOSITORY", kept.as_str())]).success();
        assert!(verify(&ours, &reference, &only).unwrap() >= 1);
        let arguments = ["triangulate", &image];
        let place = sandbox.run_with(tool, arguments, &environment).success().stdout;
        assert_eq!(place.trim(), ours.triangulate(&reference, &TriangulateOptions::default(), &Call::new()).unwrap());
    }
}
