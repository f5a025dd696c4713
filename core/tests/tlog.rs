//! Transparency logs without any: a log of our own making vouches for entries, and every way in which such evidence can be
//! wrong is tried against the judgement.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use cosign_core::bundle::legacy::{self, NewSignature};
use cosign_core::bundle::rekor::{self, Logged};
use cosign_core::bundle::sigstore::{Bundle, Content, InclusionProof, LogEntry};
use cosign_core::crypto::Hash;
use cosign_core::encoding::{base64, hex};
use cosign_core::oci::Descriptor;
use cosign_core::payload::dsse::Envelope;
use cosign_core::payload::simple_signing;
use cosign_core::trust::{
    Subject, TrustedLog, TrustedRoot, Validity, check_entry, check_included, is_about, leaf_hash,
};
use cosign_core::verify::{
    BundleSignature, Conditions, Judge, LegacySignature, LogAnswer, Payload, SignatureEvidence, Verdict,
};
use cosign_core::{Code, Digest, Error, KeyAlgorithm, Policy, PrivateKey, PublicKey, Report};
use serde_json::{Value, json};

fn p256() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()
}

/// A log of the first generation.
struct Log {
    key: PrivateKey,
    bodies: Vec<Vec<u8>>,
}

const TREE: u64 = 0x4403_f2cb_bee5_02a9;

impl Log {
    /// A log that holds a few entries of others.
    fn new() -> Log {
        let bodies = (0..5).map(|n| format!("entry {n}").into_bytes()).collect();
        Log { key: p256(), bodies }
    }

    fn root(&self) -> TrustedRoot {
        self.root_while(Validity::default())
    }

    fn root_while(&self, validity: Validity) -> TrustedRoot {
        let mut root = TrustedRoot::new();
        root.add_log(TrustedLog { validity, ..TrustedLog::of_key(self.key.public_key()) });
        root
    }

    /// Takes an entry and vouches for it in both ways; two more come after it.
    fn add(&mut self, body: &Value) -> Logged {
        let body = body.to_string().into_bytes();
        let index = self.bodies.len();
        self.bodies.push(body.clone());
        self.bodies.extend([b"later".to_vec(), b"latest".to_vec()]);
        let (kind, version) = rekor::kind(&body).unwrap();
        let mut entry = LogEntry {
            index: 1000 + index as u64,
            log_id: Hash::Sha256.digest(self.key.public_key().to_der()),
            kind,
            version,
            integrated_time: 1_700_000_000,
            promise: None,
            proof: None,
            body,
        };
        entry.promise = Some(self.promise(&entry));
        entry.proof = Some(self.proof(index));
        let uuid = format!("{TREE:016x}{}", hex::encode(&leaf_hash(&entry.body)));
        Logged { uuid, entry }
    }

    fn promise(&self, entry: &LogEntry) -> Vec<u8> {
        self.key.sign(rekor::promised(entry).as_bytes()).unwrap()
    }

    fn proof(&self, index: usize) -> InclusionProof {
        let root = tree(&self.bodies);
        InclusionProof {
            index: index as u64,
            tree_size: self.bodies.len() as u64,
            hashes: path(index, &self.bodies),
            checkpoint: self.checkpoint(&format!("log.test - {TREE}"), self.bodies.len() as u64, &root),
            root,
        }
    }

    fn checkpoint(&self, origin: &str, size: u64, root: &[u8]) -> String {
        checkpoint(&self.key, origin, size, root)
    }
}

fn checkpoint(key: &PrivateKey, origin: &str, size: u64, root: &[u8]) -> String {
    let text = format!("{origin}\n{size}\n{}\n", base64::encode(root));
    let mut packed = Hash::Sha256.digest(key.public_key().to_der())[..4].to_vec();
    packed.extend(key.sign(text.as_bytes()).unwrap());
    let name = origin.split(" - ").next().unwrap();
    format!("{text}\n\u{2014} {name} {}\n", base64::encode(&packed))
}

/// RFC 6962 §2.1, by recursion.
fn tree(leaves: &[Vec<u8>]) -> Vec<u8> {
    match leaves.len() {
        1 => leaf_hash(&leaves[0]),
        n => {
            let k = n.next_power_of_two() / 2;
            Hash::Sha256.digest(&[&[1], tree(&leaves[..k]).as_slice(), &tree(&leaves[k..])].concat())
        }
    }
}

