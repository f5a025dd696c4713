//! tree and doctor: everything that hangs on an image is listed, whoever put it there; what doctor says of other tools is
//! what they do; and what could not be read is never told as absent.

use std::collections::BTreeMap;
use std::time::Duration;

use cosign_core::blocking::Client;
use cosign_core::client::{Diagnosis, Tree};
use cosign_core::payload::simple_signing::PayloadForm;
use cosign_core::{
    Call, ClientOptions, Code, Format, ImageRef, KeyAlgorithm, Policy, PrivateKey, SignOptions, VerifyOptions,
};
use cosign_tests::oracle::{self, Sandbox, root};
use cosign_tests::registry::{Fault, OCI_INDEX, OCI_MANIFEST, Referrers, Registry, digest};

const NOTATION: &str = "application/vnd.cncf.notary.signature";
const COSIGN_OCI11: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

fn client() -> Client {
    let mut options = ClientOptions::new();
    options.set_retry_base(Duration::ZERO);
    Client::new(options).unwrap()
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()
}

fn image(registry: &Registry) -> ImageRef {
    format!("{}/team/app:v1", registry.host()).parse().unwrap()
}

fn tree(client: &Client, image: &ImageRef) -> Tree {
    client.tree(image, &Call::new()).unwrap()
}

fn doctor(client: &Client, image: &ImageRef) -> Diagnosis {
    client.doctor(image, &Call::new()).unwrap()
}

/// How many of each kind.
fn kinds(tree: &Tree) -> BTreeMap<&str, usize> {
    let mut kinds = BTreeMap::new();
    for attachment in &tree.attachments {
        *kinds.entry(attachment.kind).or_default() += 1;
    }
    kinds
}

/// A manifest of `artifact` with one layer, which refers to `subject` if there is one.
fn artifact(registry: &Registry, artifact: &str, layer_type: &str, content: &str, subject: Option<&str>) -> String {
    let (config, layer) = (registry.add_blob("team/app", b"{}"), registry.add_blob("team/app", content.as_bytes()));
    let subject = subject.map_or_else(String::new, |subject| {
        format!(r#","subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":1}}"#)
    });
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","artifactType":"{artifact}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"{layer_type}","digest":"{layer}","size":{}}}]{subject}}}"#,
        content.len()
    )
}

/// Adds a referrer, and where there is no list of them an entry of the fallback index.
fn refer(registry: &Registry, subject: &str, manifest: &str) {
    let added = registry.add_untagged("team/app", OCI_MANIFEST, manifest.as_bytes());
    if registry.switches().referrers == Referrers::On {
        return;
    }
    let tag = format!("sha256-{}", subject.strip_prefix("sha256:").unwrap());
    let entry = format!(r#"{{"mediaType":"{OCI_MANIFEST}","size":{},"digest":"{added}"}}"#, manifest.len());
    let index = match registry.manifest("team/app", &tag) {
        Some((_, bytes)) => {
            String::from_utf8(bytes).unwrap().replacen("\"manifests\":[", &format!("\"manifests\":[{entry},"), 1)
        }
        None => format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{entry}]}}"#),
    };
    registry.add_manifest("team/app", &tag, OCI_INDEX, index.as_bytes());
}

