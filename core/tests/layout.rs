//! Signing and verifying on an OCI image layout: what is written, what is refused, and what survives.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use cosign_core::blocking::Client;
use cosign_core::bundle::legacy;
use cosign_core::verify::{CheckResult, Verdict};
use cosign_core::{
    Call, Cancel, ClientOptions, Code, Digest, Error, Format, ImageRef, KeyAlgorithm, Policy, PrivateKey, SignOptions,
    VerifyOptions,
};
use serde_json::{Value, json};

const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/image");
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

struct Fixture {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to.join(file.file_name()));
        } else {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("layout");
        copy(Path::new(IMAGE), &path);
        Fixture { _dir: dir, path }
    }

    fn signed() -> Fixture {
        let layout = Fixture::new();
        layout.sign(key(0)).unwrap();
        layout
    }

    fn image(&self) -> ImageRef {
        format!("oci:{}:v1", self.path.display()).parse().unwrap()
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path.join("index.json")).unwrap()).unwrap()
    }

    fn change_index(&self, change: impl FnOnce(&mut Vec<Value>)) {
        let mut index = self.index();
        change(index["manifests"].as_array_mut().unwrap());
        fs::write(self.path.join("index.json"), index.to_string()).unwrap();
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.path.join("blobs").join(digest.replace(':', "/"))
    }

    fn put(&self, bytes: &[u8]) -> String {
        let digest = Digest::sha256(bytes).to_string();
        fs::write(self.blob(&digest), bytes).unwrap();
        digest
    }

    fn image_digest(&self) -> Digest {
        let index = self.index();
        let is_image = |e: &&Value| e["annotations"][REF_NAME] == "v1";
        let entry = index["manifests"].as_array().unwrap().iter().find(is_image).unwrap().clone();
        Digest::parse(entry["digest"].as_str().unwrap()).unwrap()
    }

    fn signature_entry(&self) -> Value {
        let last = self.index()["manifests"].as_array().unwrap().last().unwrap().clone();
        assert!(last["annotations"]["kind"].as_str().unwrap().ends_with("/sigs"));
        last
    }

    fn signature_blob(&self) -> PathBuf {
        self.blob(self.signature_entry()["digest"].as_str().unwrap())
    }

    fn signature_manifest(&self) -> Value {
        serde_json::from_slice(&fs::read(self.signature_blob()).unwrap()).unwrap()
    }

    fn payload_blob(&self) -> PathBuf {
        self.blob(self.signature_manifest()["layers"][0]["digest"].as_str().unwrap())
    }

    /// Puts another signature manifest in place of the one that is there.
    fn set_signature_manifest(&self, manifest: &[u8]) {
        let digest = self.put(manifest);
        self.change_index(|entries| {
            let last = entries.last_mut().unwrap();
            last["digest"] = digest.into();
            last["size"] = manifest.len().into();
        });
    }

    fn sign(&self, key: &PrivateKey) -> Result<cosign_core::Signed, Error> {
        client().sign(&self.image(), key, &SignOptions::default(), &Call::new())
    }

    /// Stores `payload`, signed by key 0, as the only signature.
    fn plant(&self, payload: &str) {
        let new = legacy::NewSignature {
            payload: payload.as_bytes().to_vec(),
            signature: key(0).sign(payload.as_bytes()).unwrap(),
            ..Default::default()
        };
        let image = legacy::append(None, &new, false).unwrap();
        self.put(payload.as_bytes());
        self.put(&image.config);
        self.set_signature_manifest(&image.manifest);
    }

    fn verify(&self, policy: &Policy) -> Result<usize, Error> {
        verify_with(&self.image(), policy, &VerifyOptions::default())
    }
}

fn verify_with(image: &ImageRef, policy: &Policy, options: &VerifyOptions) -> Result<usize, Error> {
    client().verify(image, policy, options, &Call::new()).map(|verified| verified.count())
}

fn client() -> Client {
    Client::new(ClientOptions::default()).unwrap()
}

fn key(n: usize) -> &'static PrivateKey {
    static KEYS: OnceLock<Vec<PrivateKey>> = OnceLock::new();
    &KEYS.get_or_init(|| (0..3).map(|_| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).collect())[n]
}

fn policy(keys: &[usize]) -> Policy {
    keys.iter().fold(Policy::new(), |policy, n| policy.with_key(key(*n).public_key()))
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    result.unwrap_err().code()
}