fn path(m: usize, leaves: &[Vec<u8>]) -> Vec<Vec<u8>> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut path, sibling) = match m < k {
        true => (path(m, &leaves[..k]), tree(&leaves[k..])),
        false => (path(m - k, &leaves[k..]), tree(&leaves[..k])),
    };
    path.push(sibling);
    path
}

// --- bodies as Rekor writes them --------------------------------------------------------------------------------------

fn pem(key: &PublicKey) -> String {
    base64::encode(key.to_pem().as_bytes())
}

fn hashed(hash: Hash, content: &[u8]) -> Value {
    json!({"algorithm": hash.name(), "value": hex::encode(&hash.digest(content))})
}

fn hashedrekord(content: &[u8], signature: &[u8], key: &PublicKey, hash: Hash) -> Value {
    json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
        "data": {"hash": hashed(hash, content)},
        "signature": {"content": base64::encode(signature), "publicKey": {"content": pem(key)}},
    }})
}

fn rekord(content: &[u8], signature: &[u8], key: &PublicKey) -> Value {
    let mut body = hashedrekord(content, signature, key, Hash::Sha256);
    body["kind"] = json!("rekord");
    body["spec"]["signature"]["format"] = json!("x509");
    body
}

fn dsse(envelope: &Envelope, key: &PublicKey) -> Value {
    json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
        "envelopeHash": hashed(Hash::Sha256, envelope.to_json().as_bytes()),
        "payloadHash": hashed(Hash::Sha256, &envelope.payload),
        "signatures": [{"signature": base64::encode(&envelope.signatures[0].signature), "verifier": pem(key)}],
    }})
}

fn intoto_2(envelope: &Envelope, key: &PublicKey) -> Value {
    let twice = base64::encode(base64::encode(&envelope.signatures[0].signature).as_bytes());
    json!({"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": {
        "envelope": {
            "payloadType": envelope.payload_type,
            "signatures": [{"publicKey": pem(key), "sig": twice}],
        },
        "hash": hashed(Hash::Sha256, b"the envelope as it was sent"),
        "payloadHash": hashed(Hash::Sha256, &envelope.payload),
    }}})
}

fn intoto_1(envelope: &Envelope, key: &PublicKey) -> Value {
    let text = format!(
        r#"{{"payloadType":"{}","payload":"{}","signatures":[{{"keyid":"","sig":"{}"}}]}}"#,
        envelope.payload_type,
        base64::encode(&envelope.payload),
        base64::encode(&envelope.signatures[0].signature)
    );
    json!({"apiVersion": "0.0.1", "kind": "intoto", "spec": {
        "content": {"hash": hashed(Hash::Sha256, text.as_bytes()), "payloadHash": hashed(Hash::Sha256, &envelope.payload)},
        "publicKey": pem(key),
    }})
}

// --- an image and its judgement ---------------------------------------------------------------------------------------

/// The other signature that is as good: (r, -s) for (r, s). Signing again is no way to have one, since the pure backend
/// signs deterministically.
fn mirrored(signature: &[u8]) -> Vec<u8> {
    let (r, s) = p256::ecdsa::Signature::from_der(signature).unwrap().split_scalars();
    p256::ecdsa::Signature::from_scalars(*r, -*s).unwrap().to_der().as_bytes().to_vec()
}

