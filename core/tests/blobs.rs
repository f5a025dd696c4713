//! Signatures of blobs: what real cosign wrote verifies, every change to it is refused, nothing but the given keys counts,
//! and a blob is read once, to its end, in pieces that are not kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::Cell;
use std::io::{Cursor, Error as IoError, ErrorKind, Read};
use std::time::Duration;

use cosign_core::blob::MAX_ED25519_BYTES;
use cosign_core::bundle::blob::{BlobBundle, OldBundle};
use cosign_core::crypto::Hash;
use cosign_core::encoding::base64;
use cosign_core::key::MessageVerifier;
use cosign_core::verify::{BlobSignature, BlobVerification, CheckResult, Verdict};
use cosign_core::{
    Call, Cancel, Code, Error, KeyAlgorithm, Policy, PrivateKey, PublicKey, SignBlobOptions, SignedBlob, Verified,
    VerifyBlobOptions, sign_blob, verify_blob, verify_blob_digest,
};
use serde_json::{Value, json};

mod mutations;

use mutations::{all_byte_mutations, pointers};

const BLOB: &[u8] = b"hello, blob\n";

type Outcome = Result<Verified<BlobVerification>, Error>;

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

/// The kinds of keys in the vectors that this build's backend knows.
fn kinds() -> Vec<&'static str> {
    let mut kinds = vec!["p256", "p384", "p521", "ed25519"];
    if cfg!(feature = "backend-aws-lc") {
        kinds.push("rsa2048");
    }
    kinds
}

/// A blob that comes one byte at a time, with interruptions in between.
struct Trickle<'a>(&'a [u8], bool);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        self.1 = !self.1;
        if self.1 {
            return Err(ErrorKind::Interrupted.into());
        }
        (&mut self.0).take(1).read(buffer)
    }
}

fn sign(blob: &[u8], key: &PrivateKey) -> SignedBlob {
    sign_blob(Trickle(blob, false), key, &SignBlobOptions::new(), &Call::new()).unwrap()
}

fn verify(signatures: &[BlobSignature], blob: &[u8], policy: &Policy) -> Outcome {
    verify_blob(Trickle(blob, false), signatures, policy, &VerifyBlobOptions::new().with_name("blob.txt"), &Call::new())
}

fn verify_one(signature: BlobSignature, blob: &[u8], key: &PublicKey) -> Outcome {
    verify(&[signature], blob, &Policy::new().with_key(key.clone()))
}

fn verify_bundle(bundle: &[u8], blob: &[u8], key: &PublicKey) -> Outcome {
    verify_one(BlobSignature::bundle("", bundle), blob, key)
}

/// The check that refused the only signature.
#[track_caller]
fn refused_by(outcome: Outcome) -> &'static str {
    let error = outcome.unwrap_err();
    assert_eq!(error.code(), Code::NoSignatureMatches, "{error}");
    let report = error.report().unwrap();
    assert_eq!((report.verdict, report.signatures.len()), (Verdict::Refused, 1));
    assert_eq!(report.signatures[0].verdict, Verdict::Refused);
    report.signatures[0].checks.iter().find(|check| check.result == CheckResult::Failed).unwrap().name
}

// --- what real cosign wrote -----------------------------------------------------------------------------------------------

