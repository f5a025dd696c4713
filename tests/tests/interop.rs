//! Proof against what we did not write: signatures cross between us and real cosign 2.5.0, cosign 3.1.1 and skopeo 1.18,
//! in both directions, on a real Distribution registry and on layouts.

use std::fs;
use std::path::Path;

use cosign_core::blocking::Client;
use cosign_core::{
    Call, Code, Digest, ImageRef, KeyAlgorithm, KeyFormat, Policy, PrivateKey, PublicKey, SignOptions,
    TriangulateOptions, VerifyOptions,
};
use cosign_tests::oracle::{Outcome, PASSWORD, Registry, Sandbox, root};
use serde_json::Value;

/// The image under `examples/image`.
const IMAGE: &str = "sha256:ea9afc656d4fdc1d3b6adcc5e9e0afe2f52bf239f37ecd2d0e40628a78614c82";
const IMAGE_HEX: &str = "ea9afc656d4fdc1d3b6adcc5e9e0afe2f52bf239f37ecd2d0e40628a78614c82";

/// A key pair as files, and as our own object.
struct Pair {
    private: String,
    public: String,
    key: PrivateKey,
}

/// One registry, one folder, our client, and the peers' command lines.
struct World {
    registry: Registry,
    sandbox: Sandbox,
    client: Client,
}

/// The peers that sign and verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Cosign2,
    Cosign3,
    Skopeo,
}

const PEERS: [Peer; 3] = [Peer::Cosign2, Peer::Cosign3, Peer::Skopeo];

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Peer::Cosign2 => "cosign2",
            Peer::Cosign3 => "cosign3",
            Peer::Skopeo => "skopeo",
        }
    }
}

impl World {
    fn new() -> World {
        let client = Client::new(cosign_core::ClientOptions::new()).unwrap();
        World { registry: Registry::start(), sandbox: Sandbox::new(), client }
    }

    fn reference(&self, repository: &str) -> String {
        format!("{}/{repository}", self.registry.host())
    }

    /// Copies the example image to `repository:v1` with skopeo.
    fn push(&self, repository: &str) {
        let source = format!("oci:{}:v1", root().join("examples/image").display());
        self.copy(&source, &format!("docker://{}:v1", self.reference(repository)));
        assert_eq!(self.registry.tag(repository, "v1").as_deref(), Some(IMAGE));
    }

    /// Pushes an index `repository:all` of two images; its name, and theirs by digest.
    fn push_index(&self, repository: &str) -> (String, Vec<String>) {
        self.push(repository);
        let base = self.reference(repository);
        let (image, other, index) = (format!("{base}:v1"), format!("{base}:v2"), format!("{base}:all"));
        let label = ["mutate", &image, "--label", "of=another", "-t", &other];
        self.sandbox.run("crane", label).success();
        self.sandbox.run("crane", ["index", "append", "-m", &image, "-m", &other, "-t", &index]).success();
        let manifest = self.sandbox.run("crane", ["manifest", &index]).success();
        let manifest: Value = serde_json::from_str(&manifest.stdout).unwrap();
        let entries = manifest["manifests"].as_array().unwrap();
        let children: Vec<String> =
            entries.iter().map(|entry| format!("{base}@{}", entry["digest"].as_str().unwrap())).collect();
        assert_eq!(children.len(), 2);
        (index, children)
    }