struct Image {
    digest: Digest,
    signer: PrivateKey,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl Image {
    fn new() -> Image {
        let (digest, signer) = (Digest::sha256(b"an image"), p256());
        let payload = simple_signing::write("registry.test/app", &digest, &BTreeMap::new());
        let signature = signer.sign(&payload).unwrap();
        Image { digest, signer, payload, signature }
    }

    /// Another good signature of the same payload by the same key.
    fn another_signature(&self) -> Vec<u8> {
        mirrored(&self.signature)
    }

    fn subject(&self) -> Subject {
        Subject::message(&self.payload, &self.signature, &self.signer.public_key())
    }

    fn body(&self) -> Value {
        hashedrekord(&self.payload, &self.signature, &self.signer.public_key(), Hash::Sha256)
    }

    fn policy(&self, root: TrustedRoot, demanded: bool) -> Policy {
        let mut policy = Policy::new().with_key(self.signer.public_key());
        policy.trust(root);
        policy.require_tlog(demanded);
        policy
    }

    /// The legacy signature, with this annotation of a log entry.
    fn evidence(&self, annotation: Option<&str>) -> SignatureEvidence {
        let mut new = NewSignature {
            payload: self.payload.clone(),
            signature: self.signature.clone(),
            ..NewSignature::default()
        };
        new.annotations.extend(annotation.map(|text| (legacy::LOG_BUNDLE.to_owned(), text.to_owned())));
        SignatureEvidence::Legacy(LegacySignature {
            place: "registry.test/app:sig".to_owned(),
            layer: 0,
            descriptor: legacy::layer(&new),
            payload: Payload::Read(self.payload.clone()),
        })
    }

    fn judged(&self, policy: &Policy, evidence: &SignatureEvidence, asked: &LogAnswer) -> Result<Report, Error> {
        let mut judge = Judge::new(&self.digest, "registry.test/app@x", policy, Conditions::default())?;
        judge.signature_and_log(evidence, asked);
        judge.finish().map(|verified| verified.report().clone())
    }

    /// How the check of the log went, and the verdict.
    fn log_check(&self, policy: &Policy, evidence: &SignatureEvidence, asked: &LogAnswer) -> (Verdict, String, String) {
        let report = match self.judged(policy, evidence, asked) {
            Ok(report) => report,
            Err(error) => error.report().unwrap_or_else(|| panic!("{error:?}")).clone(),
        };
        let checks = &report.signatures[0].checks;
        let check = checks.iter().find(|check| check.name == "log").unwrap_or_else(|| panic!("{checks:?}"));
        (report.verdict, format!("{:?}", check.result), check.reason.clone())
    }
}

#[track_caller]
fn assert_check(found: &(Verdict, String, String), verdict: Verdict, result: &str, reason: &str) {
    assert_eq!((found.0, found.1.clone()), (verdict, result.to_owned()), "{found:?}");
    assert!(found.2.contains(reason), "{found:?} does not say {reason:?}");
}

#[test]
fn a_log_is_demanded_only_by_the_policy_and_judged_as_soon_as_one_is_trusted() {
    let (image, mut log) = (Image::new(), Log::new());
    let logged = log.add(&image.body());
    let good = image.evidence(Some(&rekor::annotation(&logged.entry).unwrap()));
    let broken = image.evidence(Some("{}"));
    let bare = image.evidence(None);
    let asked = LogAnswer::NotAsked;
    let nobody = TrustedRoot::new();
    use Verdict::{Refused, Unknown, Verified};
    // Nobody is trusted: what is there says nothing.
    for evidence in [&good, &broken] {
        let check = image.log_check(&image.policy(nobody.clone(), false), evidence, &asked);
        assert_check(&check, Verified, "Skipped", "no trusted root");
    }
    // Somebody is trusted: what is there must be good.
    let trusting = image.policy(log.root(), false);
    assert_check(&image.log_check(&trusting, &good, &asked), Verified, "Passed", "");
    assert_check(&image.log_check(&trusting, &broken, &asked), Refused, "Failed", "SignedEntryTimestamp");
    assert_check(&image.log_check(&trusting, &bare, &asked), Verified, "Skipped", "the signature has none");
    let stranger = image.policy(Log::new().root(), false);
    assert_check(&image.log_check(&stranger, &good, &asked), Refused, "Failed", "no log that is trusted");
    // A log is demanded.
    let demanding = image.policy(log.root(), true);
    assert_check(&image.log_check(&demanding, &good, &asked), Verified, "Passed", "");
    assert_check(&image.log_check(&demanding, &broken, &asked), Refused, "Failed", "SignedEntryTimestamp");
    assert_check(&image.log_check(&demanding, &bare, &asked), Refused, "Failed", "no log was asked");
    let silent = LogAnswer::Unread(Error::new(Code::Network, "the log is silent"));
    assert_check(&image.log_check(&demanding, &bare, &silent), Unknown, "Failed", "the log is silent");
    assert_eq!(image.judged(&demanding, &bare, &silent).unwrap_err().code(), Code::Network);
    let none = LogAnswer::Entries(Vec::new());
    assert_check(&image.log_check(&demanding, &bare, &none), Refused, "Failed", "no entry of this signature");
    let found = LogAnswer::Entries(vec![logged]);
    assert_check(&image.log_check(&demanding, &bare, &found), Verified, "Passed", "");
    // A demand that nothing can meet is an error before anything is looked at.
    let impossible = image.judged(&image.policy(nobody, true), &good, &asked).unwrap_err();
    assert_eq!(impossible.code(), Code::PolicyEmpty);
    assert!(impossible.message().contains("give the log's public key"), "{impossible}");
}

#[test]
fn the_log_is_asked_only_about_signatures_that_would_count() {
    let (image, log) = (Image::new(), Log::new());
    let wants = |image: &Image, policy: &Policy, evidence: &SignatureEvidence| {
        Judge::new(&image.digest, "x", policy, Conditions::default()).unwrap().wants_log(evidence)
    };
    let bare = image.evidence(None);
    let subject = wants(&image, &image.policy(log.root(), true), &bare).unwrap();
    assert_eq!((&subject.signature, &subject.key), (&image.signature, &image.signer.public_key()));
    assert!(wants(&image, &image.policy(log.root(), false), &bare).is_none());
    assert!(wants(&image, &image.policy(log.root(), true), &image.evidence(Some("{}"))).is_none());
    // Another key's signature, and one of another image.
    let other = Image::new();
    assert!(wants(&image, &other.policy(log.root(), true), &bare).is_none());
    let elsewhere = Image { digest: Digest::sha256(b"another"), ..image };
    assert!(wants(&elsewhere, &elsewhere.policy(log.root(), true), &bare).is_none());
}

#[test]
fn an_entry_of_another_signature_key_payload_or_kind_proves_nothing() {
    let (image, mut log) = (Image::new(), Log::new());
    let root = log.root();
    let key = image.signer.public_key();
    let (other_signature, other_key) = (image.another_signature(), p256());
    let other_payload = b"{}".to_vec();
    let envelope = Envelope::sign("application/vnd.in-toto+json", image.payload.clone(), &image.signer, None).unwrap();
    let good = [image.body(), rekord(&image.payload, &image.signature, &key)];
    for body in &good {
        check_included(&log.add(body), &image.subject(), &root).unwrap();
        assert_eq!(
            is_about(&log.add(body).entry, &Subject::envelope(&envelope, &key)).unwrap_err().code(),
            Code::PayloadMismatch
        );
    }
    for hash in [Hash::Sha384, Hash::Sha512] {
        let body = hashedrekord(&image.payload, &image.signature, &key, hash);
        check_included(&log.add(&body), &image.subject(), &root).unwrap();
    }
    for body in [
        hashedrekord(&image.payload, &other_signature, &key, Hash::Sha256),
        hashedrekord(&image.payload, &image.signature, &other_key.public_key(), Hash::Sha256),
        hashedrekord(&other_payload, &image.signature, &key, Hash::Sha256),
        rekord(&image.payload, &other_signature, &key),
        rekord(&image.payload, &image.signature, &other_key.public_key()),
        rekord(&other_payload, &image.signature, &key),
        dsse(&envelope, &key),
        intoto_1(&envelope, &key),
        intoto_2(&envelope, &key),
    ] {
        let error = check_included(&log.add(&body), &image.subject(), &root).unwrap_err();
        assert_eq!(error.code(), Code::PayloadMismatch, "{body} {error}");
    }

    // The same of envelopes.
    let subject = Subject::envelope(&envelope, &key);
    let mut other = envelope.clone();
    other.signatures[0].signature = mirrored(&envelope.signatures[0].signature);
    let elsewhere = Envelope::sign("application/vnd.in-toto+json", other_payload, &image.signer, None).unwrap();
    let kinds: [fn(&Envelope, &PublicKey) -> Value; 3] = [dsse, intoto_1, intoto_2];
    for body in kinds {
        check_included(&log.add(&body(&envelope, &key)), &subject, &root).unwrap();
        for wrong in [body(&other, &key), body(&elsewhere, &key), body(&envelope, &other_key.public_key())] {
            let error = check_included(&log.add(&wrong), &subject, &root).unwrap_err();
            assert_eq!(error.code(), Code::PayloadMismatch, "{wrong} {error}");
        }
    }
    let mut kind = intoto_2(&envelope, &key);
    kind["spec"]["content"]["envelope"]["payloadType"] = json!("text/plain");
    assert!(check_included(&log.add(&kind), &subject, &root).is_err());
}

/// Every path to a value inside a document.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(k, v)| pointers(v, &format!("{at}/{k}"), out)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, v)| pointers(v, &format!("{at}/{n}"), out)),
        _ => {}
    }
}