fn payload(digest: &str, optional: &str) -> String {
    format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"r"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":{optional}}}"#
    )
}

#[test]
fn signs_and_verifies_with_every_kind_of_key() {
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::EcdsaP521, KeyAlgorithm::Ed25519]
    {
        let layout = Fixture::new();
        let key = PrivateKey::generate(algorithm).unwrap();
        let signed = layout.sign(&key).unwrap();
        assert!(signed.added());
        assert_eq!(signed.digest(), &layout.image_digest());
        let policy = Policy::new().with_key(key.public_key());
        let verified = client().verify(&layout.image(), &policy, &VerifyOptions::default(), &Call::new()).unwrap();
        assert_eq!(verified.count(), 1);
        assert_eq!(verified.digest(), signed.digest());
        assert_eq!(verified.reference(), format!("oci:{}@{}", layout.path.display(), signed.digest()));
        assert_eq!(verified.signatures()[0].key_fingerprint(), key.public_key().fingerprint());
        assert_eq!(verified.report().verdict, Verdict::Verified);
    }
}

#[test]
fn signing_again_with_the_same_key_changes_nothing_and_another_key_appends() {
    let layout = Fixture::signed();
    let before = layout.index();
    assert!(!layout.sign(key(0)).unwrap().added());
    assert_eq!(layout.index(), before);
    assert!(layout.sign(key(1)).unwrap().added());
    assert_eq!(layout.signature_manifest()["layers"].as_array().unwrap().len(), 2);
    assert_eq!(layout.verify(&policy(&[0])).unwrap(), 1);
    assert_eq!(layout.verify(&policy(&[0, 1])).unwrap(), 2);
    assert_eq!(code(layout.verify(&policy(&[2]))), Code::NoSignatureMatches);
}

#[test]
fn a_threshold_counts_distinct_keys_not_signatures() {
    let layout = Fixture::signed();
    let options = SignOptions { annotations: vec![("a".into(), "1".into())], ..SignOptions::default() };
    client().sign(&layout.image(), key(0), &options, &Call::new()).unwrap();
    let mut two = policy(&[0, 1]);
    two.set_threshold(2);
    let refused = layout.verify(&two).unwrap_err();
    assert_eq!(refused.code(), Code::Threshold);
    assert_eq!(refused.report().unwrap().signers.len(), 1);
    layout.sign(key(1)).unwrap();
    assert_eq!(layout.verify(&two).unwrap(), 3);
    let mut all = policy(&[0, 1, 2]);
    all.require_all_keys();
    assert_eq!(code(layout.verify(&all)), Code::Threshold);
}

// security.md 163, 165
#[test]
fn a_policy_that_demands_nothing_is_an_error() {
    let layout = Fixture::new();
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatures);
    layout.sign(key(0)).unwrap();
    assert_eq!(code(layout.verify(&Policy::new())), Code::PolicyEmpty);
    for threshold in [0, 2] {
        let mut policy = policy(&[0]);
        policy.set_threshold(threshold);
        assert_eq!(code(layout.verify(&policy)), Code::PolicyEmpty);
    }
    let pem = key(0).public_key().to_pem();
    for bad in [
        json!({}),
        json!({"keys": []}),
        json!({"keys": [pem], "threshold": 0}),
        json!({"keys": [pem], "treshold": 1}),
        json!({"keys": [pem, pem], "threshold": 2}),
        json!({"keys": [pem], "annotations": {"a": 1}}),
        json!({"keys": pem}),
        json!([]),
    ] {
        assert_eq!(code(Policy::from_json(&bad.to_string())), Code::PolicyEmpty, "{bad}");
    }
    let good = Policy::from_json(&json!({"keys": [pem], "threshold": "all", "annotations": {}}).to_string()).unwrap();
    assert_eq!(layout.verify(&good).unwrap(), 1);
}