#[test]
fn verifies_the_blob_signatures_of_real_cosign_in_both_forms() {
    for kind in kinds() {
        for form in ["sigstore", "old"] {
            let bundle = vector(&format!("bundles/blob-{kind}.{form}.json"));
            let (key, stranger) = (public(kind), public(if kind == "p256" { "p384" } else { "p256" }));
            let verified = verify_bundle(&bundle, BLOB, &key).unwrap();
            assert_eq!((verified.name(), verified.signatures().len()), ("blob.txt", 1));
            assert_eq!(verified.signatures()[0].key_fingerprint(), key.fingerprint(), "{kind} {form}");
            assert_eq!(verified.signatures()[0].format(), if form == "old" { "legacy" } else { "bundle" });
            assert_eq!(verified.report().verdict, Verdict::Verified);
            assert_eq!(refused_by(verify_bundle(&bundle, b"hello, blob", &key)), "key", "{kind} {form}");
            // The old form holds the key, so another one is refused before the blob is read.
            let by = if form == "old" { "certificate" } else { "key" };
            assert_eq!(refused_by(verify_bundle(&bundle, BLOB, &stranger)), by, "{kind} {form}");
            // The signature by itself, raw and in base64, with its lines wrapped or not.
            let parsed = BlobBundle::parse(&bundle).unwrap();
            let text = base64::encode(parsed.signature());
            let (first, rest) = text.split_at(64);
            for detached in [parsed.signature().to_vec(), text.clone().into(), format!("{first}\r\n{rest}\n\n").into()]
            {
                let detached = BlobSignature::detached("", detached);
                assert_eq!(verify_one(detached.clone(), BLOB, &key).unwrap().signatures()[0].format(), "legacy");
                assert_eq!(refused_by(verify_one(detached, b"other", &key)), "key");
            }
            // Written again: the same bytes.
            let again = match parsed {
                BlobBundle::Sigstore(bundle) => bundle.to_json(),
                BlobBundle::Old(bundle) => bundle.to_json(),
            };
            assert_eq!(again.as_bytes(), bundle.trim_ascii_end(), "{kind} {form}");
        }
    }
}

#[test]
fn verifies_by_the_hash_alone_but_for_ed25519() {
    for kind in kinds() {
        let key = public(kind);
        let policy = Policy::new().with_key(key.clone());
        let hash = key.algorithm().hash().unwrap_or(Hash::Sha512);
        for form in ["sigstore", "old"] {
            let bundle = [BlobSignature::bundle("", vector(&format!("bundles/blob-{kind}.{form}.json")))];
            let by = |hash: Hash, digest: &[u8]| {
                verify_blob_digest(hash, digest, &bundle, &policy, &VerifyBlobOptions::new())
            };
            let outcome = by(hash, &hash.digest(BLOB));
            if kind == "ed25519" {
                assert!(outcome.as_ref().unwrap_err().message().contains("give the blob itself"), "{outcome:?}");
                assert_eq!(refused_by(outcome), "key");
            } else {
                let digest = outcome.unwrap().digest().to_owned();
                assert!(digest.starts_with(&format!("{}:", hash.name())), "{digest}");
            }
            assert_eq!(refused_by(by(hash, &hash.digest(b"other"))), "key");
            assert_eq!(by(hash, b"short").unwrap_err().code(), Code::Argument);
        }
    }
}

#[test]
fn a_hash_that_is_asked_for_is_the_only_one() {
    let options = |hash| {
        let mut options = VerifyBlobOptions::new();
        options.hash = Some(hash);
        options
    };
    let key = private("p384");
    let policy = Policy::new().with_key(key.public_key());
    let mut as_sha256 = SignBlobOptions::new();
    as_sha256.hash = Some(Hash::Sha256);
    let own = sign(BLOB, &key);
    let other = sign_blob(BLOB, &key, &as_sha256, &Call::new()).unwrap();
    for (signed, hash, wrong) in [(own, Hash::Sha384, Hash::Sha256), (other, Hash::Sha256, Hash::Sha384)] {
        assert!(signed.digest().starts_with(hash.name()));
        for signature in [
            BlobSignature::detached("", signed.signature()),
            BlobSignature::bundle("", signed.bundle()),
            BlobSignature::bundle("", signed.old_bundle()),
        ] {
            let verify = |options| verify_blob(BLOB, std::slice::from_ref(&signature), &policy, &options, &Call::new());
            verify(options(hash)).unwrap();
            verify(VerifyBlobOptions::new()).unwrap();
            assert!(["key", "encoding"].contains(&refused_by(verify(options(wrong)))));
        }
    }
}

// --- what we write --------------------------------------------------------------------------------------------------------