#[test]
fn each_part_of_a_body_missing_null_empty_or_of_another_type_is_refused() {
    let (image, mut log) = (Image::new(), Log::new());
    let root = log.root();
    let key = image.signer.public_key();
    let envelope = Envelope::sign("application/vnd.in-toto+json", image.payload.clone(), &image.signer, None).unwrap();
    let (message, signed) = (image.subject(), Subject::envelope(&envelope, &key));
    let mut tried = 0;
    for (body, subject) in [
        (image.body(), &message),
        (rekord(&image.payload, &image.signature, &key), &message),
        (dsse(&envelope, &key), &signed),
        (intoto_1(&envelope, &key), &signed),
        (intoto_2(&envelope, &key), &signed),
    ] {
        let mut all = Vec::new();
        pointers(&body, "", &mut all);
        for pointer in all.iter().filter(|pointer| !pointer.is_empty()) {
            // What only describes the text that was sent, which nobody has kept.
            let unused = ["/envelopeHash", "/content/hash"];
            let keeps_it = body["kind"] == json!("intoto") && body["apiVersion"] == json!("0.0.1");
            if !keeps_it && unused.iter().any(|name| pointer.contains(name)) {
                continue;
            }
            for wrong in [json!(null), json!([]), json!(""), json!({}), json!(1), json!("AAAA"), json!(true)] {
                let mut changed = body.clone();
                *changed.pointer_mut(pointer).unwrap() = wrong;
                refuse(&mut log, &changed, subject, &root);
                tried += 1;
            }
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let mut changed = body.clone();
            match changed.pointer_mut(parent).unwrap() {
                Value::Object(members) => {
                    members.remove(name);
                    refuse(&mut log, &changed, subject, &root);
                    let mut changed = body.clone();
                    changed.pointer_mut(parent).unwrap()["more"] = json!(1);
                    refuse(&mut log, &changed, subject, &root);
                }
                Value::Array(items) => {
                    let twice = items[0].clone();
                    items.push(twice);
                    refuse(&mut log, &changed, subject, &root);
                }
                _ => unreachable!(),
            }
        }
    }
    assert!(tried > 300, "{tried}");
}