    fn copy(&self, from: &str, to: &str) {
        let policy = self.sandbox.arg("accept.json");
        let flags = ["--policy", &policy, "copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
        // What it copies elsewhere goes without the signatures beside it: those are copied as images, by their tag.
        let tail = ["--remove-signatures", "--preserve-digests", from, to];
        self.sandbox.run("skopeo", flags.iter().chain(&tail)).success();
    }

    // --- keys ---------------------------------------------------------------------------------------------------------

    /// A pair that we made, written to files for the peers.
    fn our_pair(&self, name: &str, algorithm: KeyAlgorithm, format: KeyFormat) -> Pair {
        let key = PrivateKey::generate(algorithm).unwrap();
        self.written(name, key, format)
    }

    fn written(&self, name: &str, key: PrivateKey, format: KeyFormat) -> Pair {
        let pem = key.to_pem(PASSWORD.as_bytes(), format).unwrap();
        let private = self.sandbox.write(&format!("{name}.key"), pem.as_bytes());
        let public = self.sandbox.write(&format!("{name}.pub"), key.public_key().to_pem());
        Pair { private, public, key }
    }

    /// A pair that a peer made.
    fn their_pair(&self, peer: Peer, name: &str) -> Pair {
        let prefix = self.sandbox.arg(name);
        let private = match peer {
            Peer::Skopeo => {
                let passphrase = self.sandbox.arg("passphrase");
                let arguments = ["generate-sigstore-key", "--output-prefix", &prefix, "--passphrase-file", &passphrase];
                self.sandbox.run("skopeo", arguments).success();
                format!("{prefix}.private")
            }
            cosign => {
                self.sandbox.run(cosign.name(), ["generate-key-pair", "--output-key-prefix", &prefix]).success();
                format!("{prefix}.key")
            }
        };
        read_pair(private, format!("{prefix}.pub"))
    }

    /// An unencrypted PEM that a peer's `import-key-pair` turned into its own key file.
    fn imported_by_cosign(&self, peer: Peer, pem: &Path, name: &str) -> Pair {
        let prefix = self.sandbox.arg(name);
        let pem = pem.to_str().unwrap();
        let arguments = ["import-key-pair", "--key", pem, "--output-key-prefix", &prefix];
        self.sandbox.run(peer.name(), arguments).success();
        read_pair(format!("{prefix}.key"), format!("{prefix}.pub"))
    }

    // --- signing ------------------------------------------------------------------------------------------------------

    fn we_sign(&self, image: &str, key: &PrivateKey, annotations: &[(&str, &str)]) -> cosign_core::Signed {
        let annotations = annotations.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let options = SignOptions { annotations, ..SignOptions::default() };
        self.client.sign(&reference(image), key, &options, &Call::new()).unwrap()
    }

    /// A peer signs what is at `repository:v1`; skopeo does that by copying the image there again.
    fn they_sign(&self, peer: Peer, repository: &str, pair: &Pair, annotations: &[(&str, &str)]) {
        let image = format!("{}:v1", self.reference(repository));
        match peer {
            Peer::Skopeo => {
                assert!(annotations.is_empty(), "skopeo signs no annotations");
                let source = format!("oci:{}:v1", root().join("examples/image").display());
                let (policy, registries) = (self.sandbox.arg("accept.json"), self.sandbox.arg("registries.d"));
                let passphrase = self.sandbox.arg("passphrase");
                let arguments = [
                    "--policy",
                    &policy,
                    "--registries.d",
                    &registries,
                    "copy",
                    "--dest-tls-verify=false",
                    "--sign-by-sigstore-private-key",
                    &pair.private,
                    "--sign-passphrase-file",
                    &passphrase,
                    &source,
                    &format!("docker://{image}"),
                ];
                self.sandbox.run("skopeo", arguments).success();
            }
            cosign => {
                self.cosign_sign(cosign, &image, pair, annotations, &[]).success();
            }
        }
    }

    fn cosign_sign(
        &self,
        peer: Peer,
        image: &str,
        pair: &Pair,
        annotations: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Outcome {
        let mut arguments = strings(["sign", "--key", &pair.private, "--tlog-upload=false", "-y"]);
        if peer == Peer::Cosign3 {
            arguments.extend(strings(["--new-bundle-format=false", "--use-signing-config=false"]));
        }
        for (key, value) in annotations {
            arguments.extend(["-a".to_owned(), format!("{key}={value}")]);
        }
        arguments.push(image.to_owned());
        self.sandbox.run_with(peer.name(), arguments, environment)
    }

    // --- verifying ----------------------------------------------------------------------------------------------------

    fn we_verify(&self, image: &str, key: &PublicKey) -> usize {
        self.we_verify_policy(image, &Policy::new().with_key(key.clone()))
    }

    #[track_caller]
    fn we_verify_policy(&self, image: &str, policy: &Policy) -> usize {
        let verified = self.client.verify(&reference(image), policy, &VerifyOptions::default(), &Call::new());
        verified.unwrap_or_else(|error| panic!("we refuse {image}: {} {}", error.message(), error.json())).count()
    }

    #[track_caller]
    fn we_refuse(&self, image: &str, key: &PublicKey) -> Code {
        let policy = Policy::new().with_key(key.clone());
        let verdict = self.client.verify(&reference(image), &policy, &VerifyOptions::default(), &Call::new());
        verdict.map(|verified| verified.json()).expect_err("a refusal").code()
    }

    fn cosign_verify(&self, peer: Peer, target: &[&str], public: &str) -> Outcome {
        let mut arguments = strings(["verify", "--key", public, "--insecure-ignore-tlog=true"]);
        if peer == Peer::Cosign3 {
            arguments.push("--new-bundle-format=false".to_owned());
        }
        arguments.extend(strings(target.iter().copied()));
        self.sandbox.run(peer.name(), arguments)
    }

    /// skopeo copies `image` under a policy that demands a signature by this key.
    fn skopeo_verify(&self, image: &str, public: &str, flags: &[&str]) -> Outcome {
        let policy = format!(
            r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{"{}":[{{"type":"sigstoreSigned",
            "keyPath":"{public}","signedIdentity":{{"type":"matchRepository"}}}}]}}}}}}"#,
            self.registry.host()
        );
        let policy = self.sandbox.write("policy.json", policy);
        let registries = self.sandbox.arg("registries.d");
        let copied = self.sandbox.path("copied");
        let _ = fs::remove_dir_all(&copied);
        let mut arguments = strings(["--policy", &policy, "--registries.d", &registries, "copy"]);
        // The copy itself is thrown away; only whether the policy lets the image pass matters.
        arguments.extend(strings(["--src-tls-verify=false", "--remove-signatures"]));
        arguments.extend(strings(flags.iter().copied()));
        arguments.extend([format!("docker://{image}"), format!("dir:{}", copied.display())]);
        self.sandbox.run("skopeo", arguments)
    }

    /// Every peer accepts `image`, and each cosign counts `count` signatures by this key.
    #[track_caller]
    fn all_verify(&self, image: &str, public: &str, count: usize) {
        for peer in [Peer::Cosign2, Peer::Cosign3] {
            let outcome = self.cosign_verify(peer, &[image], public).success();
            assert_eq!(payloads(&outcome).len(), count, "{outcome:#?}");
        }
        self.skopeo_verify(image, public, &[]).success();
    }

    /// Every peer refuses `image` for this key, and says that it looked at signatures.
    #[track_caller]
    fn all_refuse(&self, image: &str, public: &str) {
        for peer in [Peer::Cosign2, Peer::Cosign3] {
            self.cosign_verify(peer, &[image], public).refusal("no matching signatures");
        }
        self.skopeo_verify(image, public, &[]).refusal("cryptographic signature verification failed");
    }

    // --- what is stored -----------------------------------------------------------------------------------------------

    /// The signature image of the example image: manifest, config and payloads, exact.
    fn stored(&self, repository: &str) -> Stored {
        let digest = self.registry.tag(repository, &format!("sha256-{IMAGE_HEX}.sig")).expect("a signature image");
        let manifest = String::from_utf8(self.registry.blob(&digest)).unwrap();
        let parsed: Value = serde_json::from_str(&manifest).unwrap();
        let blob =
            |descriptor: &Value| String::from_utf8(self.registry.blob(descriptor["digest"].as_str().unwrap())).unwrap();
        let layers = parsed["layers"].as_array().unwrap();
        Stored {
            config: blob(&parsed["config"]),
            payloads: layers.iter().map(blob).collect(),
            signatures: layers
                .iter()
                .map(|layer| layer["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap().to_owned())
                .collect(),
            manifest,
        }
    }

    /// Removes the signature image, so that another signer starts from nothing under the same name.
    fn unsign(&self, repository: &str) {
        let tag = format!("sha256-{IMAGE_HEX}.sig");
        let digest = self.registry.tag(repository, &tag).expect("a signature image");
        self.sandbox.run("crane", ["delete", &format!("{}@{digest}", self.reference(repository))]).success();
        assert_eq!(self.registry.tag(repository, &tag), None);
    }
}

struct Stored {
    manifest: String,
    config: String,
    payloads: Vec<String>,
    signatures: Vec<String>,
}

impl Stored {
    /// The manifest with the signatures, which differ by nature, replaced.
    fn masked(&self) -> String {
        self.signatures.iter().fold(self.manifest.clone(), |text, signature| text.replace(signature, "SIGNATURE"))
    }
}

fn strings<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn reference(image: &str) -> ImageRef {
    ImageRef::parse(image).unwrap()
}

fn read_pair(private: String, public: String) -> Pair {
    let key = PrivateKey::from_pem(&fs::read(&private).unwrap(), Some(PASSWORD.as_bytes())).unwrap();
    assert_eq!(key.public_key(), PublicKey::from_pem(&fs::read(&public).unwrap()).unwrap());
    Pair { private, public, key }
}

/// What `cosign verify` printed: the payload of each signature that it accepted.
#[track_caller]
fn payloads(outcome: &Outcome) -> Vec<Value> {
    let text = outcome.stdout.trim();
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON list ({error}): {outcome:#?}"))
}

fn copy_layout(to: &Path) {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to.join(entry.file_name()));
            } else {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }
    copy(&root().join("examples/image"), to);
    let _ = fs::remove_file(to.join("README.md"));
}

