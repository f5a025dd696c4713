//! Sigstore bundles with keys: what real cosign wrote verifies, every change to it is refused, and what is written here is
//! what cosign writes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use cosign_core::bundle::blob::BlobBundle;
use cosign_core::bundle::referrer;
use cosign_core::bundle::sigstore::{self, Bundle, Content};
use cosign_core::crypto::Hash;
use cosign_core::encoding::base64;
use cosign_core::oci::{Descriptor, media_type};
use cosign_core::payload::dsse::{self, Envelope};
use cosign_core::payload::statement;
use cosign_core::verify::{
    BundleSignature, CheckResult, Conditions, Evidence, LegacySignature, Payload, SignatureEvidence, Unread, Verdict,
    judge,
};
use cosign_core::{Code, Digest, Error, KeyAlgorithm, Policy, PrivateKey, PublicKey, Verification, Verified};
use serde_json::{Value, json};

mod mutations;

use mutations::{all_byte_mutations, pointers};

const IMAGE: &str = "sha256:ea9afc656d4fdc1d3b6adcc5e9e0afe2f52bf239f37ecd2d0e40628a78614c82";
const OTHER: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn vector(name: &str) -> Vec<u8> {
    let path = format!("{}/../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn public(name: &str) -> PublicKey {
    PublicKey::from_pem(&vector(&format!("bundles/{name}.pub"))).unwrap()
}

fn private(kind: &str) -> PrivateKey {
    PrivateKey::import_pem(&vector(&format!("keys/import/{kind}.pkcs8.pem"))).unwrap()
}

fn image() -> Digest {
    Digest::parse(IMAGE).unwrap()
}

fn evidence(signatures: Vec<SignatureEvidence>) -> Evidence {
    Evidence { digest: image(), reference: format!("registry.test/a@{IMAGE}"), signatures, unread: Vec::new() }
}

fn bundle_evidence(bundle: &[u8]) -> SignatureEvidence {
    SignatureEvidence::Bundle(BundleSignature {
        place: "registry.test/a@sha256:…".into(),
        index: 0,
        descriptor: Descriptor::of(sigstore::MEDIA_TYPE, bundle),
        bundle: Payload::Read(bundle.to_vec()),
    })
}

fn judge_with(bundle: &[u8], policy: &Policy, conditions: Conditions) -> Result<Verified<Verification>, Error> {
    judge(&evidence(vec![bundle_evidence(bundle)]), policy, conditions)
}

fn verify(bundle: &[u8], key: &PublicKey) -> Result<Verified<Verification>, Error> {
    judge_with(bundle, &Policy::new().with_key(key.clone()), Conditions::default())
}

/// The name of the check that refused the only signature, and its reason.
#[track_caller]
fn refused(outcome: Result<Verified<Verification>, Error>) -> (&'static str, String) {
    let error = outcome.map(|verified| verified.json()).expect_err("a refusal");
    assert_eq!(error.code(), Code::NoSignatureMatches, "{}", error.message());
    let report = error.report().unwrap();
    assert_eq!(report.verdict, Verdict::Refused);
    let failed = report.signatures[0].checks.iter().find(|check| check.result == CheckResult::Failed).unwrap();
    (failed.name, failed.reason.clone())
}

/// A bundle by `key` around any payload.
fn signed(key: &PrivateKey, payload_type: &str, payload: &str) -> Vec<u8> {
    let envelope = Envelope::sign(payload_type, payload.as_bytes().to_vec(), key, None).unwrap();
    Bundle::of_envelope(envelope, &key.public_key()).to_json().into_bytes()
}

fn statement_of(subject: Value, predicate_type: &str) -> Value {
    json!({"_type": statement::TYPE_V1, "subject": subject, "predicateType": predicate_type, "predicate": {}})
}

fn good_statement() -> Value {
    statement_of(json!([{"digest": {"sha256": image().hex()}}]), statement::COSIGN_SIGN)
}

// --- what real cosign wrote -------------------------------------------------------------------------------------------

#[test]
fn verifies_the_bundles_of_real_cosign_with_every_kind_of_key() {
    let mut kinds = vec!["p256", "p384", "p521", "ed25519"];
    if cfg!(feature = "backend-aws-lc") {
        kinds.push("rsa2048");
    }
    for kind in kinds {
        let bundle = vector(&format!("bundles/image-{kind}.sigstore.json"));
        let verified = verify(&bundle, &public(kind)).unwrap_or_else(|e| panic!("{kind}: {}", e.json()));
        assert_eq!((verified.count(), verified.signatures()[0].format()), (1, "bundle"));
        let stranger = if kind == "p256" { "p384" } else { "p256" };
        assert_eq!(refused(verify(&bundle, &public(stranger))).0, "key", "{kind}");
    }
    for (n, key) in [(0, "sigstore-n65536"), (1, "cosign-n32768")] {
        let key = PublicKey::from_pem(&vector(&format!("keys/{key}.pub"))).unwrap();
        verify(&vector(&format!("cosign-3.1.1-bundle/bundle-{n}.sigstore.json")), &key).unwrap();
    }
}

#[test]
fn writes_the_bundle_the_manifest_and_the_index_of_real_cosign() {
    let annotations = [("z", "<x>&y"), ("u", "é"), ("a", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    for (name, annotations) in [("image-p256", BTreeMap::new()), ("image-annotated", annotations.into())] {
        let theirs = vector(&format!("bundles/{name}.sigstore.json"));
        let parsed = Bundle::parse(&theirs, sigstore::MAX_BYTES).unwrap();
        assert_eq!(parsed.to_json().into_bytes(), theirs);
        let Content::Envelope(envelope) = &parsed.content else { panic!("no envelope") };
        assert_eq!(envelope.payload, statement::write_signature(&image(), &annotations));
        assert_eq!(parsed.key, sigstore::KeyMaterial::PublicKey { hint: sigstore::hint(&public("p256")) });

        let manifest = vector(&format!("bundles/{name}.manifest.json"));
        let created = serde_json::from_slice::<Value>(&manifest).unwrap()["annotations"][referrer::CREATED].clone();
        let subject = Descriptor::new(media_type::OCI_MANIFEST, image(), 499);
        let ours = referrer::image(&theirs, statement::COSIGN_SIGN, &subject, created.as_str().unwrap());
        assert_eq!(String::from_utf8(ours.manifest).unwrap(), String::from_utf8(manifest).unwrap());

        // The index differs where cosign 3.1.1 writes the configuration's type, and in the annotations it leaves out.
        let mut entry = ours.entry;
        entry.annotations.clear();
        let index = referrer::with_entries(None, [&entry]).unwrap().to_json();
        let theirs = String::from_utf8(vector(&format!("bundles/{name}.index.json"))).unwrap();
        assert_eq!(index.replace(sigstore::MEDIA_TYPE, media_type::EMPTY), theirs);
    }
}

#[test]
fn annotations_of_a_bundle_are_demanded_as_those_of_a_payload() {
    let bundle = vector("bundles/image-annotated.sigstore.json");
    let mut policy = Policy::new().with_key(public("p256"));
    for (key, value) in [("z", "<x>&y"), ("u", "é"), ("a", "1")] {
        policy.require_annotation(key, value).unwrap();
    }
    let verified = judge_with(&bundle, &policy, Conditions::default()).unwrap();
    assert_eq!(verified.signatures()[0].annotations()["u"], "é");
    policy.require_annotation("b", "1").unwrap();
    assert_eq!(refused(judge_with(&bundle, &policy, Conditions::default())).0, "annotations");
    let key = private("p256");
    let number =
        statement_of(json!([{"digest": {"sha256": image().hex()}, "annotations": {"n": 1}}]), statement::COSIGN_SIGN);
    let mut policy = Policy::new().with_key(key.public_key());
    policy.require_annotation("n", "1").unwrap();
    let bundle = signed(&key, dsse::IN_TOTO, &number.to_string());
    assert_eq!(refused(judge_with(&bundle, &policy, Conditions::default())).0, "annotations");
}

#[test]
fn an_attestation_is_no_signature() {
    let attestation = vector("bundles/image-attested.sigstore.json");
    let (check, reason) = refused(verify(&attestation, &public("p256")));
    assert_eq!(check, "predicate");
    assert!(reason.contains("https://example.com/predicate"), "{reason}");
    let conditions = Conditions { any_predicate_type: true, ..Conditions::default() };
    let policy = Policy::new().with_key(public("p256"));
    let verified = judge_with(&attestation, &policy, conditions).unwrap();
    assert_eq!(verified.report().insecure, ["any predicate type"]);
}

// --- both formats together ----------------------------------------------------------------------------------------------

fn legacy_evidence() -> (SignatureEvidence, PublicKey) {
    let payload = vector("cosign-3.1.1-legacy/payload-0.json");
    let mut descriptor = Descriptor::of(media_type::SIMPLE_SIGNING, &payload);
    let signature = String::from_utf8(vector("cosign-3.1.1-legacy/signature-0.b64")).unwrap();
    descriptor.annotations.insert("dev.cosignproject.cosign/signature".into(), signature);
    let key = PublicKey::from_pem(&vector("keys/sigstore-n65536.pub")).unwrap();
    let place = "registry.test/a:sha256-….sig".into();
    let payload = Payload::Read(payload);
    (SignatureEvidence::Legacy(LegacySignature { place, layer: 0, descriptor, payload }), key)
}

#[test]
fn one_signature_of_either_format_suffices_and_a_threshold_counts_keys_over_both() {
    let (legacy, legacy_key) = legacy_evidence();
    let bundle = bundle_evidence(&vector("bundles/image-p256.sigstore.json"));
    let same_key = bundle_evidence(&vector("cosign-3.1.1-bundle/bundle-0.sigstore.json"));
    let judge = |signatures: &[&SignatureEvidence], policy: &Policy| {
        judge(&evidence(signatures.iter().map(|&s| s.clone()).collect()), policy, Conditions::default())
    };
    for key in [&legacy_key, &public("p256")] {
        let policy = Policy::new().with_key(key.clone());
        assert_eq!(judge(&[&legacy, &bundle], &policy).unwrap().count(), 1);
    }
    let mut two = Policy::new().with_key(legacy_key.clone()).with_key(public("p256"));
    two.set_threshold(2);
    let verified = judge(&[&legacy, &bundle], &two).unwrap();
    assert_eq!((verified.count(), verified.report().signers.len()), (2, 2));
    let formats: Vec<_> = verified.report().signatures.iter().map(|s| s.format).collect();
    assert_eq!(formats, ["legacy", "bundle"]);
    let error = judge(&[&legacy, &same_key], &two).map(|v| v.json()).unwrap_err();
    assert_eq!(error.code(), Code::Threshold, "one key in both formats is one signer");
}

#[test]
fn what_could_not_be_read_is_unknown_unless_the_rest_suffices() {
    let (legacy, key) = legacy_evidence();
    let unread = SignatureEvidence::Bundle(BundleSignature {
        place: "registry.test/a@sha256:1".into(),
        index: 0,
        descriptor: Descriptor::of(sigstore::MEDIA_TYPE, b"{}"),
        bundle: Payload::Unread(Error::new(Code::RateLimited, "slow down")),
    });
    let policy = Policy::new().with_key(key);
    let verified = judge(&evidence(vec![unread.clone(), legacy]), &policy, Conditions::default()).unwrap();
    assert_eq!((verified.report().unread.len(), verified.report().signatures[0].verdict), (1, Verdict::Unknown));
    let error = judge(&evidence(vec![unread]), &policy, Conditions::default()).map(|v| v.json()).unwrap_err();
    assert_eq!(error.code(), Code::RateLimited);
    let mut listing = evidence(Vec::new());
    listing.unread.push(Unread { place: "referrers".into(), error: Error::new(Code::Network, "reset") });
    let error = judge(&listing, &policy, Conditions::default()).map(|v| v.json()).unwrap_err();
    assert_eq!(error.code(), Code::Network);
}

#[test]
fn a_bundle_that_is_not_what_its_layer_says_is_refused() {
    let bundle = vector("bundles/image-p256.sigstore.json");
    let policy = Policy::new().with_key(public("p256"));
    let judge = |descriptor, bundle: &[u8]| {
        let bundle = Payload::Read(bundle.to_vec());
        let signature = BundleSignature { place: "p".into(), index: 0, descriptor, bundle };
        judge(&evidence(vec![SignatureEvidence::Bundle(signature)]), &policy, Conditions::default())
    };
    let good = Descriptor::of(sigstore::MEDIA_TYPE, &bundle);
    assert_eq!(judge(good.clone(), &bundle).unwrap().count(), 1);
    assert_eq!(refused(judge(good.clone(), &[&bundle[..], b" "].concat())).0, "content");
    let mut lies = good.clone();
    lies.digest = image();
    assert_eq!(refused(judge(lies, &bundle)).0, "content");
    let simple = Descriptor::of(media_type::SIMPLE_SIGNING, &bundle);
    assert_eq!(refused(judge(simple, &bundle)).0, "encoding");
}

#[test]
fn log_entries_and_timestamps_are_kept_and_reported_as_skipped() {
    let mut bundle: Value = serde_json::from_slice(&vector("bundles/image-p256.sigstore.json")).unwrap();
    bundle["verificationMaterial"]["tlogEntries"] = json!([{
        "logIndex": "175508996", "logId": {"keyId": "AAEC"}, "kindVersion": {"kind": "dsse", "version": "0.0.1"},
        "integratedTime": "1740770291", "inclusionPromise": {"signedEntryTimestamp": "AAEC"},
        "inclusionProof": {"logIndex": "53604734", "rootHash": "AAEC", "treeSize": "53604735", "hashes": ["AAEC"],
            "checkpoint": {"envelope": "rekor.sigstore.dev\n"}},
        "canonicalizedBody": "e30=",
    }]);
    bundle["verificationMaterial"]["timestampVerificationData"] =
        json!({"rfc3161Timestamps": [{"signedTimestamp": "AAEC"}]});
    let text = bundle.to_string();
    let parsed = Bundle::parse(text.as_bytes(), sigstore::MAX_BYTES).unwrap();
    assert_eq!((parsed.log_entries[0].index, parsed.timestamps.len()), (175508996, 1));
    assert_eq!(serde_json::from_str::<Value>(&parsed.to_json()).unwrap(), bundle);
    let verified = verify(text.as_bytes(), &public("p256")).unwrap();
    for name in ["log", "timestamp"] {
        let check = verified.report().signatures[0].checks.iter().find(|check| check.name == name).unwrap();
        assert_eq!((check.result, check.reason.as_str()), (CheckResult::Skipped, "no trusted root"));
    }
    // security.md 105, 106: what each version must have.
    let entry = "/verificationMaterial/tlogEntries/0";
    for (missing, version) in [("inclusionProof", "0.3"), ("inclusionProof", "0.2"), ("inclusionPromise", "0.1")] {
        let mut changed = bundle.clone();
        changed["mediaType"] = format!("application/vnd.dev.sigstore.bundle+json;version={version}").into();
        assert!(Bundle::parse(changed.to_string().as_bytes(), sigstore::MAX_BYTES).is_ok());
        changed.pointer_mut(entry).unwrap().as_object_mut().unwrap().shift_remove(missing);
        assert!(Bundle::parse(changed.to_string().as_bytes(), sigstore::MAX_BYTES).is_err(), "{missing} {version}");
    }
    // security.md 91, 109: numbers that are none.
    for number in [json!("-1"), json!(-1), json!("9223372036854775808"), json!("05"), json!("+5"), json!(1.5)] {
        for name in ["logIndex", "integratedTime"] {
            let mut changed = bundle.clone();
            changed.pointer_mut(entry).unwrap()[name] = number.clone();
            assert!(Bundle::parse(changed.to_string().as_bytes(), sigstore::MAX_BYTES).is_err(), "{name} {number}");
        }
    }
    let mut many = bundle.clone();
    let one = bundle["verificationMaterial"]["tlogEntries"][0].clone();
    many["verificationMaterial"]["tlogEntries"] = vec![one; 33].into();
    assert!(Bundle::parse(many.to_string().as_bytes(), sigstore::MAX_BYTES).is_err());
}

// --- the shape of a bundle ----------------------------------------------------------------------------------------------

// security.md 145, 146
#[test]
fn refuses_what_is_not_exactly_one_bundle() {
    let good: Value = serde_json::from_slice(&vector("bundles/image-p256.sigstore.json")).unwrap();
    let with = |path: &str, value: Value| {
        let mut bundle = good.clone();
        match path.rsplit_once('/') {
            Some((parent, name)) => bundle.pointer_mut(parent).unwrap()[name] = value,
            None => unreachable!(),
        }
        bundle.to_string()
    };
    let text = good.to_string();
    let message = json!({"messageDigest": {}, "signature": "AAEC"});
    let certificate = json!({"rawBytes": "AAEC"});
    for bad in [
        with("/mediaType", json!("application/vnd.dev.sigstore.bundle.v0.4+json")),
        with("/mediaType", json!("application/vnd.dev.sigstore.bundle.v0.3")),
        with("/mediaType", json!("application/vnd.dev.sigstore.bundle+json;version=0.4")),
        with("/mediaType", json!("application/vnd.dev.sigstore.bundle+json;version=0.3.1")),
        with("/mediaType", json!("application/vnd.dev.sigstore.bundle.v0.03+json")),
        with("/mediaType", json!("application/vnd.dev.sigstore.bundle.v0.3.+1+json")),
        with("/mediaType", json!("application/vnd.dev.sigstore.bundle.v0.3.1.2+json")),
        with("/mediaType", json!("")),
        with("/mediaType", json!(3)),
        with("/mediaType", Value::Null),
        with("/messageSignature", message),
        with("/dsseEnvelope", Value::Null),
        with("/unknown", json!(1)),
        with("/verificationMaterial", Value::Null),
        with("/verificationMaterial/unknown", json!(1)),
        with("/verificationMaterial/publicKey", Value::Null),
        with("/verificationMaterial/publicKey/key", json!("AAEC")),
        with("/verificationMaterial/certificate", certificate.clone()),
        with("/verificationMaterial/x509CertificateChain", json!({"certificates": [certificate]})),
        with("/verificationMaterial/tlogEntries", json!({})),
        with("/verificationMaterial/tlogEntries", json!([{}])),
        with("/verificationMaterial/timestampVerificationData", json!({"rfc3161Timestamps": [{}]})),
        with("/dsseEnvelope/payload", json!(1)),
        with("/dsseEnvelope/unknown", json!(1)),
        text.replace("mediaType", "media_type"),
        text.replace("mediaType", "MediaType"),
        text.replacen('{', r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","#, 1),
        format!("{text}{text}"),
        format!("\u{feff}{text}"),
        format!("[{text}]"),
        "null".into(),
        String::new(),
        text.replacen('{', &format!("{{\"a\":{}1{},", "[".repeat(100), "]".repeat(100)), 1),
    ] {
        let error = Bundle::parse(bad.as_bytes(), sigstore::MAX_BYTES).expect_err(&bad);
        assert_eq!(error.code(), Code::SignatureInvalid, "{bad}");
    }
    for (media_type, minor) in [
        ("application/vnd.dev.sigstore.bundle+json;version=0.1", 1),
        ("application/vnd.dev.sigstore.bundle+json;version=0.2", 2),
        ("application/vnd.dev.sigstore.bundle+json;version=0.3", 3),
        ("application/vnd.dev.sigstore.bundle.v0.3.1+json", 3),
    ] {
        let bundle = with("/mediaType", json!(media_type));
        assert_eq!(Bundle::parse(bundle.as_bytes(), sigstore::MAX_BYTES).unwrap().minor_version, minor);
        // Bundles on images are of version 0.3: older ones were never stored there.
        assert_eq!(verify(bundle.as_bytes(), &public("p256")).is_ok(), minor == 3, "{media_type}");
    }
    let large = format!("{text}{}", " ".repeat(sigstore::MAX_BYTES));
    assert_eq!(Bundle::parse(large.as_bytes(), sigstore::MAX_BYTES).unwrap_err().code(), Code::TooLarge);
    assert!(Bundle::parse(large.as_bytes(), sigstore::MAX_ATTESTATION_BYTES).is_ok());
}

// security.md 142
#[test]
fn a_bundle_with_a_certificate_is_not_judged_by_a_key() {
    let mut bundle: Value = serde_json::from_slice(&vector("bundles/image-p256.sigstore.json")).unwrap();
    let material = bundle["verificationMaterial"].as_object_mut().unwrap();
    material.shift_remove("publicKey");
    material.insert("certificate".into(), json!({"rawBytes": "AAEC"}));
    assert_eq!(refused(verify(bundle.to_string().as_bytes(), &public("p256"))).0, "certificate");
}

// security.md 144
#[test]
fn the_hint_is_never_trusted() {
    let bundle = String::from_utf8(vector("bundles/image-p256.sigstore.json")).unwrap();
    let (ours, theirs) = (sigstore::hint(&public("p256")), sigstore::hint(&public("p384")));
    for hint in [theirs.as_str(), "", "no hint at all"] {
        let bundle = bundle.replace(&ours, hint);
        assert_eq!(verify(bundle.as_bytes(), &public("p256")).unwrap().count(), 1);
        assert_eq!(refused(verify(bundle.as_bytes(), &public("p384"))).0, "key");
    }
}

// --- DSSE -----------------------------------------------------------------------------------------------------------------

// security.md 149
#[test]
fn refuses_a_payload_type_changed_after_signing() {
    let bundle = String::from_utf8(vector("bundles/image-p256.sigstore.json")).unwrap();
    let changed = bundle.replace(dsse::IN_TOTO, "application/vnd.in-toto+JSON");
    assert_eq!(refused(verify(changed.as_bytes(), &public("p256"))).0, "encoding");
    let key = private("p256");
    let other = signed(&key, "text/plain", &good_statement().to_string());
    assert_eq!(refused(verify(&other, &key.public_key())).0, "encoding");
    // Relabelled as a statement, the signature is over another PAE.
    let relabelled = String::from_utf8(other).unwrap().replace("text/plain", dsse::IN_TOTO);
    assert_eq!(refused(verify(relabelled.as_bytes(), &key.public_key())).0, "key");
}

// security.md 150
#[test]
fn a_signature_of_one_kind_is_none_of_another() {
    let key = private("p256");
    let payload = vector("cosign-3.1.1-legacy/payload-0.json");
    let text = String::from_utf8(payload.clone()).unwrap();
    assert_eq!(refused(verify(&signed(&key, dsse::IN_TOTO, &text), &key.public_key())).0, "payload");
    // A signature over the bare statement, as over a blob, is none over its PAE; and the reverse.
    let statement = good_statement().to_string().into_bytes();
    let mut envelope = Envelope::sign(dsse::IN_TOTO, statement.clone(), &key, None).unwrap();
    let over_pae = std::mem::replace(&mut envelope.signatures[0].signature, key.sign(&statement).unwrap());
    let bundle = Bundle::of_envelope(envelope, &key.public_key()).to_json();
    assert_eq!(refused(verify(bundle.as_bytes(), &key.public_key())).0, "key");
    assert!(key.public_key().verify(&statement, &over_pae).is_err());
    let blob = vector("bundles/blob-p256.sigstore.json");
    assert_eq!(refused(verify(&blob, &public("p256"))).0, "encoding");
}

// security.md 151
#[test]
fn no_byte_moves_between_type_and_payload() {
    assert_eq!(
        dsse::pae("http://example.com/HelloWorld", b"hello world"),
        *b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
    assert_eq!(dsse::pae("é", b""), "DSSEv1 2 é 0 ".as_bytes());
    let key = private("p256");
    let envelope = Envelope::sign("type", b"X 3 abc".to_vec(), &key, None).unwrap();
    for (payload_type, payload) in
        [("typeX", &b"abc"[..]), ("type 7 X", b"3 abc"), ("typ", b"eX 3 abc"), ("type", b"X 3 abc ")]
    {
        let moved = Envelope { payload_type: payload_type.into(), payload: payload.into(), ..envelope.clone() };
        assert!(moved.signer(&[key.public_key()]).is_none(), "{payload_type}");
    }
    assert!(envelope.signer(&[key.public_key()]).is_some());
}

// security.md 152, 153
#[test]
fn a_bundle_has_exactly_one_signature() {
    let mut bundle: Value = serde_json::from_slice(&vector("bundles/image-p256.sigstore.json")).unwrap();
    let signature = bundle["dsseEnvelope"]["signatures"][0].clone();
    for signatures in [vec![], vec![signature.clone(); 2], vec![json!({"sig": ""})], vec![json!({})], vec![json!(1)]] {
        bundle["dsseEnvelope"]["signatures"] = signatures.into();
        assert_eq!(refused(verify(bundle.to_string().as_bytes(), &public("p256"))).0, "encoding");
    }
    // An envelope that stands alone may have several, up to a cap.
    let mut envelope = bundle["dsseEnvelope"].clone();
    for (count, is_ok) in [(0, false), (1, true), (dsse::MAX_SIGNATURES, true), (dsse::MAX_SIGNATURES + 1, false)] {
        envelope["signatures"] = vec![signature.clone(); count].into();
        assert_eq!(Envelope::parse(envelope.to_string().as_bytes(), 1 << 20).is_ok(), is_ok, "{count}");
    }
}

// security.md 154
#[test]
fn a_keyid_decides_nothing() {
    let mut bundle: Value = serde_json::from_slice(&vector("bundles/image-p256.sigstore.json")).unwrap();
    bundle["dsseEnvelope"]["signatures"][0]["keyid"] = sigstore::hint(&public("p384")).into();
    assert_eq!(verify(bundle.to_string().as_bytes(), &public("p256")).unwrap().count(), 1);
    assert_eq!(refused(verify(bundle.to_string().as_bytes(), &public("p384"))).0, "key");
}

// security.md 155
#[test]
fn base64_may_be_of_either_alphabet_with_or_without_padding() {
    let mut bundle: Value = serde_json::from_slice(&vector("bundles/image-p256.sigstore.json")).unwrap();
    let signature = bundle["dsseEnvelope"]["signatures"][0]["sig"].as_str().unwrap().to_owned();
    let url = signature.replace('+', "-").replace('/', "_");
    assert!(url.contains(['-', '_']), "the vector has no such character");
    let wrapped = format!("{}\n{}", &signature[..40], &signature[40..]);
    for (text, is_ok) in [
        (url.clone(), true),
        (url.trim_end_matches('=').into(), true),
        (signature.trim_end_matches('=').into(), true),
        (wrapped, true),
        (format!("{signature} "), false),
        (signature.replacen('A', "_", 1), !signature.contains(['+', '/'])),
        (format!("{signature}===="), false),
    ] {
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = text.clone().into();
        assert_eq!(verify(bundle.to_string().as_bytes(), &public("p256")).is_ok(), is_ok, "{text}");
    }
}

// security.md 156-160
#[test]
fn a_statement_names_this_image_in_one_way() {
    let key = private("p256");
    let verify = |payload: &str| verify(&signed(&key, dsse::IN_TOTO, payload), &key.public_key());
    let good = good_statement();
    let hex = image().hex().to_owned();
    let subject = |digests: Value| statement_of(json!([{"digest": digests}]), statement::COSIGN_SIGN).to_string();
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed.to_string()
    };
    for accepted in [
        good.to_string(),
        with("_type", json!(statement::TYPE_V01)),
        with("predicate", json!("a text")),
        with("predicate", Value::Null),
        statement_of(
            json!([{"digest": {"sha256": &OTHER[7..]}}, {"name": "n", "digest": {"sha1": "ab", "sha256": hex}}]),
            statement::COSIGN_SIGN,
        )
        .to_string(),
    ] {
        assert_eq!(verify(&accepted).unwrap().count(), 1, "{accepted}");
    }
    for (check, payload) in [
        ("payload", "no JSON".to_owned()),
        ("payload", String::new()),
        ("payload", "null".into()),
        ("payload", with("_type", json!("https://in-toto.io/Statement/v2"))),
        ("payload", with("_type", Value::Null)),
        ("payload", with("subject", json!([]))),
        ("payload", with("subject", Value::Null)),
        ("payload", with("subject", json!({"digest": {"sha256": hex}}))),
        ("payload", with("subject", vec![json!({"digest": {"sha256": hex}}); 1025].into())),
        ("payload", with("predicateType", Value::Null)),
        ("payload", with("more", json!(1))),
        ("payload", good.to_string().replace("\"subject\"", "\"Subject\"")),
        ("payload", good.to_string().replacen('{', r#"{"_type":"https://in-toto.io/Statement/v1","#, 1)),
        ("payload", format!("{good}{good}")),
        ("payload", subject(json!({}))),
        ("payload", subject(Value::Null)),
        ("payload", subject(json!({"sha512": hex}))),
        ("payload", subject(json!({"sha256": hex.to_uppercase()}))),
        ("payload", subject(json!({"sha256": &hex[1..]}))),
        ("payload", subject(json!({"sha256": 1}))),
        ("digest", subject(json!({"sha1": hex}))),
        ("digest", subject(json!({"SHA256": hex}))),
        ("digest", subject(json!({"sha256": &OTHER[7..]}))),
        ("predicate", with("predicateType", json!("https://sigstore.dev/cosign/sign/v2"))),
        ("predicate", with("predicateType", json!("cosign"))),
        ("predicate", with("predicateType", json!("https://sigstore.dev/cosign/sign/v1/"))),
    ] {
        assert_eq!(refused(verify(&payload)).0, check, "{payload}");
    }
}

#[test]
fn switched_off_claims_leave_signature_and_predicate_type() {
    let key = private("p256");
    let policy = Policy::new().with_key(key.public_key());
    let conditions = Conditions { check_claims: false, ..Conditions::default() };
    let other = statement_of(json!([{"digest": {"sha256": &OTHER[7..]}}]), statement::COSIGN_SIGN).to_string();
    let verified = judge_with(&signed(&key, dsse::IN_TOTO, &other), &policy, conditions).unwrap();
    assert_eq!(verified.report().insecure, ["claims not checked"]);
    let attestation = statement_of(json!([{"digest": {"sha256": &OTHER[7..]}}]), "https://example.com").to_string();
    assert_eq!(refused(judge_with(&signed(&key, dsse::IN_TOTO, &attestation), &policy, conditions)).0, "predicate");
}

// --- on an image ------------------------------------------------------------------------------------------------------------

#[test]
fn a_fallback_tag_is_read_for_what_it_is() {
    let index = vector("cosign-3.1.1-bundle/referrers-tag-index.json");
    let referrer::Fallback::Index(parsed) = referrer::parse_fallback(&index, None, &image()).unwrap() else {
        panic!("no index")
    };
    assert_eq!(parsed.manifests.len(), 2);
    // cosign's entries are of the configuration's type and must be read all the same.
    assert!(parsed.manifests.iter().all(|entry| referrer::may_be_bundle(&entry.descriptor)));
    for (n, entry) in parsed.manifests.iter().enumerate() {
        let bytes = vector(&format!("cosign-3.1.1-bundle/manifest-{n}.json"));
        let manifest = cosign_core::oci::Manifest::parse(&bytes, None).unwrap();
        let layer = referrer::bundle_layer(&manifest).unwrap().unwrap();
        let bundle = vector(&format!("cosign-3.1.1-bundle/bundle-{n}.sigstore.json"));
        assert!(
            layer.digest.matches(&bundle) && parsed.manifests.iter().any(|e| e.descriptor.digest.matches(&bytes)),
            "{entry:?}"
        );
    }
    // GitLab answers with the subject itself; others with some image.
    let own = vector("image/manifest.json");
    assert_eq!(referrer::parse_fallback(&own, None, &image()).unwrap(), referrer::Fallback::Alias);
    let other = vector("cosign-3.1.1-legacy/manifest.json");
    assert_eq!(referrer::parse_fallback(&other, None, &image()).unwrap(), referrer::Fallback::Alias);
    assert_eq!(referrer::parse_fallback(&index, None, &Digest::sha256(&index)).unwrap(), referrer::Fallback::Alias);
    assert_eq!(referrer::parse_fallback(b"<html>", None, &image()).unwrap_err().code(), Code::Protocol);

    // Adding keeps what is there, sorts by digest, and adds nothing twice.
    let old = parsed.manifests[0].descriptor.clone();
    assert_eq!(referrer::with_entries(Some(&parsed), [&old]).unwrap(), parsed);
    let entry = Descriptor::of(media_type::OCI_MANIFEST, b"new");
    let added = referrer::with_entries(Some(&parsed), [&entry]).unwrap().to_json();
    let added: Value = serde_json::from_str(&added).unwrap();
    let digests: Vec<&str> =
        added["manifests"].as_array().unwrap().iter().map(|e| e["digest"].as_str().unwrap()).collect();
    assert!(digests.len() == 3 && digests.is_sorted(), "{digests:?}");
    let before: Value = serde_json::from_slice(&index).unwrap();
    for entry in before["manifests"].as_array().unwrap() {
        assert!(added["manifests"].as_array().unwrap().contains(entry));
    }
}

#[test]
fn only_a_manifest_with_one_bundle_is_one() {
    let mut journal = Descriptor::of(media_type::OCI_MANIFEST, b"");
    journal.artifact_type = Some(referrer::JOURNAL.into());
    assert!(!referrer::may_be_bundle(&journal));
    assert!(!referrer::may_be_bundle(&Descriptor::of(media_type::OCI_INDEX, b"")));
    let text = String::from_utf8(vector("bundles/image-p256.manifest.json")).unwrap();
    let parse = |text: &str| cosign_core::oci::Manifest::parse(text.as_bytes(), None).unwrap();
    assert!(referrer::bundle_layer(&parse(&text)).unwrap().is_some());
    let sbom = text.replace(sigstore::MEDIA_TYPE, "text/spdx+json");
    assert_eq!(referrer::bundle_layer(&parse(&sbom)).unwrap(), None);
    assert_eq!(referrer::bundle_layer(&parse(&text.replace(media_type::EMPTY, referrer::JOURNAL))).unwrap(), None);
    let large = text.replace("\"size\":659", "\"size\":4194305");
    assert_eq!(referrer::bundle_layer(&parse(&large)).unwrap_err().code(), Code::TooLarge);
    let mut two: Value = serde_json::from_str(&text).unwrap();
    let layer = two["layers"][0].clone();
    two["layers"].as_array_mut().unwrap().push(layer);
    assert_eq!(referrer::bundle_layer(&parse(&two.to_string())).unwrap_err().code(), Code::SignatureInvalid);
}

// --- every byte, every member -----------------------------------------------------------------------------------------------

/// The changes of a bundle that mean nothing, and why. Every other change must be refused.
///
/// - `hint`, another text, `null` or left out: it is unsigned and never used.
/// - `payload` and `sig` in another spelling of the same bytes (without padding): what is verified are the bytes.
/// - White space between tokens: it is no part of the document.
fn is_meaningless(original: &Value, changed: &[u8]) -> bool {
    let Ok(mut changed) = serde_json::from_slice::<Value>(changed) else { return false };
    let mut original = original.clone();
    for bundle in [&mut original, &mut changed] {
        if let Some(key) = bundle.pointer_mut("/verificationMaterial/publicKey").and_then(Value::as_object_mut)
            && key.get("hint").is_some_and(|hint| hint.is_string() || hint.is_null())
        {
            key.shift_remove("hint");
        }
        for pointer in ["/dsseEnvelope/payload", "/dsseEnvelope/signatures/0/sig"] {
            let Some(value) = bundle.pointer_mut(pointer) else { return false };
            let Some(Ok(bytes)) = value.as_str().map(base64::decode_any) else { return false };
            *value = bytes.into();
        }
    }
    original == changed
}

#[test]
fn every_byte_of_a_bundle_counts_or_is_listed() {
    let ours = private("p256");
    let ours_bundle = Bundle::sign_image(&image(), &BTreeMap::new(), &ours, None).unwrap().to_json().into_bytes();
    for (bundle, key) in
        [(vector("bundles/image-annotated.sigstore.json"), public("p256")), (ours_bundle, ours.public_key())]
    {
        let original: Value = serde_json::from_slice(&bundle).unwrap();
        let (mut refusals, mut meaningless) = (0, 0);
        all_byte_mutations(&bundle, |changed, at| match verify(changed, &key) {
            Err(_) => refusals += 1,
            Ok(_) if is_meaningless(&original, changed) => meaningless += 1,
            Ok(_) => panic!("byte {at} of {}: accepted {}", bundle.len(), String::from_utf8_lossy(changed)),
        });
        // The 44 characters of the hint, and hardly anything else.
        assert!(refusals > 6000 && meaningless < 600, "{refusals} refused, {meaningless} meaningless");
    }
}

#[test]
fn every_member_of_a_bundle_counts_or_is_listed() {
    let ours = private("p384");
    let ours_bundle = Bundle::sign_image(&image(), &BTreeMap::new(), &ours, None).unwrap().to_json().into_bytes();
    for (bundle, key) in
        [(vector("bundles/image-p256.sigstore.json"), public("p256")), (ours_bundle, ours.public_key())]
    {
        let original: Value = serde_json::from_slice(&bundle).unwrap();
        let mut all = Vec::new();
        pointers(&original, String::new(), &mut all);
        assert!(all.len() > 8, "{all:?}");
        let mut refusals = 0;
        let mut judge = |changed: String, what: &str| match verify(changed.as_bytes(), &key) {
            Err(_) => refusals += 1,
            Ok(_) if is_meaningless(&original, changed.as_bytes()) => {}
            Ok(_) => panic!("{what}: accepted {changed}"),
        };
        for pointer in &all {
            for value in [Value::Null, json!(1), json!("AAAA"), json!(""), json!([]), json!({}), json!(true)] {
                let mut changed = original.clone();
                *changed.pointer_mut(pointer).unwrap() = value;
                judge(changed.to_string(), pointer);
            }
            let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", ""));
            let mut changed = original.clone();
            if let Some(Value::Object(object)) = changed.pointer_mut(parent)
                && let Some(value) = object.shift_remove(name)
            {
                judge(changed.to_string(), &format!("{pointer} removed"));
                // The same member under another spelling of its name, and twice.
                for spelled in [name.to_uppercase(), format!("{name} "), format!("\u{17f}{name}")] {
                    let mut changed = changed.clone();
                    changed.pointer_mut(parent).unwrap()[spelled] = value.clone();
                    judge(changed.to_string(), &format!("{pointer} renamed"));
                }
                let twice = original.to_string().replacen(
                    &format!("\"{name}\":"),
                    &format!("\"{name}\":{value},\"{name}\":"),
                    1,
                );
                judge(twice, &format!("{pointer} twice"));
            }
            let mut changed = original.clone();
            if let Some(Value::Object(object)) = changed.pointer_mut(pointer) {
                object.insert("more".into(), json!(1));
                judge(changed.to_string(), &format!("{pointer} with another member"));
            }
        }
        assert!(refusals > 80, "{refusals}");
    }
}

// --- what we write ------------------------------------------------------------------------------------------------------------

#[test]
fn signs_images_with_every_kind_of_key() {
    let annotations: BTreeMap<String, String> = [("a".to_owned(), "\u{1}\"\\\u{2028}".to_owned())].into();
    for algorithm in KeyAlgorithm::ALL {
        let Ok(key) = PrivateKey::generate(*algorithm) else {
            assert!(!cfg!(feature = "backend-aws-lc") && algorithm.name().starts_with("rsa"));
            continue;
        };
        let bundle = Bundle::sign_image(&image(), &annotations, &key, None).unwrap().to_json();
        let verified = verify(bundle.as_bytes(), &key.public_key()).unwrap();
        assert_eq!(verified.signatures()[0].annotations()["a"], annotations["a"].as_str());
        assert_eq!(verified.signatures()[0].key_fingerprint(), key.public_key().fingerprint());
    }
    let key = private("p384");
    let sha256 = Bundle::sign_image(&image(), &annotations, &key, Some(Hash::Sha256)).unwrap();
    assert_eq!(verify(sha256.to_json().as_bytes(), &key.public_key()).unwrap().count(), 1);
    // A standalone envelope comes back as it was.
    let Content::Envelope(envelope) = sha256.content else { panic!("no envelope") };
    assert_eq!(Envelope::parse(envelope.to_json().as_bytes(), 1 << 20).unwrap(), envelope);
    assert!(base64::decode(&sigstore::hint(&key.public_key())).is_ok_and(|hint| hint.len() == 32));
}

#[test]
fn an_unknown_digest_algorithm_is_shown_shortened() {
    let mut bundle: Value = serde_json::from_slice(&vector("bundles/blob-p256.sigstore.json")).unwrap();
    bundle["messageSignature"]["messageDigest"]["algorithm"] = "X".repeat(100_000).into();
    let error = BlobBundle::parse(bundle.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.code(), Code::SignatureInvalid);
    assert!(error.message().len() < 300, "{} bytes", error.message().len());
}