/// The log vouches for the body, whatever it is.
fn refuse(log: &mut Log, body: &Value, subject: &Subject, root: &TrustedRoot) {
    log.bodies.truncate(5);
    let mut logged = log.add(&json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {}}));
    logged.entry.body = body.to_string().into_bytes();
    log.bodies[5] = logged.entry.body.clone();
    if let Ok((kind, version)) = rekor::kind(&logged.entry.body) {
        (logged.entry.kind, logged.entry.version) = (kind, version);
    }
    logged.entry.promise = Some(log.promise(&logged.entry));
    logged.entry.proof = Some(log.proof(5));
    logged.uuid = hex::encode(&leaf_hash(&logged.entry.body));
    assert!(check_included(&logged, subject, root).is_err(), "{body}");
}

#[test]
fn a_promise_is_the_logs_own_over_exactly_this_entry() {
    let (image, mut log) = (Image::new(), Log::new());
    let (root, subject) = (log.root(), image.subject());
    let good = LogEntry { proof: None, ..log.add(&image.body()).entry };
    let proof = check_entry(&good, &subject, &root).unwrap();
    assert_eq!((proof.index, proof.integrated_time, proof.included), (1005, Some(1_700_000_000), false));
    let changed = |change: &dyn Fn(&mut LogEntry)| {
        let mut entry = good.clone();
        change(&mut entry);
        check_entry(&entry, &subject, &root)
    };
    let promise = good.promise.clone().unwrap();
    for at in 0..promise.len() {
        assert!(changed(&|entry| entry.promise.as_mut().unwrap()[at] ^= 1).is_err(), "{at}");
    }
    assert!(changed(&|entry| entry.promise = None).is_err());
    assert!(changed(&|entry| entry.promise = Some(Vec::new())).is_err());
    assert!(changed(&|entry| entry.index += 1).is_err());
    assert!(changed(&|entry| entry.integrated_time -= 31_536_000).is_err());
    assert!(changed(&|entry| entry.integrated_time += 1).is_err());
    assert!(changed(&|entry| entry.log_id[0] ^= 1).is_err());
    assert!(changed(&|entry| entry.log_id.truncate(31)).is_err());
    assert!(changed(&|entry| entry.kind = "rekord".into()).is_err());
    assert!(changed(&|entry| entry.version = "0.0.2".into()).is_err());
    assert!(changed(&|entry| entry.body.push(b' ')).is_err());
    // Another log's, and one by this log's key under a time of zero.
    let other = Log::new();
    assert!(changed(&|entry| entry.promise = Some(other.promise(entry))).is_err());
    let timeless = changed(&|entry| {
        entry.integrated_time = 0;
        entry.promise = Some(log.promise(entry));
    });
    assert!(timeless.unwrap_err().message().contains("no time"));
    assert!(check_entry(&good, &subject, &other.root()).is_err());
    assert!(check_entry(&good, &subject, &TrustedRoot::new()).is_err());
}

