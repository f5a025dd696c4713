//! The verbs of March 2021: a payload that another program signs, the signature attached, what is stored downloaded
//! again. Keys and signatures are made by openssl; real cosign reads what we attach, and we what it attaches.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cosign_core::blocking::Client;
use cosign_core::payload::simple_signing::PayloadForm;
use cosign_core::{
    Call, ClientOptions, Code, DownloadOptions, Error, Format, ImageRef, KeyAlgorithm, Policy, PrivateKey, PublicKey,
    SignOptions, VerifyOptions,
};
use cosign_tests::oracle::{self, Sandbox, root};
use cosign_tests::registry::{Fault, Registry, RetryAfter};

/// How openssl makes a key and signs a file with it.
const KEYS: [(&str, &[&str], &[&str]); 6] = [
    ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], &["dgst", "-sha256", "-sign"]),
    ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], &["dgst", "-sha256", "-sign"]),
    ("p521", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], &["dgst", "-sha256", "-sign"]),
    ("rsa2048", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], &["dgst", "-sha256", "-sign"]),
    ("rsa4096", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"], &["dgst", "-sha256", "-sign"]),
    // OpenSSL 3.0 does not sign with Ed25519 what it cannot measure first: files only.
    ("ed25519", &["-algorithm", "ED25519"], &["pkeyutl", "-sign", "-rawin", "-inkey"]),
];

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().expect("openssl runs");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A key of openssl's own: the file of the private one, and the public one as we read it.
fn openssl_key(folder: &Path, name: &str) -> (String, PublicKey) {
    let (_, how, _) = KEYS.iter().find(|(other, ..)| *other == name).expect("a key that is known");
    let path = folder.join(format!("{name}.pem")).to_str().expect("a path in UTF-8").to_owned();
    openssl(&[&["genpkey", "-out", &path], *how].concat());
    (path.clone(), PublicKey::from_pem(&openssl(&["pkey", "-in", &path, "-pubout"])).unwrap())
}

/// The raw signature that openssl makes of a payload, by way of a file.
fn openssl_signature(folder: &Path, name: &str, key: &str, payload: &[u8]) -> Vec<u8> {
    let (_, _, how) = KEYS.iter().find(|(other, ..)| *other == name).expect("a key that is known");
    let file = folder.join("payload");
    fs::write(&file, payload).unwrap();
    let input: &[&str] = if how[0] == "pkeyutl" { &["-in"] } else { &[] };
    openssl(&[*how, &[key], input, &[file.to_str().unwrap()]].concat())
}

fn client() -> Client {
    let mut options = ClientOptions::new();
    options.set_retry_base(std::time::Duration::ZERO);
    Client::new(options).unwrap()
}

fn parse(text: &str) -> ImageRef {
    text.parse().unwrap()
}

fn verify(client: &Client, image: &ImageRef, key: &PublicKey, options: &VerifyOptions) -> Result<Vec<Vec<u8>>, Error> {
    let policy = Policy::new().with_key(key.clone());
    let verified = client.verify(image, &policy, options, &Call::new())?;
    Ok(verified.signatures().iter().map(|signature| signature.payload().to_vec()).collect())
}

/// The example image, in a layout of its own.
fn layout(folder: &Path) -> ImageRef {
    let to = folder.join("layout");
    let copied = Command::new("cp").arg("-r").arg(root().join("examples/image")).arg(&to).status().unwrap();
    assert!(copied.success());
    parse(&format!("oci:{}:v1", to.display()))
}

#[test]
fn every_kind_of_openssl_key_signs_what_generate_gives() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    let client = client();
    let annotated = SignOptions { annotations: vec![("a".into(), "1".into())], ..Default::default() };
    for image in [parse(&format!("{}/team/app:v1", registry.host())), layout(folder.path())] {
        for (name, ..) in KEYS {
            let (file, public) = openssl_key(folder.path(), name);
            let payload = client.generate(&image, &annotated, &Call::new()).unwrap();
            let signature = openssl_signature(folder.path(), name, &file, &payload);
            let options = SignOptions { payload: Some(payload.clone()), ..Default::default() };
            let attached = client.attach_signature(&image, &signature, &options, &Call::new()).unwrap();
            assert_eq!((attached.added(), attached.protection().name()), (true, "stored"), "{name}");
            assert_eq!(verify(&client, &image, &public, &Default::default()).unwrap(), [payload], "{name} {image}");
            // Again: it is there already.
            let again = client.attach_signature(&image, &signature, &options, &Call::new()).unwrap();
            assert_eq!((again.added(), again.protection().name()), (false, "stored"), "{name}");
        }
        // All of them are kept side by side.
        let all = client.download(&image, &DownloadOptions::default(), &Call::new()).unwrap();
        assert_eq!(all.len(), KEYS.len());
    }
}