// security.md 43-49 through the whole verification
#[test]
fn refuses_payloads_that_do_not_claim_this_image_exactly_once() {
    let layout = Fixture::signed();
    let digest = layout.image_digest().to_string();
    let good = payload(&digest, "null");
    layout.plant(&good);
    assert_eq!(layout.verify(&policy(&[0])).unwrap(), 1);
    let second = format!(r#"{{"Critical":{{"image":{{"docker-manifest-digest":"{digest}"}}}},"#);
    for bad in [
        payload(&format!("sha256:{}", "a".repeat(64)), "null"),
        payload(&digest[..50], "null"),
        payload(&digest.to_uppercase(), "null"),
        payload(digest.trim_start_matches("sha256:"), "null"),
        good.replacen('{', &second, 1),
        good.replace("cosign container image signature", "atomic container signature"),
        format!("{good} {good}"),
        "null".to_owned(),
        String::new(),
    ] {
        layout.plant(&bad);
        let error = layout.verify(&policy(&[0])).unwrap_err();
        assert_eq!(error.code(), Code::NoSignatureMatches, "{bad}");
        assert_eq!(error.report().unwrap().verdict, Verdict::Refused);
    }
}

// security.md 52-55
#[test]
fn a_demanded_annotation_must_be_there_as_the_same_text() {
    let layout = Fixture::signed();
    let digest = layout.image_digest().to_string();
    for (optional, name, value, ok) in [
        (r#"{"a":"1=2"}"#, "a", "1=2", true),
        (r#"{"a":1}"#, "a", "1", false),
        (r#"{"a":null}"#, "a", "", false),
        (r#"{"a":null}"#, "a", "null", false),
        ("{}", "a", "", false),
        ("null", "a", "1", false),
        (r#"{"a":"2"}"#, "a", "1", false),
        (r#"{"a":"1","a":"1"}"#, "a", "1", false),
        (r#"{"a":"1","b":"2"}"#, "a", "1", true),
    ] {
        layout.plant(&payload(&digest, optional));
        let mut policy = policy(&[0]);
        policy.require_annotation(name, value).unwrap();
        assert_eq!(layout.verify(&policy).is_ok(), ok, "{optional} {name}={value}");
    }
    let mut demanding = policy(&[0]);
    demanding.require_annotation("a", "1").unwrap();
    assert_eq!(code(demanding.require_annotation("a", "2")), Code::Argument);
    assert_eq!(code(demanding.require_annotation("", "2")), Code::Argument);
    // An annotation is a claim: demanded with the claims unchecked, it would pass unchecked.
    let unchecked = VerifyOptions { check_claims: false, ..VerifyOptions::default() };
    assert_eq!(code(verify_with(&layout.image(), &demanding, &unchecked)), Code::Argument);
}

// security.md 166
#[test]
fn switched_off_checks_are_named_in_the_report() {
    let layout = Fixture::signed();
    layout.plant("any format");
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatureMatches);
    let options = VerifyOptions { check_claims: false, ..VerifyOptions::default() };
    let verified = client().verify(&layout.image(), &policy(&[0]), &options, &Call::new()).unwrap();
    assert_eq!(verified.report().insecure, ["claims not checked"]);
    assert_eq!(verified.signatures()[0].payload(), b"any format");
    let checks = &verified.report().signatures[0].checks;
    assert!(checks.iter().any(|check| check.name == "digest" && check.result == CheckResult::Skipped));
    let digest = layout.image_digest().to_string();
    layout.plant(&payload(&digest, "null").replace("cosign container image signature", "other"));
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatureMatches);
    let options = VerifyOptions { any_payload_type: true, ..VerifyOptions::default() };
    let verified = client().verify(&layout.image(), &policy(&[0]), &options, &Call::new()).unwrap();
    assert_eq!(verified.report().insecure, ["any payload type"]);
}

// security.md 60-63: layout blobs are hashed, sizes are checked
#[test]
fn refuses_a_layout_that_lies_about_its_content() {
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let layout = Fixture::signed();
    flip(&layout.payload_blob());
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatureMatches);
    let layout = Fixture::signed();
    flip(&layout.signature_blob());
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::Content);
    let layout = Fixture::signed();
    flip(&layout.blob(&layout.image_digest().to_string()));
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::Content);
    assert_eq!(code(layout.sign(key(1))), Code::Content);
    // Longer and shorter than declared, at the image and at the signature.
    for (index, change) in [(0, 1i64), (0, -1), (1, 1), (1, -1), (0, 5 << 20), (1, 1 << 40)] {
        let layout = Fixture::signed();
        layout.change_index(|entries| {
            let size = entries[index]["size"].as_i64().unwrap();
            entries[index]["size"] = (size + change).into();
        });
        let found = code(layout.verify(&policy(&[0])));
        assert!(matches!(found, Code::Content | Code::TooLarge), "{index} {change}: {found:?}");
    }
    for size in [json!(-1), json!(1.5), json!("1"), json!(null), json!(u64::MAX)] {
        let layout = Fixture::signed();
        layout.change_index(|entries| entries[1]["size"] = size.clone());
        assert_eq!(code(layout.verify(&policy(&[0]))), Code::Protocol);
    }
    // A payload that is gone is a refused signature; a signature image that is gone is not "no signatures".
    let layout = Fixture::signed();
    fs::remove_file(layout.payload_blob()).unwrap();
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatureMatches);
    let layout = Fixture::signed();
    fs::remove_file(layout.signature_blob()).unwrap();
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::Content);
}

// security.md 67-79, 142
#[test]
fn looks_at_every_layer_and_refuses_each_malformed_one() {
    let layout = Fixture::signed();
    let good = layout.signature_manifest();
    let set = |change: &dyn Fn(&mut Value)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        layout.set_signature_manifest(manifest.to_string().as_bytes());
        layout.verify(&policy(&[0]))
    };
    let signature = good["layers"][0]["annotations"][SIGNATURE].as_str().unwrap().to_owned();
    assert_eq!(set(&|_| {}).unwrap(), 1);
    let wrapped = format!("{}\r\n{}\n", &signature[..40], &signature[40..]);
    assert_eq!(set(&|m| m["layers"][0]["annotations"][SIGNATURE] = wrapped.clone().into()).unwrap(), 1);
    for text in ["", " ", "!!!", "A", &format!(" {signature}"), &"A".repeat(4 << 20)] {
        let found = code(set(&|m| m["layers"][0]["annotations"][SIGNATURE] = text.into()));
        assert!(matches!(found, Code::NoSignatureMatches | Code::TooLarge), "{found:?}");
    }
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for certificate in [" ", "\n", "x", empty, &key(0).public_key().to_pem()] {
        let found = set(&|m| m["layers"][0]["annotations"]["dev.sigstore.cosign/certificate"] = certificate.into());
        assert_eq!(code(found), Code::NoSignatureMatches, "{certificate:?}");
    }
    let without = |m: &mut Value, member: &str| drop(m.as_object_mut().unwrap().remove(member));
    assert_eq!(code(set(&|m| without(&mut m["layers"][0]["annotations"], SIGNATURE))), Code::NoSignatureMatches);
    assert_eq!(code(set(&|m| m["layers"] = json!([]))), Code::NoSignatures);
    assert_eq!(code(set(&|m| m["layers"][0]["mediaType"] = "text/plain".into())), Code::NoSignatureMatches);
    assert_eq!(code(set(&|m| m["schemaVersion"] = 1.into())), Code::Protocol);
    assert_eq!(code(set(&|m| m["manifests"] = json!([]))), Code::Protocol);
    assert_eq!(code(set(&|m| without(m, "config"))), Code::Protocol);
    // The same annotation twice, and bytes behind the document.
    let text = good.to_string();
    let twice = text.replacen(&format!("\"{SIGNATURE}\""), &format!("\"{SIGNATURE}\":\"AA==\",\"{SIGNATURE}\""), 1);
    for bad in [twice, format!("{text}{{}}")] {
        layout.set_signature_manifest(bad.as_bytes());
        assert_eq!(code(layout.verify(&policy(&[0]))), Code::Protocol);
    }
    // 999 bad layers and a good one verify; one more is refused unread.
    for (count, expected) in [(1000, Ok(1)), (1001, Err(Code::TooLarge))] {
        let found = set(&|m| {
            let good = m["layers"][0].clone();
            let mut bad = good.clone();
            bad["annotations"][SIGNATURE] = "MAYCAQECAQE=".into();
            let mut layers = vec![bad; count - 1];
            layers.push(good);
            m["layers"] = layers.into();
        });
        assert_eq!(found.map_err(|e| e.code()), expected);
    }
    let error = set(&|m| {
        let layer = m["layers"][0].clone();
        let distinct = |n| {
            let mut layer = layer.clone();
            layer["mediaType"] = format!("x/{n}").into();
            layer
        };
        m["layers"] = (0..1000).map(distinct).collect();
    });
    assert!(error.unwrap_err().message().len() < 64 << 10);
}