#[test]
fn a_logs_key_counts_only_in_its_time() {
    let (image, mut log) = (Image::new(), Log::new());
    let subject = image.subject();
    let both = log.add(&image.body()).entry;
    let promised = LogEntry { proof: None, ..both.clone() };
    let proven = LogEntry { promise: None, ..both.clone() };
    let now = 1_700_000_000;
    for (start, end, counts) in [
        (0, None, true),
        (now, Some(now), true),
        (now + 1, None, false),
        (0, Some(now - 1), false),
        (now - 5, Some(now + 5), true),
    ] {
        let root = log.root_while(Validity { start, end });
        assert_eq!(check_entry(&promised, &subject, &root).is_ok(), counts, "{start} {end:?}");
        assert_eq!(check_entry(&both, &subject, &root).is_ok(), counts, "{start} {end:?}");
        // A proof alone tells no time: under a key that has ended it may be from after.
        assert_eq!(check_entry(&proven, &subject, &root).is_ok(), end.is_none(), "{start} {end:?}");
    }
    let proof = check_entry(&proven, &subject, &log.root()).unwrap();
    assert_eq!((proof.index, proof.integrated_time, proof.included), (5, None, true));
}

#[test]
fn a_proof_leads_from_this_entry_to_a_root_that_the_log_has_signed() {
    let (image, mut log) = (Image::new(), Log::new());
    let (root, subject) = (log.root(), image.subject());
    let other = log.add(&json!({"apiVersion": "0.0.1", "kind": "rekord", "spec": {}}));
    let good = log.add(&image.body());
    check_included(&good, &subject, &root).unwrap();
    let refused = |change: &dyn Fn(&mut Logged, &mut InclusionProof)| {
        let mut logged = good.clone();
        let mut proof = logged.entry.proof.take().unwrap();
        change(&mut logged, &mut proof);
        logged.entry.proof = Some(proof);
        let refused = [
            check_included(&logged, &subject, &root).unwrap_err(),
            // Neither does a promise make up for it.
            check_entry(&logged.entry, &subject, &root).unwrap_err(),
        ];
        refused[0].message().to_owned()
    };
    let count = good.entry.proof.as_ref().unwrap().hashes.len();
    assert!(count > 2);
    for n in 0..count {
        refused(&|_, proof| proof.hashes[n][0] ^= 1);
        refused(&|_, proof| drop(proof.hashes.remove(n)));
        refused(&|_, proof| proof.hashes.insert(n, vec![0; 32]));
        refused(&|_, proof| proof.hashes.swap(n, (n + 1) % count));
        refused(&|_, proof| proof.hashes[n].truncate(31));
    }
    for index in [0, 1, 5, 7, 9, 10, 11, u64::MAX] {
        refused(&|_, proof| proof.index = index);
    }
    for size in [0, 1, 8, 9, 10, 12, u64::MAX] {
        refused(&|_, proof| proof.tree_size = size);
    }
    refused(&|_, proof| proof.root[0] ^= 1);
    refused(&|_, proof| proof.root.clear());
    // Of another entry of the same tree, and of an older tree of the same log.
    let theirs = other.entry.proof.clone().unwrap();
    refused(&|_, proof| proof.clone_from(&theirs));
    refused(&|_, proof| proof.checkpoint.clone_from(&theirs.checkpoint));
    // Statements by others, of other trees, in other words.
    let stranger = Log::new();
    let (size, tree) = (log.bodies.len() as u64, tree(&log.bodies));
    let origin = format!("log.test - {TREE}");
    refused(&|_, proof| proof.checkpoint = stranger.checkpoint(&origin, size, &tree));
    refused(&|_, proof| proof.checkpoint = log.checkpoint(&origin, size + 1, &tree));
    refused(&|_, proof| proof.checkpoint = log.checkpoint(&origin, size, &[0; 32]));
    refused(&|_, proof| proof.checkpoint = log.checkpoint("log.test", size, &tree));
    refused(&|_, proof| proof.checkpoint = log.checkpoint("log.test - x", size, &tree));
    refused(&|_, proof| proof.checkpoint.clear());
    refused(&|_, proof| proof.checkpoint = proof.checkpoint.replacen("log.test - ", "evil.test - ", 1));
    for at in 0..good.entry.proof.as_ref().unwrap().checkpoint.len() {
        let mut bytes = good.entry.proof.as_ref().unwrap().checkpoint.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        refused(&|_, proof| proof.checkpoint.clone_from(&text));
    }
    // Who was asked for an entry must have been told its own name.
    let named = |uuid: String| check_included(&Logged { uuid, ..good.clone() }, &subject, &root);
    assert!(named(good.uuid[16..].to_owned()).is_ok());
    assert!(named(other.uuid.clone()).is_err());
    assert!(named(format!("{:016x}{}", TREE + 1, &good.uuid[16..])).is_err());
    assert!(named(String::new()).is_err());
    // And must have been given both.
    for entry in [
        LogEntry { promise: None, ..good.entry.clone() },
        LogEntry { proof: None, ..good.entry.clone() },
        LogEntry { promise: None, proof: None, ..good.entry.clone() },
    ] {
        assert!(check_included(&Logged { entry, ..good.clone() }, &subject, &root).is_err());
    }
}