/// An image with one of everything.
fn everything(referrers: Referrers) -> (Registry, ImageRef, String) {
    let registry = Registry::start();
    registry.set(|switches| switches.referrers = referrers);
    let subject = registry.add_image("team/app", "v1");
    let (client, at, key) = (client(), image(&registry), key());
    client.sign(&at, &key, &SignOptions { format: Format::Both, ..Default::default() }, &Call::new()).unwrap();
    let seed = SignOptions {
        tag_suffix: Some(".cosign".into()),
        payload_form: PayloadForm::Seed,
        journal: false,
        ..Default::default()
    };
    client.sign(&at, &key, &seed, &Call::new()).unwrap();
    let hex = subject.strip_prefix("sha256:").unwrap();
    for (suffix, layer) in [
        (".att", "application/vnd.dsse.envelope.v1+json"),
        (".sbom", "text/spdx+json"),
        (".provenance", "application/x"),
    ] {
        let manifest = artifact(&registry, "application/x", layer, suffix, None);
        registry.add_manifest("team/app", &format!("sha256-{hex}{suffix}"), OCI_MANIFEST, manifest.as_bytes());
    }
    refer(&registry, &subject, &artifact(&registry, NOTATION, "application/jose+json", "jws", Some(&subject)));
    refer(&registry, &subject, &artifact(&registry, COSIGN_OCI11, "application/x", "sig", Some(&subject)));
    refer(&registry, &subject, &artifact(&registry, "application/spdx+json", "text/spdx", "sbom", Some(&subject)));
    (registry, at, subject)
}

#[test]
fn everything_that_hangs_on_an_image_is_listed() {
    for referrers in [Referrers::On, Referrers::Off] {
        let (registry, at, subject) = everything(referrers);
        let client = client();
        let found = tree(&client, &at);
        assert!(found.complete && found.unread.is_empty(), "{}", found.json());
        assert_eq!(found.digest, subject);
        // The journal: with tags one for the layer and one for the bundle, in lists of referrers one for the layer.
        let journal = if referrers == Referrers::On { 1 } else { 2 };
        let expected = [
            ("attestations", 1),
            ("journal", journal),
            ("other", 1),
            ("referrer", 4),
            ("sbom", 1),
            ("signatures", 1),
            ("signatures-2021", 1),
        ];
        assert_eq!(kinds(&found), BTreeMap::from(expected), "{}", found.json());
        let types: Vec<_> = found.attachments.iter().filter_map(|one| one.artifact_type.as_deref()).collect();
        for wanted in [NOTATION, COSIGN_OCI11, "application/spdx+json", "application/vnd.dev.sigstore.bundle.v0.3+json"]
        {
            assert!(types.contains(&wanted), "{wanted} is missing in {types:?}");
        }
        let by = if referrers == Referrers::On { "referrers" } else { "fallback index" };
        assert!(found.attachments.iter().filter(|one| one.kind == "referrer").all(|one| one.found_by == by));

        let said = doctor(&client, &at);
        assert!(said.complete, "{}", said.json());
        assert_eq!(said.attestations, 1);
        let mut formats: Vec<_> = said.signatures.iter().map(|one| one.format).collect();
        formats.sort_unstable();
        let all = ["cosign legacy", "cosign oci-1-1", "cosign of 2021", "notation", "sigstore bundle"];
        assert_eq!(formats, all, "{}", said.json());
        let notation = said.signatures.iter().find(|one| one.format == "notation").unwrap();
        assert!(notation.advice[0].contains("notation verify"), "{notation:?}");
        assert!(notation.readers.iter().any(|reader| reader.tool == "notation" && reader.reads));
        assert!(said.notes.iter().any(|note| note.contains("docker trust inspect")), "{:?}", said.notes);
        drop(registry);
    }
}

#[test]
fn an_image_with_only_a_notation_signature_is_not_called_unsigned() {
    let registry = Registry::start();
    let subject = registry.add_image("team/app", "v1");
    refer(&registry, &subject, &artifact(&registry, NOTATION, "application/jose+json", "jws", Some(&subject)));
    let said = doctor(&client(), &image(&registry));
    assert_eq!(said.signatures.len(), 1);
    assert_eq!(said.signatures[0].format, "notation");
    assert!(said.signatures[0].readers.iter().all(|reader| reader.reads == (reader.tool == "notation")));
}

#[test]
fn what_an_index_lists_of_another_image_is_not_taken_for_ours() {
    let registry = Registry::start();
    let subject = registry.add_image("team/app", "v1");
    let stranger = digest(b"another image");
    refer(&registry, &subject, &artifact(&registry, NOTATION, "application/jose+json", "jws", Some(&stranger)));
    let found = tree(&client(), &image(&registry));
    assert_eq!(found.attachments.len(), 1);
    assert_eq!(found.attachments[0].problem.as_deref(), Some("it is listed, but does not refer to this image"));
    assert!(doctor(&client(), &image(&registry)).signatures.iter().all(|one| one.format == "notation"));
}