#[test]
fn signs_blobs_with_every_kind_of_key() {
    for algorithm in KeyAlgorithm::ALL {
        let Ok(key) = PrivateKey::generate(*algorithm) else {
            assert!(!cfg!(feature = "backend-aws-lc") && algorithm.name().starts_with("rsa"));
            continue;
        };
        let public = key.public_key();
        for blob in [BLOB, b"", &[0xa5; 300_000]] {
            let signed = sign(blob, &key);
            // The same signature that signing the whole message gives, or one that it accepts.
            public.verify(blob, signed.signature()).unwrap();
            assert_eq!(base64::decode(&signed.base64()).unwrap(), signed.signature());
            assert_eq!(signed.key(), &public);
            for signature in [
                BlobSignature::detached("a.sig", signed.signature()),
                BlobSignature::detached("a.sig", signed.base64()),
                BlobSignature::bundle("a.bundle", signed.bundle()),
                BlobSignature::bundle("a.bundle", signed.old_bundle()),
            ] {
                let verified = verify_one(signature.clone(), blob, &public).unwrap();
                assert!(verified.digest().contains(':'), "{}", verified.digest());
                assert_eq!(refused_by(verify_one(signature, b"another", &public)), "key", "{algorithm}");
            }
        }
    }
}

#[test]
fn a_key_signs_only_with_its_hashes_and_says_so_before_it_reads() {
    struct Unread;
    impl Read for Unread {
        fn read(&mut self, _: &mut [u8]) -> Result<usize, IoError> {
            panic!("the blob was read");
        }
    }
    for (kind, hash) in [("p256", Hash::Sha384), ("p384", Hash::Sha512), ("ed25519", Hash::Sha512)] {
        let mut options = SignBlobOptions::new();
        options.hash = Some(hash);
        let error = sign_blob(Unread, &private(kind), &options, &Call::new()).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported);
        assert_eq!(private(kind).sign_digest(hash, &hash.digest(BLOB)).unwrap_err().code(), Code::Unsupported);
    }
    let short = private("p256").sign_digest(Hash::Sha256, &[0; 31]).unwrap_err();
    assert_eq!(short.code(), Code::Argument);
}

#[test]
fn an_ed25519_bundle_names_the_digest_that_cosign_leaves_out() {
    let bundle: Value = serde_json::from_str(&sign(BLOB, &private("ed25519")).bundle()).unwrap();
    let digest = &bundle["messageSignature"]["messageDigest"];
    assert_eq!(digest["algorithm"], "SHA2_256");
    assert_eq!(digest["digest"], base64::encode(&Hash::Sha256.digest(BLOB)));
}

// --- streams --------------------------------------------------------------------------------------------------------------

/// Yields zeros and remembers the largest piece that was asked for.
struct Zeros<'a> {
    left: usize,
    asked: &'a Cell<usize>,
    given: &'a Cell<usize>,
}

impl Read for Zeros<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        self.asked.set(self.asked.get().max(buffer.len()));
        let count = buffer.len().min(self.left);
        buffer[..count].fill(0);
        self.left -= count;
        self.given.set(self.given.get() + count);
        Ok(count)
    }
}

#[test]
fn a_blob_is_read_once_in_pieces_that_do_not_grow_with_it() {
    let key = private("p256");
    let policy = Policy::new().with_key(key.public_key());
    let (asked, given) = (Cell::new(0), Cell::new(0));
    let zeros = |left| {
        given.set(0);
        Zeros { left, asked: &asked, given: &given }
    };
    let size = 100_000_000;
    let signed = sign_blob(zeros(size), &key, &SignBlobOptions::new(), &Call::new()).unwrap();
    assert_eq!(given.get(), size);
    let bundle = [BlobSignature::bundle("", signed.bundle())];
    verify_blob(zeros(size), &bundle, &policy, &VerifyBlobOptions::new(), &Call::new()).unwrap();
    assert_eq!(given.get(), size);
    assert!(asked.get() <= 1 << 20, "{} bytes at once", asked.get());
    let longer = verify_blob(zeros(size + 1), &bundle, &policy, &VerifyBlobOptions::new(), &Call::new());
    assert_eq!(refused_by(longer), "key");
}