#[test]
fn of_several_answers_the_one_of_this_signature_counts() {
    let (image, mut log) = (Image::new(), Log::new());
    let key = image.signer.public_key();
    let policy = image.policy(log.root(), true);
    let bare = image.evidence(None);
    let foreign: Vec<Logged> = (0..3)
        .map(|_| {
            let signature = image.another_signature();
            log.add(&hashedrekord(&image.payload, &signature, &key, Hash::Sha256))
        })
        .collect();
    let check = image.log_check(&policy, &bare, &LogAnswer::Entries(foreign.clone()));
    assert_check(&check, Verdict::Refused, "Failed", "none of the 3 entries");
    let matching = log.add(&image.body());
    let all = foreign.into_iter().chain([matching]).collect();
    let check = image.log_check(&policy, &bare, &LogAnswer::Entries(all));
    assert_check(&check, Verdict::Verified, "Passed", "");
}

#[test]
fn every_byte_of_the_annotation_counts() {
    let (image, mut log) = (Image::new(), Log::new());
    let policy = image.policy(log.root(), false);
    let text = rekor::annotation(&log.add(&image.body()).entry).unwrap();
    assert!(image.judged(&policy, &image.evidence(Some(&text)), &LogAnswer::NotAsked).is_ok());
    for at in 0..text.len() {
        for bit in [1, 2, 4, 32] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= bit;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let judged = image.judged(&policy, &image.evidence(Some(&changed)), &LogAnswer::NotAsked);
            assert_eq!(judged.expect_err(&changed).code(), Code::NoSignatureMatches);
        }
        let cut = &text[..at];
        // An empty annotation is none, as cosign writes of chains.
        let judged = image.judged(&policy, &image.evidence(Some(cut)), &LogAnswer::NotAsked);
        assert_eq!(judged.is_ok(), cut.is_empty(), "{cut}");
    }
    // That of another signature of the same payload by the same key (CVE-2022-23649).
    let again = image.another_signature();
    let other = log.add(&hashedrekord(&image.payload, &again, &image.signer.public_key(), Hash::Sha256));
    let other = rekor::annotation(&other.entry).unwrap();
    let check = image.log_check(&policy, &image.evidence(Some(&other)), &LogAnswer::NotAsked);
    assert_check(&check, Verdict::Refused, "Failed", "another signature");
}