#[test]
fn without_a_payload_the_generated_one_is_attached() {
    let folder = tempfile::tempdir().unwrap();
    let (image, client) = (layout(folder.path()), client());
    let (file, public) = openssl_key(folder.path(), "p256");
    let payload = client.generate(&image, &SignOptions::default(), &Call::new()).unwrap();
    let signature = openssl_signature(folder.path(), "p256", &file, &payload);
    client.attach_signature(&image, &signature, &SignOptions::default(), &Call::new()).unwrap();
    assert_eq!(verify(&client, &image, &public, &Default::default()).unwrap(), [payload]);
    // What was signed with annotations is not what is attached without them: nobody's signature.
    let annotated = SignOptions { annotations: vec![("a".into(), "1".into())], ..Default::default() };
    let (file, other) = openssl_key(folder.path(), "rsa2048");
    let payload = client.generate(&image, &annotated, &Call::new()).unwrap();
    let signature = openssl_signature(folder.path(), "rsa2048", &file, &payload);
    client.attach_signature(&image, &signature, &SignOptions::default(), &Call::new()).unwrap();
    let refused = verify(&client, &image, &other, &Default::default()).unwrap_err();
    assert_eq!(refused.code(), Code::NoSignatureMatches);
    client.attach_signature(&image, &signature, &annotated, &Call::new()).unwrap();
    assert_eq!(verify(&client, &image, &other, &Default::default()).unwrap(), [payload]);
}

#[test]
fn a_payload_of_any_format_is_kept_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    let client = client();
    let unchecked = VerifyOptions { check_claims: false, ..Default::default() };
    let odd: Vec<u8> = (0..=255).chain(*b"\r\n\0 any format\n").collect();
    let (file, public) = openssl_key(folder.path(), "p256");
    let own = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    for image in [parse(&format!("{}/team/app:v1", registry.host())), layout(folder.path())] {
        let options = SignOptions { payload: Some(odd.clone()), ..Default::default() };
        let signature = openssl_signature(folder.path(), "p256", &file, &odd);
        client.attach_signature(&image, &signature, &options, &Call::new()).unwrap();
        client.sign(&image, &own, &options, &Call::new()).unwrap();
        for key in [&public, &own.public_key()] {
            assert_eq!(verify(&client, &image, key, &unchecked).unwrap(), [odd.as_slice()]);
            let refused = verify(&client, &image, key, &Default::default()).unwrap_err();
            assert_eq!(refused.code(), Code::NoSignatureMatches);
        }
        for downloaded in client.download(&image, &DownloadOptions::default(), &Call::new()).unwrap() {
            assert_eq!(downloaded.payload(), Some(odd.as_slice()));
        }
    }
}

#[test]
fn a_detached_signature_touches_no_server() {
    let client = client();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    // Nobody listens there.
    let digest = "sha256:ea9afc656d4fdc1d3b6adcc5e9e0afe2f52bf239f37ecd2d0e40628a78614c82";
    let image = parse(&format!("127.0.0.1:9/team/app@{digest}"));
    let made = client.sign_detached(&image, &key, &SignOptions::default(), &Call::new()).unwrap();
    assert_eq!(made.payload(), client.generate(&image, &SignOptions::default(), &Call::new()).unwrap());
    key.public_key().verify(made.payload(), made.signature()).unwrap();
    let given = SignOptions { payload: Some(b"anything".to_vec()), ..Default::default() };
    let made = client.sign_detached(&parse("127.0.0.1:9/team/app:v1"), &key, &given, &Call::new()).unwrap();
    assert_eq!(made.payload(), b"anything");
    key.public_key().verify(b"anything", made.signature()).unwrap();
    // A tag without a payload has to be asked for.
    let asked = client.sign_detached(&parse("127.0.0.1:9/team/app:v1"), &key, &SignOptions::default(), &Call::new());
    assert_eq!(asked.unwrap_err().code(), Code::Network);
}