#[test]
fn ed25519_signs_from_memory_and_no_more_than_64_mib() {
    let key = private("ed25519");
    let (asked, given) = (Cell::new(0), Cell::new(0));
    let zeros = |left| {
        given.set(0);
        Zeros { left, asked: &asked, given: &given }
    };
    let error = sign_blob(zeros(usize::MAX), &key, &SignBlobOptions::new(), &Call::new()).unwrap_err();
    assert_eq!(error.code(), Code::BlobTooLarge);
    assert!(given.get() <= MAX_ED25519_BYTES + asked.get(), "{} bytes were read", given.get());
    let signed = sign_blob(zeros(MAX_ED25519_BYTES), &key, &SignBlobOptions::new(), &Call::new()).unwrap();
    // Verifying has no such limit, and streams.
    let policy = Policy::new().with_key(key.public_key());
    let bundle = [BlobSignature::bundle("", signed.bundle())];
    let verify = |size| verify_blob(zeros(size), &bundle, &policy, &VerifyBlobOptions::new(), &Call::new());
    verify(MAX_ED25519_BYTES).unwrap();
    assert_eq!(refused_by(verify(MAX_ED25519_BYTES + 1)), "key");
}

#[test]
fn only_the_hashes_that_can_be_needed_are_computed() {
    let hashes = |kinds: &[&str], hash| {
        let keys: Vec<PublicKey> = kinds.iter().map(|kind| public(kind)).collect();
        let mut verifier = MessageVerifier::new();
        verifier.add(&keys, &[0; 64], hash);
        verifier.update(b"x");
        assert!(Hash::ALL.iter().all(|h| verifier.digest(*h).is_some() == verifier.hashes().any(|known| known == *h)));
        verifier.hashes().map(Hash::name).collect::<Vec<_>>()
    };
    assert_eq!(hashes(&["p256"], None), ["sha256"]);
    assert_eq!(hashes(&["p384"], None), ["sha256", "sha384"]);
    assert_eq!(hashes(&["p384"], Some(Hash::Sha384)), ["sha384"]);
    assert_eq!(hashes(&["p521", "p256"], None), ["sha256", "sha512"]);
    assert_eq!(hashes(&["p521"], Some(Hash::Sha512)), ["sha512"]);
    assert_eq!(hashes(&["p256"], Some(Hash::Sha512)), [""; 0]);
    assert_eq!(hashes(&["ed25519"], None), [""; 0]);
}

/// A blob that ends with an error.
struct Breaking(&'static [u8], fn() -> IoError);

impl Read for Breaking {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        match self.0.read(buffer) {
            Ok(0) => Err((self.1)()),
            read => read,
        }
    }
}

#[test]
fn a_blob_that_cannot_be_read_to_its_end_is_an_error_and_no_shorter_blob() {
    let key = private("p256");
    let policy = Policy::new().with_key(key.public_key());
    let good = [BlobSignature::detached("", sign(BLOB, &key).signature())];
    let broken: [(fn() -> IoError, Code); 3] = [
        (|| IoError::from_raw_os_error(5), Code::Io),
        (|| ErrorKind::UnexpectedEof.into(), Code::Io),
        (|| IoError::other(Error::new(Code::Callback, "the host said no")), Code::Callback),
    ];
    for (error, code) in broken {
        let blob = || Breaking(BLOB, error);
        let verified = verify_blob(blob(), &good, &policy, &VerifyBlobOptions::new(), &Call::new());
        assert_eq!(verified.unwrap_err().code(), code);
        let signed = sign_blob(blob(), &key, &SignBlobOptions::new(), &Call::new());
        assert_eq!(signed.unwrap_err().code(), code);
    }
    struct Liar;
    impl Read for Liar {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
            Ok(buffer.len() + 1)
        }
    }
    let verified = verify_blob(Liar, &good, &policy, &VerifyBlobOptions::new(), &Call::new());
    assert_eq!(verified.unwrap_err().code(), Code::Io);
}

