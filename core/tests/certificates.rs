//! A certificate beside a legacy signature that is verified with a key: it must hold that key (case 142).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use cosign_core::bundle::{certificate, legacy};
use cosign_core::encoding::base64;
use cosign_core::oci::{Descriptor, media_type};
use cosign_core::verify::{
    CheckResult, Conditions, Evidence, LegacySignature, Payload, SignatureEvidence, Verdict, judge,
};
use cosign_core::{Code, Digest, Error, Policy, PrivateKey, PublicKey};

fn vector(name: &str) -> String {
    let path = format!("{}/../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn signer() -> PublicKey {
    PublicKey::from_pem(vector("keys/import/p256.pub").as_bytes()).unwrap()
}

/// A good signature of [`signer`] with `certificate` beside it: how its check named `certificate` went.
fn verify_beside(certificate: &str) -> Result<CheckResult, Error> {
    let image = Digest::sha256(b"image");
    let payload = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"r"}},"image":{{"docker-manifest-digest":"{image}"}},"type":"cosign container image signature"}},"optional":null}}"#
    );
    let key = PrivateKey::import_pem(vector("keys/import/p256.pkcs8.pem").as_bytes()).unwrap();
    let mut descriptor = Descriptor::of(media_type::SIMPLE_SIGNING, payload.as_bytes());
    let signature = base64::encode(&key.sign(payload.as_bytes()).unwrap());
    descriptor.annotations.insert(legacy::SIGNATURE.into(), signature);
    descriptor.annotations.insert(legacy::CERTIFICATE.into(), certificate.into());
    let place = "registry.test/a:sha256-….sig".into();
    let signature = LegacySignature { place, layer: 0, descriptor, payload: Payload::Read(payload.into_bytes()) };
    let evidence = Evidence {
        reference: format!("registry.test/a@{image}"),
        digest: image,
        signatures: vec![SignatureEvidence::Legacy(signature)],
        unread: Vec::new(),
    };
    let verified = judge(&evidence, &Policy::new().with_key(signer()), Conditions::default())?;
    let checks = &verified.report().signatures[0].checks;
    Ok(checks.iter().find(|check| check.name == "certificate").expect("a check of the certificate").result)
}

#[track_caller]
fn refused(certificate: &str) -> String {
    let error = verify_beside(certificate).expect_err("a refusal");
    assert_eq!(error.code(), Code::NoSignatureMatches, "{}", error.message());
    let report = error.report().unwrap();
    assert_eq!(report.verdict, Verdict::Refused);
    let failed = report.signatures[0].checks.iter().find(|check| check.result == CheckResult::Failed).unwrap();
    assert_eq!(failed.name, "certificate");
    failed.reason.clone()
}

// security.md 142
#[test]
fn a_certificate_of_the_signing_key_is_accepted() {
    // Version 3, and version 1, which begins with the serial number.
    for name in ["signer.pem", "signer-v1.pem"] {
        let text = vector(&format!("certificates/{name}"));
        assert_eq!(verify_beside(&text).unwrap(), CheckResult::Passed, "{name}");
        assert_eq!(certificate::public_key_der(&text).unwrap(), signer().to_der(), "{name}");
    }
    // cosign writes an empty annotation where it has no certificate.
    assert_eq!(verify_beside("").unwrap(), CheckResult::Skipped);
}

// security.md 142
#[test]
fn a_certificate_of_another_key_is_refused() {
    // It carries the signing key, but in an extension.
    let other = vector("certificates/other.pem");
    assert!(refused(&other).contains("holds another key"));
    assert_ne!(certificate::public_key_der(&other).unwrap(), signer().to_der());
    // Of two certificates none is chosen.
    let own = vector("certificates/signer.pem");
    for both in [format!("{own}{other}"), format!("{other}{own}")] {
        assert!(refused(&both).contains("expected one CERTIFICATE"));
    }
}

#[test]
fn a_certificate_cut_anywhere_or_under_another_label_is_refused() {
    use cosign_core::encoding::pem;
    let own = vector("certificates/signer.pem");
    let (block, _) = pem::decode_with_rest(own.as_bytes()).unwrap();
    for end in 0..block.der.len() {
        let cut = pem::encode("CERTIFICATE", &block.der[..end]);
        assert_eq!(certificate::public_key_der(&cut).unwrap_err().code(), Code::KeyFormat, "{end}");
    }
    assert!(refused(&pem::encode("TRUSTED CERTIFICATE", &block.der)).contains("expected one CERTIFICATE"));
}