#[test]
fn inline_data_is_read_only_when_it_is_the_content() {
    let layout = Fixture::signed();
    let mut manifest = layout.signature_manifest();
    let mut bytes = fs::read(layout.payload_blob()).unwrap();
    fs::remove_file(layout.payload_blob()).unwrap();
    manifest["layers"][0]["data"] = cosign_core::encoding::base64::encode(&bytes).into();
    layout.set_signature_manifest(manifest.to_string().as_bytes());
    assert_eq!(layout.verify(&policy(&[0])).unwrap(), 1);
    bytes[10] ^= 1;
    manifest["layers"][0]["data"] = cosign_core::encoding::base64::encode(&bytes).into();
    layout.set_signature_manifest(manifest.to_string().as_bytes());
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatureMatches);
    // A stranger's layer does not hide a good one.
    layout.sign(key(1)).unwrap();
    assert_eq!(layout.verify(&policy(&[1])).unwrap(), 1);
}

#[test]
fn follows_no_link_below_the_folder_and_reads_only_regular_files() {
    // The folder itself may be reached through a link.
    let layout = Fixture::signed();
    let link = layout.path.with_file_name("link");
    symlink(&layout.path, &link).unwrap();
    let image: ImageRef = format!("oci:{}:v1", link.display()).parse().unwrap();
    assert_eq!(verify_with(&image, &policy(&[0]), &VerifyOptions::default()).unwrap(), 1);
    for part in ["oci-layout", "index.json", "blobs", "blobs/sha256"] {
        let layout = Fixture::signed();
        let moved = layout.path.with_file_name("moved");
        fs::rename(layout.path.join(part), &moved).unwrap();
        symlink(&moved, layout.path.join(part)).unwrap();
        assert!(layout.verify(&policy(&[0])).is_err(), "{part}");
        assert!(layout.sign(key(1)).is_err(), "{part}");
    }
    let layout = Fixture::signed();
    let blob = layout.signature_blob();
    let moved = layout.path.with_file_name("moved");
    fs::rename(&blob, &moved).unwrap();
    symlink(&moved, &blob).unwrap();
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::Content);
    fs::remove_file(&blob).unwrap();
    fs::create_dir(&blob).unwrap();
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::Content);
}