#[test]
fn a_signature_that_the_tag_has_lost_is_found_in_the_journal() {
    for referrers in [Referrers::On, Referrers::Off] {
        let registry = Registry::start();
        registry.set(|switches| switches.referrers = referrers);
        let subject = registry.add_image("team/app", "v1");
        let (client, at, first, second) = (client(), image(&registry), key(), key());
        client.sign(&at, &first, &SignOptions::default(), &Call::new()).unwrap();
        let tag = format!("sha256-{}.sig", subject.strip_prefix("sha256:").unwrap());
        let (media_type, old) = registry.manifest("team/app", &tag).unwrap();
        client.sign(&at, &second, &SignOptions::default(), &Call::new()).unwrap();
        assert_eq!(doctor(&client, &at).signatures.len(), 2);
        // Another program writes what it had read before.
        registry.add_manifest("team/app", &tag, &media_type, &old);
        let said = doctor(&client, &at);
        let formats: Vec<_> = said.signatures.iter().map(|one| one.format).collect();
        assert_eq!(formats, ["cosign legacy", "journal"], "{}", said.json());
        let lost = &said.signatures[1];
        assert!(lost.readers.iter().all(|reader| reader.reads == (reader.tool == "libcosign")), "{lost:?}");
        let policy = Policy::new().with_key(second.public_key());
        client.verify(&at, &policy, &VerifyOptions::default(), &Call::new()).unwrap();
        // What doctor advises.
        client.sign(&at, &second, &SignOptions::default(), &Call::new()).unwrap();
        assert_eq!(doctor(&client, &at).signatures.iter().filter(|one| one.format == "journal").count(), 0);
    }
}

#[test]
fn what_could_not_be_read_is_told_and_never_missing() {
    for referrers in [Referrers::On, Referrers::Off] {
        let (registry, at, _) = everything(referrers);
        let client = client();
        let (whole, said) = (tree(&client, &at), doctor(&client, &at));
        for status in [403, 500] {
            let mut k = 1;
            loop {
                registry.fail(k, Fault::error(status, "UNKNOWN"));
                let before = registry.hits();
                let (found, diagnosed) = (client.tree(&at, &Call::new()), registry.hits() > before);
                registry.heal();
                if !diagnosed {
                    break;
                }
                match found {
                    Ok(found) => {
                        let missing = found.attachments.len() < whole.attachments.len();
                        let told = !found.complete || !found.notes.is_empty();
                        assert!(!missing || told, "{status} at {k}: {}", found.json());
                        assert_eq!(found.complete, found.unread.is_empty());
                    }
                    Err(error) => assert_eq!(error.code().class().name(), "unknown", "{status} at {k}: {error}"),
                }
                k += 1;
                assert!(k < 80);
            }
            assert!(k > 10, "{k} requests");
        }
        // Blobs, which doctor reads and tree does not.
        registry.fault("GET *blobs/", Fault::error(403, "DENIED"));
        let blind = doctor(&client, &at);
        assert!(!blind.complete && blind.signatures.len() < said.signatures.len(), "{}", blind.json());
    }
}

#[test]
fn an_image_that_is_not_there_is_no_image_without_signatures() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    let client = client();
    for gone in ["team/app:v2".to_owned(), format!("team/app@{}", digest(b"none")), "team/other:v1".to_owned()] {
        let gone: ImageRef = format!("{}/{gone}", registry.host()).parse().unwrap();
        assert_eq!(client.tree(&gone, &Call::new()).unwrap_err().code(), Code::ImageNotFound, "{gone}");
        assert_eq!(client.doctor(&gone, &Call::new()).unwrap_err().code(), Code::ImageNotFound, "{gone}");
    }
    let found = tree(&client, &image(&registry));
    assert!(found.complete && found.attachments.is_empty());
}