// --- keys -------------------------------------------------------------------------------------------------------------

#[test]
fn keys_that_we_write_are_used_by_every_peer() {
    let world = World::new();
    let formats = [("sigstore", KeyFormat::Sigstore), ("cosign", KeyFormat::Cosign)];
    for (name, format) in formats {
        let pair = world.our_pair(name, KeyAlgorithm::EcdsaP256, format);
        for peer in PEERS {
            let repository = format!("ours/{name}-{}", peer.name());
            world.push(&repository);
            world.they_sign(peer, &repository, &pair, &[]);
            let image = format!("{}:v1", world.reference(&repository));
            assert_eq!(world.we_verify(&image, &pair.key.public_key()), 1, "{peer:?} with our {name} key");
        }
    }
}

#[test]
fn keys_that_peers_write_are_used_by_us() {
    let world = World::new();
    for maker in PEERS {
        let pair = world.their_pair(maker, maker.name());
        let repository = format!("theirs/{}", maker.name());
        world.push(&repository);
        let image = format!("{}:v1", world.reference(&repository));
        world.we_sign(&image, &pair.key, &[]);
        world.all_verify(&image, &pair.public, 1);
    }
}

#[test]
fn a_public_key_printed_by_cosign_is_ours() {
    let world = World::new();
    let pair = world.our_pair("pair", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    for peer in [Peer::Cosign2, Peer::Cosign3] {
        let printed = world.sandbox.run(peer.name(), ["public-key", "--key", &pair.private]).success().stdout;
        assert_eq!(printed, pair.key.public_key().to_pem(), "{peer:?}");
    }
}

// --- ours, verified by them -------------------------------------------------------------------------------------------

#[test]
fn one_signature_of_ours_is_verified_by_every_peer_by_tag_and_by_digest() {
    let world = World::new();
    let pair = world.our_pair("pair", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    let stranger = world.our_pair("stranger", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    for (repository, suffix) in [("by/tag", ":v1".to_owned()), ("by/digest", format!("@{IMAGE}"))] {
        world.push(repository);
        let image = format!("{}{suffix}", world.reference(repository));
        let signed = world.we_sign(&image, &pair.key, &[]);
        assert_eq!(signed.digest().to_string(), IMAGE);
        for image in [format!("{}:v1", world.reference(repository)), format!("{}@{IMAGE}", world.reference(repository))]
        {
            world.all_verify(&image, &pair.public, 1);
            world.all_refuse(&image, &stranger.public);
            assert_eq!(world.we_verify(&image, &pair.key.public_key()), 1);
            assert_eq!(world.we_refuse(&image, &stranger.key.public_key()), Code::NoSignatureMatches);
        }
    }
}

#[test]
fn two_signatures_of_two_keys_are_verified_by_every_peer() {
    let world = World::new();
    let first = world.our_pair("first", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    let second = world.our_pair("second", KeyAlgorithm::EcdsaP256, KeyFormat::Cosign);
    world.push("two");
    let image = format!("{}:v1", world.reference("two"));
    world.we_sign(&image, &first.key, &[]);
    world.we_sign(&image, &second.key, &[]);
    assert!(!world.we_sign(&image, &second.key, &[]).added(), "the same signature again changes nothing");
    world.all_verify(&image, &first.public, 1);
    world.all_verify(&image, &second.public, 1);
    assert_eq!(world.stored("two").payloads.len(), 2);
}

#[test]
fn twenty_signatures_are_verified_by_every_peer() {
    let world = World::new();
    let pair = world.our_pair("pair", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    world.push("twenty");
    let image = format!("{}:v1", world.reference("twenty"));
    for number in 0..20 {
        assert!(world.we_sign(&image, &pair.key, &[("number", &number.to_string())]).added());
    }
    world.all_verify(&image, &pair.public, 20);
    assert_eq!(world.we_verify(&image, &pair.key.public_key()), 20);
}

#[test]
fn annotations_of_ours_are_read_and_demanded_by_cosign() {
    let world = World::new();
    let pair = world.our_pair("pair", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    world.push("annotated");
    let image = format!("{}:v1", world.reference("annotated"));
    world.we_sign(&image, &pair.key, &[("env", "prod"), ("odd", "<é & \u{2028}>\"\\")]);
    for peer in [Peer::Cosign2, Peer::Cosign3] {
        let outcome = world.cosign_verify(peer, &["-a", "env=prod", &image], &pair.public).success();
        let listed = payloads(&outcome);
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0]["optional"]["odd"], "<é & \u{2028}>\"\\");
        world.cosign_verify(peer, &["-a", "env=test", &image], &pair.public).refusal("missing or incorrect annotation");
    }
    world.skopeo_verify(&image, &pair.public, &[]).success();
}

#[test]
fn an_index_and_its_image_signed_by_us_are_verified_by_every_peer() {
    let world = World::new();
    let pair = world.our_pair("pair", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    world.push("multi");
    let (image, index) = (world.reference("multi") + ":v1", world.reference("multi") + ":all");
    world.sandbox.run("crane", ["index", "append", "-m", &image, "-t", &index]).success();
    let signed = world.we_sign(&index, &pair.key, &[]);
    assert_ne!(signed.digest().to_string(), IMAGE, "the index itself is signed");
    world.we_sign(&image, &pair.key, &[]);
    for peer in [Peer::Cosign2, Peer::Cosign3] {
        assert_eq!(payloads(&world.cosign_verify(peer, &[&index], &pair.public).success()).len(), 1);
    }
    world.skopeo_verify(&index, &pair.public, &["--all"]).success();
    assert_eq!(world.we_verify(&index, &pair.key.public_key()), 1);
}

/// `cosign sign -r`: the index and each image it leads to, each verified for itself.
#[test]
fn an_index_and_its_children_signed_by_us_at_once_are_verified_by_every_peer() {
    let world = World::new();
    let pair = world.our_pair("pair", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    let (index, children) = world.push_index("multi");
    let options = SignOptions { recursive: true, ..SignOptions::default() };
    let signed = world.client.sign(&reference(&index), &pair.key, &options, &Call::new()).unwrap();
    assert_eq!(signed.signatures().len(), 1 + children.len());
    for image in children.iter().chain([&index]) {
        for peer in [Peer::Cosign2, Peer::Cosign3] {
            assert_eq!(payloads(&world.cosign_verify(peer, &[image], &pair.public).success()).len(), 1);
        }
        assert_eq!(world.we_verify(image, &pair.key.public_key()), 1);
    }
    world.skopeo_verify(&index, &pair.public, &["--all"]).success();
}

// --- theirs, verified by us -------------------------------------------------------------------------------------------

#[test]
fn signatures_of_every_peer_on_one_image_are_verified_by_us() {
    let world = World::new();
    world.push("mixed");
    let image = format!("{}:v1", world.reference("mixed"));
    let pairs = PEERS.map(|peer| world.their_pair(peer, peer.name()));
    let stranger = world.our_pair("stranger", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    for (peer, pair) in PEERS.into_iter().zip(&pairs) {
        world.they_sign(peer, "mixed", pair, &[]);
    }
    world.we_sign(&image, &stranger.key, &[]);
    let mut all = Policy::new().with_key(stranger.key.public_key());
    for pair in &pairs {
        assert_eq!(world.we_verify(&image, &pair.key.public_key()), 1);
        assert_eq!(world.we_verify(&format!("{}@{IMAGE}", world.reference("mixed")), &pair.key.public_key()), 1);
        world.all_verify(&image, &pair.public, 1);
        all.add_key(pair.key.public_key());
    }
    all.require_all_keys();
    assert_eq!(world.we_verify_policy(&image, &all), 4);
    let nobody = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public_key();
    assert_eq!(world.we_refuse(&image, &nobody), Code::NoSignatureMatches);
}

#[test]
fn twenty_signatures_of_cosign_are_verified_by_us() {
    let world = World::new();
    let pair = world.their_pair(Peer::Cosign2, "pair");
    world.push("twenty");
    let image = format!("{}:v1", world.reference("twenty"));
    for number in 0..20 {
        let peer = if number % 2 == 0 { Peer::Cosign2 } else { Peer::Cosign3 };
        world.they_sign(peer, "twenty", &pair, &[("number", &number.to_string())]);
    }
    assert_eq!(world.we_verify(&image, &pair.key.public_key()), 20);
    let mut policy = Policy::new().with_key(pair.key.public_key());
    policy.require_annotation("number", "7").unwrap();
    assert_eq!(world.we_verify_policy(&image, &policy), 1);
}

#[test]
fn an_index_signed_by_cosign_is_verified_by_us() {
    let world = World::new();
    let pair = world.their_pair(Peer::Cosign2, "pair");
    world.push("multi");
    let (image, index) = (world.reference("multi") + ":v1", world.reference("multi") + ":all");
    world.sandbox.run("crane", ["index", "append", "-m", &image, "-t", &index]).success();
    world.cosign_sign(Peer::Cosign2, &index, &pair, &[], &[]).success();
    assert_eq!(world.we_verify(&index, &pair.key.public_key()), 1);
    assert_eq!(world.we_refuse(&image, &pair.key.public_key()), Code::NoSignatures);
}

#[test]
fn what_cosign_signs_recursively_is_verified_by_us_and_is_what_we_sign() {
    let world = World::new();
    for peer in [Peer::Cosign2, Peer::Cosign3] {
        let pair = world.their_pair(peer, peer.name());
        let (index, children) = world.push_index(peer.name());
        let mut arguments = strings(["sign", "-r", "--key", &pair.private, "--tlog-upload=false", "-y"]);
        if peer == Peer::Cosign3 {
            arguments.extend(strings(["--new-bundle-format=false", "--use-signing-config=false"]));
        }
        arguments.push(index.clone());
        world.sandbox.run(peer.name(), arguments).success();
        for image in children.iter().chain([&index]) {
            assert_eq!(world.we_verify(image, &pair.key.public_key()), 1, "{peer:?} {image}");
        }
        // Signed again by us nothing is new: it is the same payload for the same images.
        let options = SignOptions { recursive: true, ..SignOptions::default() };
        let signed = world.client.sign(&reference(&index), &pair.key, &options, &Call::new()).unwrap();
        assert_eq!((signed.signatures().len(), signed.added()), (1 + children.len(), false), "{}", signed.json());
    }
}

/// Every kind of key that cosign imports: it signs, we verify; we import the same key, sign, and cosign verifies.
#[test]
fn every_kind_of_key_crosses_in_both_directions() {
    let world = World::new();
    let keys = root().join("tests/vectors/keys/import");
    let kinds = [
        ("p256", KeyAlgorithm::EcdsaP256, Some("sha256")),
        ("p384", KeyAlgorithm::EcdsaP384, Some("sha384")),
        ("p521", KeyAlgorithm::EcdsaP521, Some("sha512")),
        ("ed25519", KeyAlgorithm::Ed25519, None),
        ("rsa2048", KeyAlgorithm::Rsa2048, Some("sha256")),
        ("rsa3072", KeyAlgorithm::Rsa3072, Some("sha256")),
        ("rsa4096", KeyAlgorithm::Rsa4096, Some("sha256")),
    ];
    for (name, algorithm, hash) in kinds {
        let pem = keys.join(format!("{name}.pkcs8.pem"));
        let imported = PrivateKey::import_pem(&fs::read(&pem).unwrap()).unwrap();
        assert_eq!(imported.algorithm(), algorithm);
        let ours = world.written(&format!("ours-{name}"), imported, KeyFormat::Sigstore);
        // Debian's build of 2.5.0 imports nothing but Ed25519; it uses what 3.1.1 imported.
        let theirs = world.imported_by_cosign(Peer::Cosign3, &pem, &format!("theirs-{name}"));
        assert_eq!(theirs.key.public_key(), ours.key.public_key());
        for peer in [Peer::Cosign2, Peer::Cosign3] {
            let (signed_by_them, signed_by_us) =
                (format!("{name}/{}", peer.name()), format!("{name}/ours-{}", peer.name()));
            world.push(&signed_by_them);
            // Once with their key file, once with ours: the second is a duplicate or another signature.
            world.they_sign(peer, &signed_by_them, &theirs, &[]);
            world.they_sign(peer, &signed_by_them, &ours, &[("with", "our key file")]);
            let image = format!("{}:v1", world.reference(&signed_by_them));
            assert_eq!(world.we_verify(&image, &ours.key.public_key()), 2, "{name} by {peer:?}");

            world.push(&signed_by_us);
            let image = format!("{}:v1", world.reference(&signed_by_us));
            world.we_sign(&image, &theirs.key, &[]);
            let flag = hash.map(|hash| format!("--signature-digest-algorithm={hash}"));
            let mut target: Vec<&str> = flag.iter().map(String::as_str).collect();
            target.push(&image);
            let outcome = world.cosign_verify(peer, &target, &ours.public).success();
            assert_eq!(payloads(&outcome).len(), 1, "{name} by us");
        }
    }
}

/// Until bundles are read, an image that has only them is neither verified nor called unsigned.
#[test]
fn a_bundle_of_cosign_and_a_legacy_signature_beside_it_both_count() {
    let world = World::new();
    let (pair, other) = (world.their_pair(Peer::Cosign3, "pair"), world.their_pair(Peer::Cosign3, "other"));
    world.push("bundled");
    let image = format!("{}:v1", world.reference("bundled"));
    assert_eq!(world.we_refuse(&image, &pair.key.public_key()), Code::NoSignatures);
    let arguments = ["sign", "--key", &pair.private, "--use-signing-config=false", "--tlog-upload=false", "-y", &image];
    world.sandbox.run("cosign3", arguments).success();
    assert_eq!(world.we_verify(&image, &pair.key.public_key()), 1);
    assert_eq!(world.we_refuse(&image, &other.key.public_key()), Code::NoSignatureMatches);
    // A legacy signature beside the bundle is found, where cosign 3 itself would not look at it.
    world.we_sign(&image, &other.key, &[]);
    assert_eq!(world.we_verify(&image, &other.key.public_key()), 1);
    let mut both = Policy::new().with_key(pair.key.public_key()).with_key(other.key.public_key());
    both.require_all_keys();
    assert_eq!(world.we_verify_policy(&image, &both), 2);
}

#[test]
fn triangulate_names_the_same_place_as_cosign() {
    let world = World::new();
    world.push("where/is/it");
    for image in ["where/is/it:v1".to_owned(), format!("where/is/it@{IMAGE}")].map(|name| world.reference(&name)) {
        let ours = world.client.triangulate(&reference(&image), &TriangulateOptions::default(), &Call::new()).unwrap();
        for peer in [Peer::Cosign2, Peer::Cosign3] {
            let theirs = world.sandbox.run(peer.name(), ["triangulate", &image]).success().stdout;
            assert_eq!(ours, theirs.trim());
        }
    }
}

// --- bytes ------------------------------------------------------------------------------------------------------------

/// For the same input the manifest, the config and the payloads are cosign's, byte for byte. RSA signatures are
/// deterministic, so with an RSA key the signatures are the same, too.
#[test]
fn the_stored_bytes_are_those_of_real_cosign() {
    let world = World::new();
    let keys = root().join("tests/vectors/keys/import");
    let rsa = PrivateKey::import_pem(&fs::read(keys.join("rsa2048.pkcs8.pem")).unwrap()).unwrap();
    let rsa = world.written("rsa", rsa, KeyFormat::Sigstore);
    let p256 = world.our_pair("p256", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    type Annotations<'a> = &'a [(&'a str, &'a str)];
    let odd: Annotations =
        &[("z", "<x>&y"), ("a", "é \u{2028}\u{2029}"), ("A", "\u{7f}\u{1f600}"), ("q", "back\\slash")];
    let cases: [(&str, Vec<(&Pair, Annotations)>); 4] = [
        ("one", vec![(&p256, &[])]),
        ("annotated", vec![(&rsa, odd)]),
        ("three", vec![(&p256, &[]), (&rsa, &[]), (&p256, &[("x", "y")])]),
        ("rsa", vec![(&rsa, &[]), (&rsa, &[("n", "2")])]),
    ];
    for docker in [false, true] {
        for (name, signers) in &cases {
            let repository = format!("bytes/{name}{}", if docker { "-docker" } else { "" });
            world.push(&repository);
            let image = format!("{}:v1", world.reference(&repository));
            for (pair, annotations) in signers {
                let options = SignOptions {
                    annotations: annotations.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
                    docker_media_types: docker,
                    ..SignOptions::default()
                };
                world.client.sign(&reference(&image), &pair.key, &options, &Call::new()).unwrap();
            }
            let ours = world.stored(&repository);
            for peer in [Peer::Cosign2, Peer::Cosign3] {
                world.unsign(&repository);
                let environment: &[(&str, &str)] = if docker { &[("COSIGN_DOCKER_MEDIA_TYPES", "1")] } else { &[] };
                for (pair, annotations) in signers {
                    world.cosign_sign(peer, &image, pair, annotations, environment).success();
                }
                let theirs = world.stored(&repository);
                assert_eq!(ours.payloads, theirs.payloads, "{name}, {peer:?}");
                assert_eq!(ours.config, theirs.config, "{name}, {peer:?}");
                assert_eq!(ours.masked(), theirs.masked(), "{name}, {peer:?}");
                if *name == "rsa" || *name == "annotated" {
                    assert_eq!(ours.manifest, theirs.manifest, "{name}, {peer:?}");
                }
            }
        }
    }
}

// --- layouts ----------------------------------------------------------------------------------------------------------

#[test]
fn a_layout_signed_by_us_is_verified_by_cosign() {
    let world = World::new();
    let pair = world.our_pair("pair", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    let stranger = world.our_pair("stranger", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    let layout = world.sandbox.path("layout");
    copy_layout(&layout);
    let path = layout.to_str().unwrap();
    for count in 1..=2 {
        world.we_sign(&format!("oci:{path}:v1"), &pair.key, &[("number", &count.to_string())]);
        for peer in [Peer::Cosign2, Peer::Cosign3] {
            let outcome = world.cosign_verify(peer, &["--local-image", path], &pair.public).success();
            assert_eq!(payloads(&outcome).len(), count, "{outcome:#?}");
            world.cosign_verify(peer, &["--local-image", path], &stranger.public).refusal("no matching signatures");
        }
    }
}

#[test]
fn a_layout_signed_by_us_goes_to_a_registry_with_skopeo_and_oras() {
    let world = World::new();
    let pair = world.our_pair("pair", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    let layout = world.sandbox.path("layout");
    copy_layout(&layout);
    let path = layout.to_str().unwrap();
    world.we_sign(&format!("oci:{path}:v1"), &pair.key, &[]);
    let signature = format!("sha256-{IMAGE_HEX}.sig");

    for tag in ["v1", &signature] {
        world.copy(&format!("oci:{path}:{tag}"), &format!("docker://{}:{tag}", world.reference("skopeo")));
        let (from, to) = (format!("{path}:{tag}"), format!("{}:{tag}", world.reference("oras")));
        let arguments = ["copy", "--from-oci-layout", &from, "--to-plain-http", &to];
        world.sandbox.run("oras", arguments).success();
    }
    let listed = world.sandbox.run("oras", ["repo", "tags", "--oci-layout", path]).success().stdout;
    assert!(listed.contains(&signature), "{listed}");
    for repository in ["skopeo", "oras"] {
        let image = format!("{}:v1", world.reference(repository));
        for peer in [Peer::Cosign2, Peer::Cosign3] {
            let outcome = world.cosign_verify(peer, &[&image], &pair.public).success();
            assert_eq!(payloads(&outcome).len(), 1);
        }
        assert_eq!(world.we_verify(&image, &pair.key.public_key()), 1);
    }
}

/// skopeo demands that the payload names the repository: sign with that identity, in the layout, and copy both.
#[test]
fn a_layout_signed_by_us_for_a_repository_satisfies_skopeos_policy_there() {
    let world = World::new();
    let pair = world.our_pair("pair", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    let stranger = world.our_pair("stranger", KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
    let layout = world.sandbox.path("layout");
    copy_layout(&layout);
    let path = layout.to_str().unwrap();
    let options = SignOptions { identity: Some(world.reference("promoted")), ..SignOptions::default() };
    let local = reference(&format!("oci:{path}:v1"));
    world.client.sign(&local, &pair.key, &options, &Call::new()).unwrap();
    for tag in ["v1".to_owned(), format!("sha256-{IMAGE_HEX}.sig")] {
        world.copy(&format!("oci:{path}:{tag}"), &format!("docker://{}:{tag}", world.reference("promoted")));
    }
    let image = format!("{}:v1", world.reference("promoted"));
    world.all_verify(&image, &pair.public, 1);
    world.all_refuse(&image, &stranger.public);
}

#[test]
fn layouts_written_by_cosign_save_are_verified_and_signed_by_us() {
    let world = World::new();
    for peer in [Peer::Cosign2, Peer::Cosign3] {
        let pair = world.their_pair(peer, &format!("pair-{}", peer.name()));
        let repository = format!("saved/{}", peer.name());
        world.push(&repository);
        world.they_sign(peer, &repository, &pair, &[]);
        let path = world.sandbox.arg(&format!("saved-{}", peer.name()));
        let image = format!("{}:v1", world.reference(&repository));
        world.sandbox.run(peer.name(), ["save", "--dir", &path, &image]).success();
        let local = format!("oci:{path}");
        assert_eq!(world.we_verify(&local, &pair.key.public_key()), 1, "{peer:?}");
        assert_eq!(world.we_verify(&format!("{local}@{IMAGE}"), &pair.key.public_key()), 1, "{peer:?}");

        // Ours beside theirs: both cosigns still read the layout.
        let ours = world.our_pair(&format!("ours-{}", peer.name()), KeyAlgorithm::EcdsaP256, KeyFormat::Sigstore);
        world.we_sign(&local, &ours.key, &[]);
        for reader in [Peer::Cosign2, Peer::Cosign3] {
            for public in [&pair.public, &ours.public] {
                let outcome = world.cosign_verify(reader, &["--local-image", &path], public).success();
                assert_eq!(payloads(&outcome).len(), 1);
            }
        }
    }
}

#[test]
fn layouts_copied_by_skopeo_and_oras_are_verified_by_us() {
    let world = World::new();
    let pair = world.their_pair(Peer::Cosign2, "pair");
    world.push("source");
    world.they_sign(Peer::Cosign2, "source", &pair, &[]);
    let (by_skopeo, by_oras) = (world.sandbox.arg("by-skopeo"), world.sandbox.arg("by-oras"));
    for tag in ["v1".to_owned(), format!("sha256-{IMAGE_HEX}.sig")] {
        let from = format!("{}:{tag}", world.reference("source"));
        world.copy(&format!("docker://{from}"), &format!("oci:{by_skopeo}:{tag}"));
        let to = format!("{by_oras}:{tag}");
        world.sandbox.run("oras", ["copy", "--from-plain-http", &from, "--to-oci-layout", &to]).success();
    }
    for path in [by_skopeo, by_oras] {
        assert_eq!(world.we_verify(&format!("oci:{path}:v1"), &pair.key.public_key()), 1, "{path}");
        let stranger = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public_key();
        assert_eq!(world.we_refuse(&format!("oci:{path}:v1"), &stranger), Code::NoSignatureMatches);
    }
}

// --- committed vectors ------------------------------------------------------------------------------------------------

/// Signatures made earlier by skopeo and both cosigns, as `tests/vectors/README.md` lists them.
#[test]
fn the_committed_vectors_verify_with_their_keys_and_no_other() {
    let vectors = root().join("tests/vectors");
    let key = |name: &str| PublicKey::from_pem(&fs::read(vectors.join(format!("keys/{name}.pub"))).unwrap()).unwrap();
    let names = ["sigstore-n65536", "cosign-n32768", "sigstore-n32768", "cosign-n65536"];
    let cases: [(&str, &[usize; 4]); 4] = [
        ("sig-1", &[1, 0, 0, 0]),
        ("sig-2", &[1, 1, 0, 0]),
        ("cosign-2.5.0", &[1, 2, 0, 0]),
        ("cosign-3.1.1-legacy", &[1, 0, 0, 0]),
    ];
    let client = Client::new(cosign_core::ClientOptions::new()).unwrap();
    for (folder, counts) in cases {
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().join("layout");
        copy_layout(&layout);
        let source = vectors.join(folder);
        let mut files: Vec<_> = fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        for file in &files {
            let bytes = fs::read(file).unwrap();
            fs::write(layout.join("blobs/sha256").join(Digest::sha256(&bytes).hex()), bytes).unwrap();
        }
        let manifest = fs::read(source.join("manifest.json")).unwrap();
        let mut index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        index["manifests"].as_array_mut().unwrap().push(serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": Digest::sha256(&manifest).to_string(),
            "size": manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": format!("sha256-{IMAGE_HEX}.sig")},
        }));
        fs::write(layout.join("index.json"), index.to_string()).unwrap();

        let image = reference(&format!("oci:{}:v1", layout.display()));
        for (name, count) in names.iter().zip(counts) {
            let policy = Policy::new().with_key(key(name));
            match client.verify(&image, &policy, &VerifyOptions::default(), &Call::new()) {
                Ok(verified) => assert_eq!(verified.count(), *count, "{folder} with {name}"),
                Err(error) => {
                    assert_eq!(*count, 0, "{folder} with {name}: {}", error.json());
                    assert_eq!(error.code(), Code::NoSignatureMatches);
                }
            }
        }
    }
}