#[test]
fn entries_in_a_bundle_are_judged_like_those_beside_a_signature() {
    let (image, mut log) = (Image::new(), Log::new());
    let mut bundle = Bundle::sign_image(&image.digest, &BTreeMap::new(), &image.signer, None).unwrap();
    let Content::Envelope(envelope) = bundle.content.clone() else { panic!("an envelope") };
    let good = log.add(&dsse(&envelope, &image.signer.public_key())).entry;
    let later_key = p256().public_key();
    let mut foreign = Log::new();
    let unknown = foreign.add(&dsse(&envelope, &image.signer.public_key())).entry;
    let mut again = envelope.clone();
    again.signatures[0].signature = mirrored(&again.signatures[0].signature);
    let other = log.add(&dsse(&again, &image.signer.public_key())).entry;
    let mut check = |entries: &[&LogEntry], demanded: bool| {
        bundle.log_entries = entries.iter().map(|entry| (*entry).clone()).collect();
        let json = bundle.to_json().into_bytes();
        let evidence = SignatureEvidence::Bundle(BundleSignature {
            place: "registry.test/app@x".to_owned(),
            index: 0,
            descriptor: Descriptor::of(cosign_core::bundle::sigstore::MEDIA_TYPE, &json),
            bundle: Payload::Read(json),
        });
        let mut root = log.root();
        root.add_log(TrustedLog { id: vec![9; 32], ..TrustedLog::of_key(later_key.clone()) });
        image.log_check(&image.policy(root, demanded), &evidence, &LogAnswer::NotAsked)
    };
    assert_check(&check(&[&good], true), Verdict::Verified, "Passed", "");
    assert_check(&check(&[&good], false), Verdict::Verified, "Passed", "");
    assert_check(&check(&[], false), Verdict::Verified, "Skipped", "the signature has none");
    assert_check(&check(&[], true), Verdict::Refused, "Failed", "no log was asked");
    assert_check(&check(&[&other], false), Verdict::Refused, "Failed", "another signature");
    assert_check(&check(&[&unknown], false), Verdict::Refused, "Failed", "no log that is trusted");
    // A log of the second generation: not read yet, so no proof, and no reason to refuse what demands none.
    let later = LogEntry { log_id: vec![9; 32], version: "0.0.2".into(), promise: None, ..good.clone() };
    assert_check(&check(&[&later], false), Verdict::Verified, "Skipped", "not read yet");
    assert_check(&check(&[&later], true), Verdict::Refused, "Failed", "not read yet");
    assert_check(&check(&[&later, &good], true), Verdict::Verified, "Passed", "");
    assert_check(&check(&[&later, &other], false), Verdict::Refused, "Failed", "another signature");
    let unknown_kind = LogEntry { version: "0.0.2".into(), ..good.clone() };
    assert_check(&check(&[&unknown_kind], false), Verdict::Refused, "Failed", "another kind than it says");
    // Of several, those of logs that are not trusted say nothing, and all others must be good.
    assert_check(&check(&[&unknown, &good], true), Verdict::Verified, "Passed", "");
    assert_check(&check(&[&good, &other], true), Verdict::Refused, "Failed", "another signature");
}

#[test]
fn a_policy_in_json_names_its_logs() {
    let (image, log) = (Image::new(), Log::new());
    let pem = |key: &PublicKey| key.to_pem();
    let text =
        json!({"keys": [pem(&image.signer.public_key())], "tlog": true, "log_keys": [pem(&log.key.public_key())]});
    let policy = Policy::from_json(&text.to_string()).unwrap();
    assert!(policy.requires_tlog());
    assert_eq!(policy.trusted(), &log.root());
    for (name, value) in [
        ("log_keys", json!([])),
        ("log_keys", json!("x")),
        ("log_keys", json!([1])),
        ("tlog", json!("yes")),
        ("trusted_root", json!("x")),
        ("trusted_root", json!({})),
    ] {
        let mut changed = text.clone();
        changed[name] = value;
        assert_eq!(Policy::from_json(&changed.to_string()).unwrap_err().code(), Code::PolicyEmpty, "{changed}");
    }
}