#[test]
fn names_one_image_or_says_which_there_are() {
    let layout = Fixture::new();
    let at = |rest: &str| -> ImageRef { format!("oci:{}{rest}", layout.path.display()).parse().unwrap() };
    let resolve = |rest: &str| client().resolve(&at(rest), &Call::new());
    let digest = layout.image_digest();
    assert!(resolve("").unwrap().ends_with(&digest.to_string()));
    assert!(resolve(&format!("@{digest}")).is_ok());
    let error = resolve(":v2").unwrap_err();
    assert_eq!(error.code(), Code::ImageNotFound);
    assert!(error.message().contains("v1"), "{error}");
    assert_eq!(code(resolve(&format!("@sha256:{}", "0".repeat(64)))), Code::ImageNotFound);
    assert_eq!(code(client().resolve(&"oci:/nonexistent/x".parse().unwrap(), &Call::new())), Code::ImageNotFound);
    // A signature is no image, and two images are ambiguous.
    layout.sign(key(0)).unwrap();
    assert!(resolve("").is_ok());
    let manifest = fs::read(layout.blob(&digest.to_string())).unwrap();
    let other = layout.put(&[&manifest[..], b"\n"].concat());
    layout.change_index(|entries| {
        let mut entry = entries[0].clone();
        entry["size"] = (manifest.len() + 1).into();
        entry["digest"] = other.clone().into();
        entry["annotations"] = json!({REF_NAME: "v2"});
        entries.push(entry);
    });
    assert_eq!(code(resolve("")), Code::Protocol);
    assert!(resolve(":v2").unwrap().ends_with(&other));
    assert_eq!(code(verify_with(&at(":v2"), &policy(&[0]), &VerifyOptions::default())), Code::NoSignatures);
    let mut options = ClientOptions::default();
    options.set_layouts(false);
    assert_eq!(code(Client::new(options).unwrap().resolve(&at(":v1"), &Call::new())), Code::Reference);
}