/// One way to sign an image, and the flags that doctor names for it.
struct Case {
    name: &'static str,
    options: SignOptions,
    unchecked: bool,
    /// Another key's bundle beside it.
    with_bundle: bool,
}

fn cases() -> Vec<Case> {
    let plain = SignOptions::default;
    let case = |name, options| Case { name, options, unchecked: false, with_bundle: false };
    vec![
        case("today", plain()),
        case("capitalised", SignOptions { payload_form: PayloadForm::Seed, ..plain() }),
        case("seed", SignOptions { tag_suffix: Some(".cosign".into()), ..plain() }),
        case("bundle", SignOptions { format: Format::Bundle, ..plain() }),
        case("nameless", SignOptions { identity: Some(String::new()), ..plain() }),
        case("docker", SignOptions { docker_media_types: true, ..plain() }),
        Case { unchecked: true, ..case("own", SignOptions { payload: Some(b"my own".to_vec()), ..plain() }) },
        Case { with_bundle: true, ..case("beside-a-bundle", plain()) },
    ]
}

#[test]
fn what_is_said_of_other_tools_is_what_they_do() {
    let (registry, sandbox, client, key) = (oracle::Registry::start(), Sandbox::new(), client(), key());
    let public = sandbox.write("key.pub", key.public_key().to_pem());
    let policy = format!(
        r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{"{}":[{{"type":"sigstoreSigned","keyPath":"{public}","signedIdentity":{{"type":"matchRepository"}}}}]}}}}}}"#,
        registry.host()
    );
    let (accept, policy) = (sandbox.arg("accept.json"), sandbox.write("policy.json", policy));
    let registries = sandbox.arg("registries.d");
    for case in cases() {
        let name = format!("{}/team/{}:v1", registry.host(), case.name);
        let source = format!("oci:{}:v1", root().join("examples/image").display());
        let to = format!("docker://{name}");
        sandbox.run("skopeo", ["--policy", &accept, "copy", "--dest-tls-verify=false", &source, &to]).success();
        let at: ImageRef = name.parse().unwrap();
        client.sign(&at, &key, &case.options, &Call::new()).unwrap();
        if case.with_bundle {
            let bundle = SignOptions { format: Format::Bundle, ..Default::default() };
            client.sign(&at, &self::key(), &bundle, &Call::new()).unwrap();
        }
        let said = doctor(&client, &at);
        let finding = &said.signatures[0];
        let reads = |tool: &str| finding.readers.iter().find(|reader| reader.tool == tool).unwrap().reads;

        let claims = format!("--check-claims={}", !case.unchecked);
        let flags = ["verify", "--key", &public, "--insecure-ignore-tlog", &claims, "-o", "text", &name];
        for (tool, peer) in [("cosign 2", "cosign2"), ("cosign 3", "cosign3")] {
            let verified = sandbox.run(peer, flags);
            assert_eq!(verified.code == 0, reads(tool), "{} {tool}: {finding:?} {verified:#?}", case.name);
        }
        let copied = format!("dir:{}", sandbox.path(&format!("copied-{}", case.name)).display());
        let from = ["--policy", &policy, "--registries.d", &registries, "copy", "--src-tls-verify=false"];
        let verified = sandbox.run("skopeo", from.into_iter().chain(["--remove-signatures", &to, &copied]));
        assert_eq!(verified.code == 0, reads("skopeo, podman"), "{}: {finding:?} {verified:#?}", case.name);

        let options = VerifyOptions {
            check_claims: !case.unchecked,
            tag_suffix: case.options.tag_suffix.clone(),
            ..Default::default()
        };
        let ours = client.verify(&at, &Policy::new().with_key(key.public_key()), &options, &Call::new());
        assert_eq!(ours.is_ok(), reads("libcosign"), "{}", case.name);
    }
}
