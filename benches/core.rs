//! In-process figures: the key file, the primitives through the public types, the judgement, a whole layout.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::path::Path;

use cosign_core::blocking::Client;
use cosign_core::bundle::legacy::{self, NewSignature};
use cosign_core::oci::Manifest;
use cosign_core::payload::simple_signing;
use cosign_core::verify::{Conditions, Evidence, LegacySignature, Payload, SignatureEvidence, judge};
use cosign_core::{Call, Digest, KeyAlgorithm, KeyFormat, Policy, PrivateKey, SignOptions, VerifyOptions, crypto};
use criterion::{Criterion, criterion_group, criterion_main};

fn keys(c: &mut Criterion) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let pem = key.to_pem(b"test", KeyFormat::Sigstore).unwrap();
    let mut group = c.benchmark_group("key file, N = 65536");
    group.sample_size(10);
    group.bench_function("bare KDF", |b| b.iter(|| crypto::kdf::scrypt(b"test", &[7; 32], 65536).unwrap()));
    group.bench_function("decrypt", |b| b.iter(|| PrivateKey::from_pem(pem.as_bytes(), Some(b"test")).unwrap()));
    group.finish();
}

fn primitives(c: &mut Criterion) {
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::EcdsaP521, KeyAlgorithm::Ed25519]
    {
        let key = PrivateKey::generate(algorithm).unwrap();
        let public = key.public_key();
        let message = [7; 241];
        let signature = key.sign(&message).unwrap();
        c.bench_function(&format!("sign {}", algorithm.name()), |b| b.iter(|| key.sign(black_box(&message)).unwrap()));
        c.bench_function(&format!("verify {}", algorithm.name()), |b| {
            b.iter(|| public.verify(black_box(&message), &signature).unwrap());
        });
    }
}

fn judgement(c: &mut Criterion) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let digest = Digest::sha256(b"image");
    let payload = simple_signing::write("ghcr.io/team/app", &digest, &Default::default());
    let new =
        NewSignature { signature: key.sign(&payload).unwrap(), payload: payload.clone(), ..NewSignature::default() };
    let image = legacy::append(None, &new, false).unwrap();
    let policy = Policy::new().with_key(key.public_key());
    c.bench_function("judge one fetched legacy signature", |b| {
        b.iter(|| {
            let manifest = Manifest::parse(&image.manifest, None).unwrap();
            let layers = manifest.layers.into_iter().enumerate();
            let evidence = Evidence {
                digest: digest.clone(),
                reference: "ghcr.io/team/app".into(),
                signatures: layers
                    .map(|(layer, descriptor)| {
                        let payload = Payload::Read(payload.clone());
                        let place = String::new();
                        SignatureEvidence::Legacy(LegacySignature { place, layer, descriptor, payload })
                    })
                    .collect(),
                unread: Vec::new(),
            };
            judge(&evidence, &policy, Conditions::default()).unwrap().count()
        });
    });
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() { copy(&file.path(), &to) } else { drop(std::fs::copy(file.path(), to)) }
    }
}

fn layout(c: &mut Criterion) {
    let dir = std::env::temp_dir().join(format!("cosign-bench-{}", std::process::id()));
    copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/image")), &dir);
    let image = format!("oci:{}:v1", dir.display()).parse().unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let client = Client::new(Default::default()).unwrap();
    client.sign(&image, &key, &SignOptions::default(), &Call::new()).unwrap();
    let policy = Policy::new().with_key(key.public_key());
    c.bench_function("verify an image in a layout", |b| {
        b.iter(|| client.verify(&image, &policy, &VerifyOptions::default(), &Call::new()).unwrap().count());
    });
    std::fs::remove_dir_all(&dir).unwrap();
}

criterion_group!(benches, keys, primitives, judgement, layout);
criterion_main!(benches);
