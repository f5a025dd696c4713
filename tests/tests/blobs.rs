//! Signatures of blobs cross between us, real cosign 2.5 and 3.1, and openssl, in both directions, with every kind of key.

use std::fs::{self, File};
use std::process::Command;

use cosign_core::crypto::Hash;
use cosign_core::verify::BlobSignature;
use cosign_core::{
    Call, Code, Error, KeyAlgorithm, KeyFormat, Policy, PrivateKey, PublicKey, SignBlobOptions, SignedBlob,
    VerifyBlobOptions, sign_blob, verify_blob,
};
use cosign_tests::oracle::{Outcome, PASSWORD, Sandbox};

const PEERS: [&str; 2] = ["cosign2", "cosign3"];

/// A folder with two blobs.
struct World {
    sandbox: Sandbox,
    blob: String,
    other: String,
}

impl World {
    fn new() -> World {
        let sandbox = Sandbox::new();
        let blob = sandbox.write("blob", "some bytes\n".repeat(20_000));
        let other = sandbox.write("other", "other bytes");
        // No log, no authority: cosign 2.5 wants to be told so for new bundles, 3.1 for signing.
        sandbox.write("root.json", r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#);
        sandbox.write("signing.json", r#"{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}"#);
        World { sandbox, blob, other }
    }

    /// The public key's file.
    fn public(&self, name: &str, key: &PublicKey) -> String {
        self.sandbox.write(&format!("{name}.pub"), key.to_pem())
    }

    /// The private key's file, as cosign reads it.
    fn private(&self, name: &str, key: &PrivateKey) -> String {
        let pem = key.to_pem(PASSWORD.as_bytes(), KeyFormat::Cosign).unwrap();
        self.sandbox.write(&format!("{name}.key"), pem.as_bytes())
    }

    fn sign(&self, key: &PrivateKey, hash: Option<Hash>) -> SignedBlob {
        let mut options = SignBlobOptions::new();
        options.hash = hash;
        sign_blob(File::open(&self.blob).unwrap(), key, &options, &Call::new()).unwrap()
    }

    fn we_verify(&self, signature: &BlobSignature, blob: &str, key: &PublicKey) -> Result<String, Error> {
        let policy = Policy::new().with_key(key.clone());
        let (options, signature) = (VerifyBlobOptions::new(), std::slice::from_ref(signature));
        let verified = verify_blob(File::open(blob).unwrap(), signature, &policy, &options, &Call::new())?;
        assert_eq!(verified.signatures()[0].key_fingerprint(), key.fingerprint());
        Ok(verified.signatures()[0].format().to_owned())
    }

    /// Ours says yes to the blob, and no to the other blob and to another key.
    fn we_accept(&self, signature: &BlobSignature, key: &PublicKey, format: &str) {
        assert_eq!(self.we_verify(signature, &self.blob, key).unwrap(), format);
        let stranger = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public_key();
        for refused in [self.we_verify(signature, &self.other, key), self.we_verify(signature, &self.blob, &stranger)] {
            assert_eq!(refused.unwrap_err().code(), Code::NoSignatureMatches);
        }
    }

    fn they_verify(&self, peer: &str, public: &str, flags: &[&str], blob: &str) -> Outcome {
        let head = ["verify-blob", "--key", public, "--insecure-ignore-tlog=true"];
        let root = self.sandbox.arg("root.json");
        let root = ["--trusted-root", root.as_str()];
        // Only where there is a new bundle: the old way refuses the flag.
        let root: &[&str] = if flags[1].ends_with(".new") { &root } else { &[] };
        self.sandbox.run(peer, head.iter().chain(flags).chain(root).chain(&[blob]))
    }

    fn they_sign(&self, peer: &str, private: &str, flags: &[&str]) -> Outcome {
        let config = self.sandbox.arg("signing.json");
        let mut head = vec!["sign-blob", "--key", private, "--yes"];
        match (peer, flags.contains(&"--new-bundle-format=true")) {
            ("cosign3", true) => head.extend(["--signing-config", &config]),
            ("cosign3", false) => head.extend(["--use-signing-config=false", "--tlog-upload=false"]),
            _ => head.push("--tlog-upload=false"),
        }
        self.sandbox.run(peer, head.iter().chain(flags).chain(&[self.blob.as_str()])).success()
    }

    fn openssl(&self, arguments: &[&str]) -> bool {
        Command::new("openssl").args(arguments).current_dir(self.sandbox.path("")).output().unwrap().status.success()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.sandbox.path(name)).unwrap()
    }
}

#[test]
fn real_cosign_verifies_what_we_sign_in_every_form() {
    let world = World::new();
    // The kinds that cosign verifies without more; P-384 and P-521 by the hash that it expects.
    for (name, algorithm, hash) in [
        ("p256", KeyAlgorithm::EcdsaP256, None),
        ("p384", KeyAlgorithm::EcdsaP384, Some(Hash::Sha256)),
        ("p521", KeyAlgorithm::EcdsaP521, Some(Hash::Sha256)),
        ("ed25519", KeyAlgorithm::Ed25519, None),
        ("rsa", KeyAlgorithm::Rsa2048, None),
    ] {
        let key = PrivateKey::generate(algorithm).unwrap();
        let (public, signed) = (world.public(name, &key.public_key()), world.sign(&key, hash));
        let text = signed.base64();
        let written = [
            ["--bundle", &world.sandbox.write(&format!("{name}.new"), signed.bundle())],
            ["--bundle", &world.sandbox.write(&format!("{name}.old"), signed.old_bundle())],
            ["--signature", &world.sandbox.write(&format!("{name}.sig"), &text)],
            ["--signature", &world.sandbox.write(&format!("{name}.raw"), signed.signature())],
            ["--signature", &text],
        ];
        let why = if name == "rsa" { "verification error" } else { "signature" };
        for peer in PEERS {
            for flags in &written {
                world.they_verify(peer, &public, flags, &world.blob).success();
            }
            world.they_verify(peer, &public, &written[0], &world.other).refusal(why);
            world.they_verify(peer, &public, &written[2], &world.other).refusal(why);
        }
    }
    // Over their own hash cosign verifies them when it is told so.
    for (name, algorithm, hash) in
        [("own384", KeyAlgorithm::EcdsaP384, "sha384"), ("own521", KeyAlgorithm::EcdsaP521, "sha512")]
    {
        let key = PrivateKey::generate(algorithm).unwrap();
        let (public, signed) = (world.public(name, &key.public_key()), world.sign(&key, None));
        let flags = ["--signature", &signed.base64(), "--signature-digest-algorithm", hash];
        world.they_verify("cosign3", &public, &flags, &world.blob).success();
    }
}

#[test]
fn we_verify_what_real_cosign_signs_also_what_it_cannot_verify_itself() {
    let world = World::new();
    for (name, algorithm) in [
        ("p256", KeyAlgorithm::EcdsaP256),
        ("p384", KeyAlgorithm::EcdsaP384),
        ("p521", KeyAlgorithm::EcdsaP521),
        ("ed25519", KeyAlgorithm::Ed25519),
        ("rsa", KeyAlgorithm::Rsa2048),
    ] {
        let key = PrivateKey::generate(algorithm).unwrap();
        let (private, public) = (world.private(name, &key), key.public_key());
        for peer in PEERS {
            let (new, old) = (format!("{peer}.{name}.new"), format!("{peer}.{name}.old"));
            let (sig, raw) = (format!("{peer}.{name}.sig"), format!("{peer}.{name}.raw"));
            world.they_sign(peer, &private, &["--new-bundle-format=true", "--bundle", &new]);
            let flags = ["--new-bundle-format=false", "--bundle", &old, "--output-signature", &sig];
            world.they_sign(peer, &private, &flags);
            let flags = ["--new-bundle-format=false", "--b64=false", "--output-signature", &raw];
            world.they_sign(peer, &private, &flags);
            world.we_accept(&BlobSignature::bundle(&new, world.read(&new)), &public, "bundle");
            world.we_accept(&BlobSignature::bundle(&old, world.read(&old)), &public, "legacy");
            world.we_accept(&BlobSignature::detached(&sig, world.read(&sig)), &public, "legacy");
            world.we_accept(&BlobSignature::detached(&raw, world.read(&raw)), &public, "legacy");
            let printed = world.they_sign(peer, &private, &["--new-bundle-format=false"]).stdout;
            world.we_accept(&BlobSignature::detached("-", printed), &public, "legacy");
        }
    }
}

#[test]
fn openssl_and_we_verify_each_others_signatures() {
    let world = World::new();
    for (name, make, algorithm) in [
        ("p256", "EC -pkeyopt ec_paramgen_curve:P-256", "sha256"),
        ("p384", "EC -pkeyopt ec_paramgen_curve:P-384", "sha384"),
        ("p384", "EC -pkeyopt ec_paramgen_curve:P-384", "sha256"),
        ("p521", "EC -pkeyopt ec_paramgen_curve:P-521", "sha512"),
        ("p521", "EC -pkeyopt ec_paramgen_curve:P-521", "sha256"),
        ("rsa2048", "RSA -pkeyopt rsa_keygen_bits:2048", "sha256"),
        ("rsa4096", "RSA -pkeyopt rsa_keygen_bits:4096", "sha256"),
        ("ed25519", "ED25519", ""),
    ] {
        let make: Vec<&str> = "genpkey -out key.pem -algorithm".split(' ').chain(make.split(' ')).collect();
        assert!(world.openssl(&make), "{name}");
        assert!(world.openssl(&["pkey", "-in", "key.pem", "-pubout", "-out", "key.pub"]));
        let key = PrivateKey::import_pem(&world.read("key.pem")).unwrap();
        let digest = format!("-{algorithm}");
        let (sign, verify) = if algorithm.is_empty() {
            (
                ["pkeyutl", "-sign", "-rawin", "-inkey", "key.pem", "-out", "theirs", "-in", &world.blob].to_vec(),
                ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pub", "-sigfile", "ours", "-in", &world.blob]
                    .to_vec(),
            )
        } else {
            (
                ["dgst", &digest, "-sign", "key.pem", "-out", "theirs", &world.blob].to_vec(),
                ["dgst", &digest, "-verify", "key.pub", "-signature", "ours", &world.blob].to_vec(),
            )
        };
        assert!(world.openssl(&sign), "{name}");
        world.we_accept(&BlobSignature::detached("theirs", world.read("theirs")), &key.public_key(), "legacy");
        let hash = (!algorithm.is_empty()).then(|| Hash::parse(algorithm).unwrap());
        world.sandbox.write("ours", world.sign(&key, hash).signature());
        assert!(world.openssl(&verify), "{name}");
    }
}
