//! Bundles cross between us and real cosign 3.1.1: what is written here, cosign verifies, on a registry. Those of blobs: `blobs.rs`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use cosign_core::bundle::referrer;
use cosign_core::bundle::sigstore::Bundle;
use cosign_core::crypto::Hash;
use cosign_core::oci::{Descriptor, media_type};
use cosign_core::payload::statement;
use cosign_core::{Digest, KeyAlgorithm, PrivateKey};
use cosign_tests::oracle::{Outcome, Registry, Sandbox, root};

const IMAGE: &str = "sha256:ea9afc656d4fdc1d3b6adcc5e9e0afe2f52bf239f37ecd2d0e40628a78614c82";

/// One request to the registry; returns the status line and headers.
fn http(host: &str, method: &str, target: &str, content_type: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{method} {target}: {answer}");
    answer
}

fn put_blob(host: &str, bytes: &[u8]) {
    let answer = http(host, "POST", "/v2/app/blobs/uploads/", "application/octet-stream", b"");
    let location = answer.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap().trim();
    let target = location.strip_prefix(&format!("http://{host}")).unwrap_or(location);
    let target = format!("{target}&digest={}", Digest::sha256(bytes));
    http(host, "PUT", &target, "application/octet-stream", bytes);
}

fn verify(sandbox: &Sandbox, image: &str, key: &str, flags: &[&str]) -> Outcome {
    let arguments = ["verify", "--key", key, "--insecure-ignore-tlog=true"];
    sandbox.run("cosign3", arguments.iter().chain(flags).chain(&[image]))
}

#[test]
fn cosign_verifies_the_bundles_that_we_hang_on_images() {
    let (registry, sandbox) = (Registry::start(), Sandbox::new());
    let host = registry.host();
    let (source, target) = (format!("{}:v1", root().join("examples/image").display()), format!("{host}/app:v1"));
    sandbox.run("oras", ["cp", "--from-oci-layout", &source, "--to-plain-http", &target]).success();

    // The kinds that cosign verifies without more; P-384 by the hash that cosign expects.
    let subject = Descriptor::new(media_type::OCI_MANIFEST, Digest::parse(IMAGE).unwrap(), 499);
    let annotations: BTreeMap<String, String> = [("team".to_owned(), "<a>&é".to_owned())].into();
    let (mut index, mut keys) = (None, Vec::new());
    for (name, algorithm, hash) in [
        ("p256", KeyAlgorithm::EcdsaP256, None),
        ("p384", KeyAlgorithm::EcdsaP384, Some(Hash::Sha256)),
        ("ed25519", KeyAlgorithm::Ed25519, None),
        ("rsa", KeyAlgorithm::Rsa2048, None),
    ] {
        let key = PrivateKey::generate(algorithm).unwrap();
        keys.push(sandbox.write(&format!("{name}.pub"), key.public_key().to_pem()));
        let bundle = Bundle::sign_image(&subject.digest, &annotations, &key, hash).unwrap().to_json();
        let stored = referrer::image(bundle.as_bytes(), statement::COSIGN_SIGN, &subject, "2026-01-02T03:04:05Z");
        put_blob(&host, referrer::CONFIG);
        put_blob(&host, bundle.as_bytes());
        let digest = &stored.entry.digest;
        http(&host, "PUT", &format!("/v2/app/manifests/{digest}"), media_type::OCI_MANIFEST, &stored.manifest);
        let existing = index.as_deref().map(|bytes: &[u8]| {
            match referrer::parse_fallback(bytes, None, &subject.digest).unwrap() {
                referrer::Fallback::Index(index) => index,
                referrer::Fallback::Alias => panic!("our own index is an alias"),
            }
        });
        let longer = referrer::with_entries(existing.as_ref(), [&stored.entry]).unwrap();
        index = Some(longer.to_json().into_bytes());
    }
    let tag = referrer::fallback_tag(&subject.digest);
    http(&host, "PUT", &format!("/v2/app/manifests/{tag}"), media_type::OCI_INDEX, &index.unwrap());
    for key in &keys {
        verify(&sandbox, &target, key, &["-a", "team=<a>&é"]).success();
    }
    verify(&sandbox, &target, &keys[0], &["-a", "team=other"]).refusal("annotation");
    let stranger =
        sandbox.write("stranger.pub", PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public_key().to_pem());
    verify(&sandbox, &target, &stranger, &[]).refusal("signature");
}