#[test]
fn an_entry_without_a_name_is_signed_and_can_be_named_in_the_same_step() {
    let layout = Fixture::new();
    layout.change_index(|entries| drop(entries[0].as_object_mut().unwrap().remove("annotations")));
    let image: ImageRef = format!("oci:{}", layout.path.display()).parse().unwrap();
    let signed = client().sign(&image, key(0), &SignOptions::default(), &Call::new()).unwrap();
    assert!(signed.layout_needs_name());
    let options = SignOptions { layout_tag: Some("v1".into()), ..SignOptions::default() };
    let signed = client().sign(&image, key(0), &options, &Call::new()).unwrap();
    assert!(!signed.added() && !signed.layout_needs_name());
    assert_eq!(layout.verify(&policy(&[0])).unwrap(), 1);
    assert_eq!(layout.index()["manifests"][0]["annotations"]["kind"], "dev.cosignproject.cosign/image");
}

#[test]
fn bundles_are_signed_and_verified_beside_legacy_signatures() {
    let layout = Fixture::new();
    let bundle = SignOptions { format: Format::Bundle, ..Default::default() };
    let only = |format| VerifyOptions { format: Some(format), ..Default::default() };
    let signed = client().sign(&layout.image(), key(1), &bundle, &Call::new()).unwrap();
    assert_eq!((signed.added(), signed.signatures().len()), (true, 1));
    assert_eq!(layout.verify(&policy(&[1])).unwrap(), 1);
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatureMatches);
    assert_eq!(code(verify_with(&layout.image(), &policy(&[1]), &only(Format::Legacy))), Code::NoSignatures);
    // Each format alone, and a threshold that takes one signer of each.
    layout.sign(key(0)).unwrap();
    assert_eq!(verify_with(&layout.image(), &policy(&[0]), &only(Format::Legacy)).unwrap(), 1);
    assert_eq!(code(verify_with(&layout.image(), &policy(&[0]), &only(Format::Bundle))), Code::NoSignatureMatches);
    let mut two = policy(&[0, 1]);
    two.set_threshold(2);
    assert_eq!(layout.verify(&two).unwrap(), 2);
    let both = SignOptions { format: Format::Both, ..Default::default() };
    let signed = client().sign(&layout.image(), key(2), &both, &Call::new()).unwrap();
    assert_eq!(signed.signatures().len(), 2);
    assert_eq!(layout.verify(&policy(&[2])).unwrap(), 2);
    // The bundle's manifest is changed: it is missed, not overlooked.
    let index = layout.index();
    let entries = index["manifests"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["artifactType"].is_string()).unwrap();
    let blob = layout.blob(entry["digest"].as_str().unwrap());
    let mut bytes = fs::read(&blob).unwrap();
    bytes[20] ^= 1;
    fs::write(&blob, &bytes).unwrap();
    assert_eq!(code(layout.verify(&policy(&[1]))), Code::Content);
    assert_eq!(layout.verify(&policy(&[0])).unwrap(), 1);
}

#[test]
fn bundles_are_named_and_never_called_no_signatures() {
    let layout = Fixture::new();
    let digest = layout.image_digest().to_string();
    let size = fs::metadata(layout.blob(&digest)).unwrap().len();
    let bundle_type = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let bundle = format!("{{\"mediaType\":\"{bundle_type}\"}}");
    let bundle_digest = layout.put(bundle.as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                   "digest": Digest::sha256(b"{}").to_string()},
        "layers": [{"mediaType": bundle_type, "size": bundle.len(), "digest": bundle_digest}],
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": size, "digest": digest},
    });
    layout.put(manifest.to_string().as_bytes());
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatureMatches);
    layout.sign(key(0)).unwrap();
    assert_eq!(layout.verify(&policy(&[0])).unwrap(), 1);
    assert_eq!(code(layout.verify(&policy(&[1]))), Code::NoSignatureMatches);
}

#[test]
fn the_signatures_of_2021_are_read_where_their_suffix_is_asked_for() {
    let layout = Fixture::signed();
    let hex = layout.image_digest().hex().to_owned();
    layout.plant(&format!(
        r#"{{"Critical":{{"Identity":{{"docker-reference":""}},"Image":{{"Docker-manifest-digest":"{hex}"}},"Type":"cosign container signature"}},"Optional":null}}"#
    ));
    layout.change_index(|entries| {
        entries.last_mut().unwrap()["annotations"] = json!({REF_NAME: format!("sha256-{hex}.cosign")});
    });
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatures);
    let suffix = |suffix: &str| VerifyOptions { tag_suffix: Some(suffix.into()), ..VerifyOptions::default() };
    assert_eq!(verify_with(&layout.image(), &policy(&[0]), &suffix(".cosign")).unwrap(), 1);
    assert_eq!(code(verify_with(&layout.image(), &policy(&[0]), &suffix("/../x"))), Code::Argument);
}