#[test]
fn a_call_is_asked_between_two_pieces() {
    /// Never ends; sets the flag at its third piece.
    struct Endless(Cancel, usize);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
            self.1 += 1;
            assert!(self.1 <= 3, "read after it was cancelled");
            if self.1 == 3 {
                self.0.cancel();
            }
            Ok(buffer.len())
        }
    }
    for kind in ["p256", "ed25519"] {
        let key = private(kind);
        let policy = Policy::new().with_key(key.public_key());
        let good = [BlobSignature::detached("", key.sign(BLOB).unwrap())];
        let cancel = Cancel::new();
        let call = Call::new().with_cancel(cancel.clone());
        let blob = Endless(cancel, 0);
        let verified = verify_blob(blob, &good, &policy, &VerifyBlobOptions::new(), &call);
        assert_eq!(verified.unwrap_err().code(), Code::Cancelled);
        let cancel = Cancel::new();
        let call = Call::new().with_cancel(cancel.clone());
        let signed = sign_blob(Endless(cancel, 0), &key, &SignBlobOptions::new(), &call);
        assert_eq!(signed.unwrap_err().code(), Code::Cancelled);
        let late = Call::new().with_timeout(Duration::ZERO);
        let verified = verify_blob(BLOB, &good, &policy, &VerifyBlobOptions::new(), &late);
        assert_eq!(verified.unwrap_err().code(), Code::Timeout);
    }
}

// --- policies -------------------------------------------------------------------------------------------------------------

#[test]
fn a_threshold_counts_distinct_keys_over_several_signatures_of_one_blob() {
    let (first, second, stranger) = (private("p256"), private("ed25519"), private("p384"));
    let mut policy = Policy::new().with_key(first.public_key()).with_key(second.public_key());
    policy.set_threshold(2);
    let bundle = |key: &PrivateKey| BlobSignature::bundle("", sign(BLOB, key).bundle());
    let detached = |key: &PrivateKey| BlobSignature::detached("", sign(BLOB, key).base64());
    let verified = verify(&[bundle(&first), detached(&second), bundle(&stranger)], BLOB, &policy).unwrap();
    assert_eq!((verified.signatures().len(), verified.report().signers.len()), (2, 2));
    assert_eq!(verified.report().signatures[2].verdict, Verdict::Refused);
    for short in
        [vec![bundle(&first)], vec![bundle(&first), detached(&first)], vec![detached(&second), bundle(&stranger)]]
    {
        let error = verify(&short, BLOB, &policy).unwrap_err();
        assert_eq!(error.code(), Code::Threshold);
        assert_eq!(error.report().unwrap().signers.len(), 1);
    }
    // A signature that cannot be read stands in nobody's way, wherever it stands.
    policy.set_threshold(1);
    let broken = || BlobSignature::bundle("", b"{}".to_vec());
    for mixed in
        [vec![broken(), detached(&second)], vec![detached(&second), broken()], vec![broken(), bundle(&first), broken()]]
    {
        assert_eq!(verify(&mixed, BLOB, &policy).unwrap().signatures().len(), 1);
    }
}