#[test]
fn what_could_not_be_signed_is_refused_before_anything_is_asked() {
    let client = client();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let image = parse("127.0.0.1:9/team/app:v1");
    let given = SignOptions { payload: Some(b"x".to_vec()), ..Default::default() };
    let cases = [
        SignOptions { annotations: vec![("a".into(), "1".into())], ..given.clone() },
        SignOptions { identity: Some("x".into()), ..given.clone() },
        SignOptions { payload_form: PayloadForm::Seed, ..given.clone() },
        SignOptions { payload: Some(Vec::new()), ..given.clone() },
        SignOptions { format: Format::Bundle, ..given.clone() },
        SignOptions { format: Format::Both, payload_form: PayloadForm::Seed, ..Default::default() },
    ];
    for options in cases {
        let signed = client.sign(&image, &key, &options, &Call::new()).unwrap_err();
        let attached = client.attach_signature(&image, b"s", &options, &Call::new()).unwrap_err();
        let made = client.sign_detached(&image, &key, &options, &Call::new()).unwrap_err();
        assert_eq!([signed.code(), attached.code(), made.code()], [Code::Argument; 3], "{options:?}");
    }
    let large = SignOptions { payload: Some(vec![0; (1 << 20) + 1]), ..Default::default() };
    assert_eq!(client.sign(&image, &key, &large, &Call::new()).unwrap_err().code(), Code::TooLarge);
    let attach = |signature: &[u8]| {
        client.attach_signature(&image, signature, &SignOptions::default(), &Call::new()).unwrap_err()
    };
    assert_eq!((attach(b"").code(), attach(b"").message()), (Code::Argument, "empty signature"));
    assert_eq!(attach(&[0; 4097]).code(), Code::TooLarge);
    assert_eq!(client.generate(&image, &given, &Call::new()).unwrap_err().code(), Code::Argument);
}