#[test]
fn writes_what_cosign_finds_by_kind_and_others_by_name() {
    let layout = Fixture::new();
    let options =
        SignOptions { docker_media_types: true, identity: Some("ghcr.io/a/b".into()), ..SignOptions::default() };
    client().sign(&layout.image(), key(0), &options, &Call::new()).unwrap();
    assert_eq!(layout.index()["manifests"][0]["annotations"]["kind"], "dev.cosignproject.cosign/image");
    let entry = layout.signature_entry();
    assert_eq!(entry["annotations"][REF_NAME], format!("sha256-{}.sig", layout.image_digest().hex()));
    assert_eq!(entry["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    let payload = fs::read_to_string(layout.payload_blob()).unwrap();
    assert!(payload.contains(r#""docker-reference":"ghcr.io/a/b""#));
}

#[test]
fn a_call_that_was_stopped_changes_nothing() {
    let layout = Fixture::new();
    let before = layout.index();
    let sign = |call: Call| client().sign(&layout.image(), key(0), &SignOptions::default(), &call);
    let cancel = Cancel::new();
    cancel.cancel();
    assert_eq!(code(sign(Call::new().with_cancel(cancel))), Code::Cancelled);
    assert_eq!(code(sign(Call::new().with_timeout(Duration::ZERO))), Code::Timeout);
    // Waiting for another writer ends at the deadline.
    let lock = fs::File::open(&layout.path).unwrap();
    lock.lock().unwrap();
    assert_eq!(code(sign(Call::new().with_timeout(Duration::from_millis(50)))), Code::Timeout);
    assert_eq!(layout.index(), before);
    drop(lock);
    assert!(layout.sign(key(0)).is_ok());
}

#[test]
fn sixteen_writers_lose_nothing() {
    let layout = Fixture::new();
    let keys: Vec<_> = (0..16).map(|_| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).collect();
    std::thread::scope(|scope| {
        for key in &keys {
            scope.spawn(|| layout.sign(key).unwrap());
        }
    });
    for key in &keys {
        assert_eq!(layout.verify(&Policy::new().with_key(key.public_key())).unwrap(), 1);
    }
    assert_eq!(layout.signature_manifest()["layers"].as_array().unwrap().len(), 16);
}

#[test]
fn a_failed_write_leaves_the_layout_as_it_was() {
    let layout = Fixture::new();
    let before = layout.index();
    // A folder stands where the temporary file must: it is neither removed nor written through.
    let temporary = layout.path.join(".cosign-writing");
    fs::create_dir(&temporary).unwrap();
    let blobs = || fs::read_dir(layout.path.join("blobs/sha256")).unwrap().count();
    let count = blobs();
    assert_eq!(code(layout.sign(key(0))), Code::Io);
    assert_eq!(layout.index(), before);
    assert_eq!(blobs(), count, "blobs that nothing names go again");
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatures);
    fs::remove_dir(&temporary).unwrap();
    // What a killed writer left is in nobody's way.
    fs::write(&temporary, "half").unwrap();
    assert!(layout.sign(key(0)).unwrap().added());
    assert!(!temporary.exists());
}

#[test]
fn copies_of_the_signatures_entry_become_one_and_keep_what_it_says() {
    use std::os::unix::fs::PermissionsExt;
    let layout = Fixture::signed();
    layout.change_index(|entries| {
        let entry = entries.last_mut().unwrap();
        entry["platform"] = json!({"architecture": "amd64", "os": "linux"});
        entry["annotations"]["org.example"] = "kept".into();
        entry["x"] = json!([1]);
        let copy = entry.clone();
        entries.insert(0, copy);
    });
    fs::set_permissions(layout.path.join("index.json"), fs::Permissions::from_mode(0o600)).unwrap();
    layout.sign(key(1)).unwrap();
    layout.verify(&policy(&[0])).unwrap();
    layout.verify(&policy(&[1])).unwrap();
    let index = layout.index();
    let entries = index["manifests"].as_array().unwrap();
    let signatures: Vec<&Value> =
        entries.iter().filter(|e| e["annotations"]["kind"].as_str().unwrap().ends_with("/sigs")).collect();
    assert_eq!(signatures.len(), 1, "{index}");
    assert_eq!(signatures[0]["platform"]["os"], "linux");
    assert_eq!(signatures[0]["annotations"]["org.example"], "kept");
    assert_eq!(signatures[0]["x"], json!([1]));
    let mode = fs::metadata(layout.path.join("index.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn appending_keeps_what_others_wrote() {
    let layout = Fixture::signed();
    let mut manifest = layout.signature_manifest();
    let layer = &mut manifest["layers"][0];
    layer["urls"] = json!(["https://registry.example/x"]);
    layer["platform"] = json!({"os": "linux"});
    layer["org.example"] = json!([{"a": null}]);
    manifest["artifactType"] = "application/x".into();
    manifest["subject"] = json!({"mediaType": "a/b", "size": 1, "digest": layout.image_digest().to_string()});
    manifest["org.example"] = 7.into();
    let before = manifest.clone();
    layout.set_signature_manifest(manifest.to_string().as_bytes());
    layout.sign(key(1)).unwrap();
    let after = layout.signature_manifest();
    assert_eq!(after["layers"].as_array().unwrap().len(), 2);
    assert_eq!(after["layers"][0], before["layers"][0]);
    for member in ["artifactType", "subject", "org.example"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    layout.verify(&policy(&[0])).unwrap();
    layout.verify(&policy(&[1])).unwrap();
}

#[test]
fn a_signature_that_does_not_verify_is_no_duplicate() {
    type Spoil = fn(&mut Value);
    let spoils: [Spoil; 3] = [
        |layer| layer["size"] = 7.into(),
        |layer| layer["annotations"]["dev.sigstore.cosign/certificate"] = "garbage".into(),
        |layer| layer["data"] = "QQ==".into(),
    ];
    for spoil in spoils {
        let layout = Fixture::signed();
        let mut manifest = layout.signature_manifest();
        spoil(&mut manifest["layers"][0]);
        layout.set_signature_manifest(manifest.to_string().as_bytes());
        assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatureMatches);
        layout.sign(key(0)).unwrap();
        layout.verify(&policy(&[0])).unwrap();
    }
    // The payload's blob went: signing again puts it back.
    let layout = Fixture::signed();
    fs::remove_file(layout.payload_blob()).unwrap();
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatureMatches);
    layout.sign(key(0)).unwrap();
    layout.verify(&policy(&[0])).unwrap();
}

#[test]
fn signs_and_verifies_no_document_that_is_manifest_and_index() {
    let layout = Fixture::new();
    let config = layout.put(b"{}");
    let both = json!({
        "schemaVersion": 2, "config": {"mediaType": "x", "size": 2, "digest": config}, "layers": [], "manifests": [],
    });
    for (bytes, refused) in [
        (both.to_string().into_bytes(), true),
        (b"not json at all".to_vec(), true),
        (json!({"schemaVersion": 2, "manifests": []}).to_string().into_bytes(), false),
    ] {
        // By digest, without an entry of its own: as the child of an index is.
        let digest = layout.put(&bytes);
        let image: ImageRef = format!("oci:{}@{digest}", layout.path.display()).parse().unwrap();
        let signed = client().sign(&image, key(0), &SignOptions::default(), &Call::new());
        assert_eq!(signed.is_err(), refused, "{signed:?}");
        if refused {
            assert_eq!(signed.unwrap_err().code(), Code::Protocol);
            let verified = client().verify(&image, &policy(&[0]), &VerifyOptions::default(), &Call::new());
            assert_eq!(code(verified.map(|v| v.count())), Code::Protocol);
        }
    }
}

#[test]
fn writes_no_index_that_it_would_not_read() {
    let layout = Fixture::new();
    let room = (4 << 20) - fs::metadata(layout.path.join("index.json")).unwrap().len() as usize;
    layout.change_index(|entries| entries[0]["annotations"]["note"] = "x".repeat(room - 20).into());
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatures);
    let before = fs::read_dir(layout.path.join("blobs/sha256")).unwrap().count();
    let error = layout.sign(key(0)).unwrap_err();
    assert_eq!(error.code(), Code::TooLarge);
    assert!(error.message().contains("index.json would have"), "{error}");
    assert_eq!(fs::read_dir(layout.path.join("blobs/sha256")).unwrap().count(), before);
    assert_eq!(code(layout.verify(&policy(&[0]))), Code::NoSignatures);
}