#[test]
fn what_demands_nothing_or_cannot_be_met_is_an_error_before_the_blob_is_read() {
    struct Unread;
    impl Read for Unread {
        fn read(&mut self, _: &mut [u8]) -> Result<usize, IoError> {
            panic!("the blob was read");
        }
    }
    let key = private("p256");
    let good = [BlobSignature::detached("", key.sign(BLOB).unwrap())];
    let policy = Policy::new().with_key(key.public_key());
    let mut annotated = policy.clone();
    annotated.require_annotation("a", "b").unwrap();
    let mut nobody = policy.clone();
    nobody.set_threshold(0);
    for (signatures, policy, code) in [
        (&good[..], Policy::new(), Code::PolicyEmpty),
        (&good, nobody, Code::PolicyEmpty),
        (&good, annotated, Code::Argument),
        (&[], policy, Code::Argument),
    ] {
        let error = verify_blob(Unread, signatures, &policy, &VerifyBlobOptions::new(), &Call::new()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}

// --- attacks --------------------------------------------------------------------------------------------------------------

// security.md 142, 2.11: real cosign verifies with a key that it finds in the bundle.
#[test]
fn a_key_inside_an_old_bundle_never_replaces_the_given_one() {
    let mallory = private("p384");
    let bundle = OldBundle::new(mallory.sign(BLOB).unwrap(), &mallory.public_key()).to_json();
    assert_eq!(refused_by(verify_bundle(bundle.as_bytes(), BLOB, &public("p256"))), "certificate");
    // Nor may the good key's signature come with another key beside it.
    let mut good = OldBundle::new(private("p256").sign(BLOB).unwrap(), &mallory.public_key());
    let key = private("p256").public_key();
    assert_eq!(refused_by(verify_bundle(good.to_json().as_bytes(), BLOB, &key)), "certificate");
    good.certificate = None;
    verify_bundle(good.to_json().as_bytes(), BLOB, &key).unwrap();
}

#[test]
fn the_hint_of_a_bundle_neither_chooses_nor_excludes_a_key() {
    let (key, mallory) = (private("p256"), private("p384"));
    let mut bundle: Value = serde_json::from_str(&sign(BLOB, &key).bundle()).unwrap();
    let theirs: Value = serde_json::from_str(&sign(BLOB, &mallory).bundle()).unwrap();
    let hint = "/verificationMaterial/publicKey/hint";
    let good_hint = bundle.pointer(hint).unwrap().clone();
    for other in [theirs.pointer(hint).unwrap().clone(), json!(""), Value::Null] {
        *bundle.pointer_mut(hint).unwrap() = other;
        verify_bundle(bundle.to_string().as_bytes(), BLOB, &key.public_key()).unwrap();
    }
    let mut forged = theirs;
    *forged.pointer_mut(hint).unwrap() = good_hint;
    assert_eq!(refused_by(verify_bundle(forged.to_string().as_bytes(), BLOB, &key.public_key())), "key");
}

#[test]
fn a_message_digest_must_be_the_blobs_although_it_is_not_signed() {
    // Ed25519 signs no hash, so nothing but this check binds the member.
    let key = private("ed25519");
    let mut bundle: Value = serde_json::from_str(&sign(BLOB, &key).bundle()).unwrap();
    for (algorithm, digest) in [("SHA2_256", vec![0; 32]), ("SHA2_384", vec![0; 48]), ("SHA2_512", vec![0; 64])] {
        bundle["messageSignature"]["messageDigest"] =
            json!({"algorithm": algorithm, "digest": base64::encode(&digest)});
        assert_eq!(refused_by(verify_bundle(bundle.to_string().as_bytes(), BLOB, &key.public_key())), "digest");
    }
    for hash in Hash::ALL {
        let digest =
            json!({"algorithm": hash.name().replace("sha", "SHA2_"), "digest": base64::encode(&hash.digest(BLOB))});
        bundle["messageSignature"]["messageDigest"] = digest;
        verify_bundle(bundle.to_string().as_bytes(), BLOB, &key.public_key()).unwrap();
    }
}

#[test]
fn refuses_what_is_no_blob_bundle() {
    let good: Value = serde_json::from_slice(&vector("bundles/blob-p256.sigstore.json")).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        changed.to_string()
    };
    let digest = "/messageSignature/messageDigest";
    for bad in [
        String::from_utf8(vector("bundles/attest-blob.sigstore.json")).unwrap(),
        String::from_utf8(vector("bundles/image-p256.sigstore.json")).unwrap(),
        with(digest, json!({"algorithm": "SHA2_256"})),
        with(digest, json!({"digest": "AAEC"})),
        with(digest, json!({"algorithm": "SHA2_512", "digest": good.pointer(digest).unwrap()["digest"]})),
        with(digest, json!({"algorithm": "SHA3_256", "digest": good.pointer(digest).unwrap()["digest"]})),
        with(digest, json!({"algorithm": 1, "digest": good.pointer(digest).unwrap()["digest"]})),
        with(digest, json!({"algorithm": "SHA2_256", "digest": base64::encode(&[0; 32])})),
        with(digest, json!({"algorithm": "SHA2_384", "digest": base64::encode(&Hash::Sha384.digest(BLOB))})),
        with("/messageSignature/signature", json!("")),
        with("/verificationMaterial", json!({"certificate": {"rawBytes": "AAEC"}})),
        r#"{"base64Signature":""}"#.into(),
        r#"{"base64Signature":"AAEC","cert":"AAEC"}"#.into(),
        r#"{"base64Signature":"AAEC","Cert":""}"#.into(),
        r#"{"base64Signature":"AAEC","base64Signature":"AAEC"}"#.into(),
        r#"{"base64Signature":"AAEC","rekorBundle":[]}"#.into(),
        "{}".into(),
        "[]".into(),
        String::new(),
        // A signature is no bundle.
        base64::encode(&private("p256").sign(BLOB).unwrap()),
    ] {
        refused_by(verify_bundle(bad.as_bytes(), BLOB, &public("p256")));
    }
    let attestation = verify_bundle(&vector("bundles/attest-blob.sigstore.json"), BLOB, &public("p256")).unwrap_err();
    assert!(attestation.message().contains("it holds an attestation"), "{attestation}");
    let huge = vec![b' '; (4 << 20) + 1];
    assert_eq!(refused_by(verify_bundle(&huge, BLOB, &public("p256"))), "encoding");
}

#[test]
fn refuses_what_is_no_signature_by_itself() {
    let key = private("p256");
    let good = key.sign(BLOB).unwrap();
    let text = base64::encode(&good);
    let url_safe = base64::encode(&[0xff; 70]).replace('/', "_");
    let mut raw_with_newline = good.clone();
    raw_with_newline.push(b'\n');
    for (bad, check) in [
        (Vec::new(), "encoding"),
        (b" \n\t".to_vec(), "encoding"),
        (vec![b'A'; 8193], "encoding"),
        (vec![0; 4097], "encoding"),
        (base64::encode(&[0; 4097]).into_bytes(), "encoding"),
        (text.trim_end_matches('=')[..text.len() - 3].into(), "key"),
        (format!("{text}{text}").into_bytes(), "key"),
        (url_safe.into_bytes(), "key"),
        (good[..good.len() - 1].to_vec(), "key"),
        (raw_with_newline, "key"),
        (base64::encode(text.as_bytes()).into_bytes(), "key"),
        (sign(BLOB, &key).bundle().into_bytes(), "key"),
    ] {
        let shown = String::from_utf8_lossy(&bad).into_owned();
        let outcome = verify_one(BlobSignature::detached("", bad), BLOB, &key.public_key());
        assert_eq!(refused_by(outcome), check, "{shown:?}");
    }
}

/// What may differ in an accepted bundle, and says nothing: another hint, another known version (unsigned; without log
/// entries they demand the same), white space, another spelling of the same base64, an unset member as `null`, and in an
/// old bundle its `cert` as long as that is absent or the same key.
fn is_meaningless(original: &BlobBundle, changed: &[u8]) -> bool {
    match (BlobBundle::parse(changed).unwrap(), original) {
        (BlobBundle::Sigstore(changed), BlobBundle::Sigstore(original)) => {
            let without_digest = matches!(
                (&changed.content, &original.content),
                (
                    cosign_core::bundle::sigstore::Content::Message(changed),
                    cosign_core::bundle::sigstore::Content::Message(original)
                ) if changed.digest.is_none() && changed.signature == original.signature
            );
            changed.content == original.content || without_digest
        }
        (BlobBundle::Old(changed), BlobBundle::Old(original)) => changed.signature == original.signature,
        _ => false,
    }
}

#[test]
fn every_byte_of_a_blob_bundle_counts_or_is_listed() {
    for (name, least) in [("blob-p256.sigstore.json", 4000), ("blob-p256.old.json", 4000)] {
        let bundle = vector(&format!("bundles/{name}"));
        let original = BlobBundle::parse(&bundle).unwrap();
        let (mut refusals, mut meaningless) = (0, 0);
        all_byte_mutations(&bundle, |changed, at| match verify_bundle(changed, BLOB, &public("p256")) {
            Err(_) => refusals += 1,
            Ok(_) if is_meaningless(&original, changed) => meaningless += 1,
            Ok(_) => panic!("byte {at} of {name}: accepted {}", String::from_utf8_lossy(changed)),
        });
        assert!(refusals > least && meaningless < 700, "{name}: {refusals} refused, {meaningless} meaningless");
    }
}

#[test]
fn every_member_of_a_blob_bundle_counts_or_is_listed() {
    let ours = private("ed25519");
    let signed = sign(BLOB, &ours);
    for (bundle, key) in [
        (vector("bundles/blob-p256.sigstore.json"), public("p256")),
        (vector("bundles/blob-p384.old.json"), public("p384")),
        (signed.bundle().into_bytes(), ours.public_key()),
        (signed.old_bundle().into_bytes(), ours.public_key()),
    ] {
        let value: Value = serde_json::from_slice(&bundle).unwrap();
        let original = BlobBundle::parse(&bundle).unwrap();
        let mut all = Vec::new();
        pointers(&value, String::new(), &mut all);
        let mut refusals = 0;
        let mut judge = |changed: String, what: &str| match verify_bundle(changed.as_bytes(), BLOB, &key) {
            Err(_) => refusals += 1,
            Ok(_) if is_meaningless(&original, changed.as_bytes()) => {}
            Ok(_) => panic!("{what}: accepted {changed}"),
        };
        for pointer in &all {
            for other in [Value::Null, json!(1), json!("AAAA"), json!(""), json!([]), json!({}), json!(true)] {
                let mut changed = value.clone();
                *changed.pointer_mut(pointer).unwrap() = other;
                judge(changed.to_string(), pointer);
            }
            let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", ""));
            let mut changed = value.clone();
            if let Some(Value::Object(object)) = changed.pointer_mut(parent)
                && let Some(member) = object.shift_remove(name)
            {
                judge(changed.to_string(), &format!("{pointer} removed"));
                for spelled in [name.to_uppercase(), format!("{name} "), format!("\u{17f}{name}")] {
                    let mut changed = changed.clone();
                    changed.pointer_mut(parent).unwrap()[spelled] = member.clone();
                    judge(changed.to_string(), &format!("{pointer} renamed"));
                }
                let once = format!("\"{name}\":");
                let twice = value.to_string().replacen(&once, &format!("{once}{member},{once}"), 1);
                judge(twice, &format!("{pointer} twice"));
            }
            let mut changed = value.clone();
            if let Some(Value::Object(object)) = changed.pointer_mut(pointer) {
                object.insert("more".into(), json!(1));
                judge(changed.to_string(), &format!("{pointer} with another member"));
            }
        }
        assert!(refusals > 20, "{refusals}");
    }
}

#[test]
fn the_report_says_which_check_did_what() {
    let key = private("p256");
    let verified = verify_bundle(sign(BLOB, &key).bundle().as_bytes(), BLOB, &key.public_key()).unwrap();
    let json: Value = serde_json::from_str(&verified.json()).unwrap();
    assert_eq!(json["blob"], "blob.txt");
    assert_eq!(json["digest"], format!("sha256:{}", hex(&Hash::Sha256.digest(BLOB))));
    assert_eq!(json["signatures"][0]["key"], key.public_key().fingerprint());
    let report = verified.report();
    assert_eq!((report.reference.as_str(), report.threshold), ("blob.txt", 1));
    let checks: Vec<_> = report.signatures[0].checks.iter().map(|check| (check.name, check.result)).collect();
    let (passed, skipped) = (CheckResult::Passed, CheckResult::Skipped);
    assert_eq!(
        checks,
        [
            ("encoding", passed),
            ("certificate", passed),
            ("key", passed),
            ("digest", passed),
            ("log", skipped),
            ("timestamp", skipped)
        ]
    );
    // Without a name it is called "blob".
    let blob = Cursor::new(BLOB);
    let policy = Policy::new().with_key(public("p384"));
    let error = verify_blob(
        blob,
        &[BlobSignature::detached("", key.sign(BLOB).unwrap())],
        &policy,
        &VerifyBlobOptions::new(),
        &Call::new(),
    )
    .unwrap_err();
    assert_eq!(error.message(), "blob: no matching signatures: the signature was not made by an accepted key");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