#[test]
fn an_image_signed_in_2021_verifies_when_its_suffix_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    let digest = registry.add_image("team/app", "v1");
    let hex = digest.strip_prefix("sha256:").unwrap();
    let client = client();
    let image = parse(&format!("{}/team/app:v1", registry.host()));
    let (file, public) = openssl_key(folder.path(), "p256");
    // The payload of March 2021, and the one before 2021-03-03 whose digest has no name of its algorithm.
    let claim = |digest: &str| {
        format!(
            r#"{{"Critical":{{"Identity":{{"docker-reference":""}},"Image":{{"Docker-manifest-digest":"{digest}"}},"Type":"cosign container signature"}},"Optional":null}}"#
        )
    };
    let seed = SignOptions { payload_form: PayloadForm::Seed, ..Default::default() };
    assert_eq!(client.generate(&image, &seed, &Call::new()).unwrap(), claim(&digest).as_bytes());
    // The signature image as cosign wrote it then: Docker's types, one layer per signature.
    let mut layers = Vec::new();
    for payload in [claim(&digest), claim(hex)] {
        let signature = openssl_signature(folder.path(), "p256", &file, payload.as_bytes());
        let blob = registry.add_blob("team/app", payload.as_bytes());
        layers.push(format!(
            r#"{{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","size":{},"digest":"{blob}","annotations":{{"dev.cosignproject.cosign/signature":"{}"}}}}"#,
            payload.len(),
            STANDARD.encode(signature),
        ));
    }
    let config = br#"{"architecture":"","created":"0001-01-01T00:00:00Z","history":[],"os":"","rootfs":{"type":"layers","diff_ids":[]},"config":{}}"#;
    let config_digest = registry.add_blob("team/app", config);
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{docker}","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{config_digest}"}},"layers":[{}]}}"#,
        config.len(),
        layers.join(","),
    );
    registry.add_manifest("team/app", &format!("sha256-{hex}.cosign"), docker, manifest.as_bytes());

    assert_eq!(verify(&client, &image, &public, &Default::default()).unwrap_err().code(), Code::NoSignatures);
    let suffix = VerifyOptions { tag_suffix: Some(".cosign".into()), ..Default::default() };
    let verified = verify(&client, &image, &public, &suffix).unwrap();
    assert_eq!(verified, [claim(&digest).as_bytes(), claim(hex).as_bytes()]);
    let download = DownloadOptions { tag_suffix: Some(".cosign".into()), ..Default::default() };
    let lines = client.download(&image, &download, &Call::new()).unwrap();
    let first = lines[0].json_2021().unwrap();
    assert!(
        first.starts_with(r#"{"Base64Signature":"MEU"#)
            || first.starts_with(r#"{"Base64Signature":"MEQ"#)
            || first.starts_with(r#"{"Base64Signature":"MEY"#),
        "{first}"
    );
    assert!(first.ends_with(&format!(r#"","Payload":"{}"}}"#, STANDARD.encode(claim(&digest)))), "{first}");

    // A new signature in that form goes beside them, and all three count.
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let options = SignOptions { tag_suffix: Some(".cosign".into()), docker_media_types: true, ..seed };
    client.sign(&image, &key, &options, &Call::new()).unwrap();
    assert_eq!(verify(&client, &image, &key.public_key(), &suffix).unwrap(), [claim(&digest).as_bytes()]);
    assert_eq!(client.download(&image, &download, &Call::new()).unwrap().len(), 3);
}

#[test]
fn what_could_not_be_read_is_not_downloaded_as_nothing() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    let client = client();
    let image = parse(&format!("{}/team/app:v1", registry.host()));
    let download = || client.download(&image, &DownloadOptions::default(), &Call::new());
    let none = download().unwrap_err();
    assert_eq!(none.code(), Code::NoSignatures);
    assert!(none.message().ends_with(": no signatures associated"), "{none}");
    let missing = parse(&format!("{}/team/app:v2", registry.host()));
    let missing = client.download(&missing, &DownloadOptions::default(), &Call::new()).unwrap_err();
    assert_eq!(missing.code(), Code::ImageNotFound);
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let both = SignOptions { format: Format::Both, ..Default::default() };
    client.sign(&image, &key, &both, &Call::new()).unwrap();
    assert_eq!(download().unwrap().len(), 2);
    // Each request of it fails once, in ways that say nothing about signatures.
    for status in [401, 403, 500] {
        let mut k = 1;
        loop {
            registry.fail(k, Fault::error(status, "UNKNOWN"));
            let before = registry.hits();
            let outcome = download();
            let hit = registry.hits() > before;
            registry.heal();
            if !hit {
                assert!(outcome.is_ok());
                break;
            }
            // What is tried again may succeed; nothing else may pass for the whole.
            match outcome {
                Ok(found) => assert_eq!(found.len(), 2, "{status} at {k}"),
                Err(error) => assert_eq!(error.code().class().name(), "unknown", "{status} at {k}: {error}"),
            }
            k += 1;
            assert!(k < 50);
        }
        assert!(k > 5, "{k} requests");
    }
    for fault in [Fault::error(500, "UNKNOWN"), Fault::RateLimit(RetryAfter::Seconds(0))] {
        registry.fault("GET *sha256-*", fault);
        assert_eq!(download().unwrap_err().code().class().name(), "unknown");
        registry.heal();
    }
}

#[test]
fn what_hangs_on_a_signature_is_downloaded_with_it() {
    let registry = Registry::start();
    let subject = registry.add_image("team/app", "v1");
    let payload = registry.add_blob("team/app", b"payload");
    let config = registry.add_blob("team/app", b"{}");
    let pem = fs::read_to_string(root().join("tests/vectors/certificates/signer.pem")).unwrap();
    let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>()).unwrap();
    let log = r#"{"SignedEntryTimestamp": "c2V0", "Payload": {"body": "Ym9keQ==", "integratedTime": 1674247893, "logIndex": 11605770, "logID": "00"}}"#;
    let layer = |annotations: serde_json::Value| {
        serde_json::json!({
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "digest": payload, "size": 7, "annotations": annotations,
        })
    };
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": [
            layer(serde_json::json!({
                "dev.cosignproject.cosign/signature": "c2ln",
                "dev.sigstore.cosign/certificate": pem,
                "dev.sigstore.cosign/chain": format!("{pem}{pem}"),
                "dev.sigstore.cosign/bundle": log,
                "dev.sigstore.cosign/rfc3161timestamp": r#"{"SignedRFC3161Timestamp": "dHM="}"#,
            })),
            layer(serde_json::json!({
                "dev.cosignproject.cosign/signature": "<&>",
                "dev.sigstore.cosign/certificate": "no PEM",
                "dev.sigstore.cosign/chain": "",
                "dev.sigstore.cosign/bundle": "no JSON",
            })),
            layer(serde_json::json!({"no": "signature"})),
        ],
    });
    let tag = format!("sha256-{}.sig", subject.strip_prefix("sha256:").unwrap());
    registry.add_manifest(
        "team/app",
        &tag,
        "application/vnd.oci.image.manifest.v1+json",
        manifest.to_string().as_bytes(),
    );
    let image = parse(&format!("{}/team/app:v1", registry.host()));
    let found = client().download(&image, &DownloadOptions::default(), &Call::new()).unwrap();
    let lines: Vec<String> = found.iter().map(|signature| signature.json()).collect();
    let raw = format!(r#"{{"Raw":"{}"}}"#, STANDARD.encode(der));
    assert_eq!(
        lines,
        [
            format!(
                r#"{{"Base64Signature":"c2ln","Payload":"cGF5bG9hZA==","Cert":{raw},"Chain":[{raw},{raw}],"Bundle":{{"SignedEntryTimestamp":"c2V0","Payload":{{"body":"Ym9keQ==","integratedTime":1674247893,"logIndex":11605770,"logID":"00"}}}},"RFC3161Timestamp":{{"SignedRFC3161Timestamp":"dHM="}}}}"#
            ),
            r#"{"Base64Signature":"\u003c\u0026\u003e","Payload":"cGF5bG9hZA==","Cert":null,"Chain":null,"Bundle":null,"RFC3161Timestamp":null}"#.to_owned(),
        ]
    );
}

/// Distribution with the example image, a folder, and the reference of the image by digest.
fn distribution() -> (oracle::Registry, Sandbox, String) {
    let (registry, sandbox) = (oracle::Registry::start(), Sandbox::new());
    let source = format!("oci:{}:v1", root().join("examples/image").display());
    let to = format!("docker://{}/team/app:v1", registry.host());
    let policy = sandbox.arg("accept.json");
    sandbox.run("skopeo", ["--policy", &policy, "copy", "--dest-tls-verify=false", &source, &to]).success();
    let digest = registry.tag("team/app", "v1").unwrap();
    let image = format!("{}/team/app@{digest}", registry.host());
    (registry, sandbox, image)
}

#[test]
fn real_cosign_and_we_print_the_same_downloads_and_read_what_the_other_attached() {
    let (_registry, sandbox, name) = distribution();
    let (client, image) = (client(), parse(&name));
    let (file, public) = openssl_key(&sandbox.path(""), "p256");
    let public_file = sandbox.write("openssl.pub", public.to_pem());

    // We attach, they verify.
    let payload = client.generate(&image, &SignOptions::default(), &Call::new()).unwrap();
    assert_eq!(sandbox.run("cosign2", ["generate", &name]).success().stdout.as_bytes(), payload);
    let signature = openssl_signature(&sandbox.path(""), "p256", &file, &payload);
    client.attach_signature(&image, &signature, &SignOptions::default(), &Call::new()).unwrap();
    for peer in ["cosign2", "cosign3"] {
        let flags = ["verify", "--insecure-ignore-tlog", "--new-bundle-format=false", "--key", &public_file, &name];
        sandbox.run(peer, flags).success();
    }
    // They attach, we verify.
    let (file, other) = openssl_key(&sandbox.path(""), "rsa2048");
    let signature = openssl_signature(&sandbox.path(""), "rsa2048", &file, &payload);
    let signature = sandbox.write("signature", STANDARD.encode(signature));
    let payload_file = sandbox.write("payload.json", &payload);
    let flags = ["attach", "signature", "--signature", &signature, "--payload", &payload_file, &name];
    sandbox.run("cosign2", flags).success();
    assert_eq!(verify(&client, &image, &other, &Default::default()).unwrap(), [payload.as_slice()]);

    let lines = |format: Option<Format>| {
        let options = DownloadOptions { format, ..Default::default() };
        let found = client.download(&image, &options, &Call::new()).unwrap();
        found.iter().map(|signature| signature.json() + "\n").collect::<String>()
    };
    for peer in ["cosign2", "cosign3"] {
        assert_eq!(lines(None), sandbox.run(peer, ["download", "signature", &name]).success().stdout, "{peer}");
    }
    // A bundle beside them: cosign 3 prints the bundles alone, cosign 2 the others alone, we both.
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let private = key.to_pem(oracle::PASSWORD.as_bytes(), cosign_core::KeyFormat::Cosign).unwrap();
    let private = sandbox.write("own.key", private.as_bytes());
    let config = r#"{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}"#;
    let config = sandbox.write("config.json", config);
    sandbox.run("cosign3", ["sign", "--key", &private, "--signing-config", &config, "-a", "k=<v>&", &name]).success();
    let predicate = sandbox.write("predicate.json", r#"{"a": "<b>"}"#);
    let flags = ["attest", "--key", &private, "--signing-config", &config, "--predicate", &predicate, &name];
    sandbox.run("cosign3", flags).success();
    let theirs = sandbox.run("cosign3", ["download", "signature", &name]).success().stdout;
    assert_eq!(lines(Some(Format::Bundle)), theirs);
    assert_eq!(theirs.lines().count(), 2);
    let legacy = sandbox.run("cosign2", ["download", "signature", &name]).success().stdout;
    assert_eq!(lines(Some(Format::Legacy)), legacy);
    assert_eq!(lines(None), theirs + &legacy);
}
