//! Key files, key forms and signatures as an attacker or another tool may hand them over. The numbers in comments are
//! cases of the attack catalogue (`docs/attacks.md`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::sync::LazyLock;

#[cfg(feature = "backend-aws-lc")]
use cosign_core::KeyAlgorithm;
use cosign_core::crypto::{Backend, Hash, kdf, secretbox};
use cosign_core::encoding::{base64, pem};
use cosign_core::{Code, KeyFormat, PrivateKey, PublicKey, Result};

const MESSAGE: &[u8] = b"libcosign test message\n";
const SIGSTORE: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
const COSIGN: &str = "ENCRYPTED COSIGN PRIVATE KEY";
const SALT: [u8; 32] = [7; 32];
const NONCE: [u8; 24] = [9; 24];

fn vector(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/keys").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn imported(name: &str) -> Result<PrivateKey> {
    PrivateKey::import_pem(&vector(&format!("import/{name}")))
}

fn contents(name: &str) -> Vec<u8> {
    pem::decode_first(&vector(&format!("import/{name}"))).unwrap().der.to_vec()
}

fn code<T>(result: Result<T>) -> Code {
    result.err().expect("must be refused").code()
}

fn message<T>(result: Result<T>) -> String {
    result.err().expect("must be refused").message().to_owned()
}

/// The key of the boxes below: password `test`, N = 32768. One scrypt for all of them.
static BOX_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| *kdf::scrypt(b"test", &SALT, 32768).unwrap());

fn sealed(plaintext: &[u8]) -> Vec<u8> {
    secretbox::seal(&BOX_KEY, &NONCE, plaintext).unwrap()
}

fn json(params: &str, kdf: &str, cipher: &str, salt: &[u8], nonce: &[u8], ciphertext: &[u8]) -> String {
    format!(
        r#"{{"kdf":{{"name":"{kdf}","params":{params},"salt":"{}"}},"cipher":{{"name":"{cipher}","nonce":"{}"}},"ciphertext":"{}"}}"#,
        base64::encode(salt),
        base64::encode(nonce),
        base64::encode(ciphertext)
    )
}

const PARAMS: &str = r#"{"N":32768,"r":8,"p":1}"#;

fn good_json() -> String {
    json(PARAMS, "scrypt", "nacl/secretbox", &SALT, &NONCE, &sealed(&contents("p256.pkcs8.pem")))
}

fn open_json(json: &str) -> Result<PrivateKey> {
    PrivateKey::from_pem(pem::encode(SIGSTORE, json.as_bytes()).as_bytes(), Some(b"test"))
}

fn open_params(params: &str) -> Result<PrivateKey> {
    open_json(&json(params, "scrypt", "nacl/secretbox", &SALT, &NONCE, &sealed(&contents("p256.pkcs8.pem"))))
}

/// A key file around this plaintext.
fn open_plaintext(plaintext: &[u8]) -> Result<PrivateKey> {
    open_json(&json(PARAMS, "scrypt", "nacl/secretbox", &SALT, &NONCE, &sealed(plaintext)))
}

/// The plaintext of a key file.
#[cfg(feature = "backend-aws-lc")]
fn plaintext_of(file: &str, password: &[u8]) -> Vec<u8> {
    let document: serde_json::Value = serde_json::from_slice(&pem::decode_first(file.as_bytes()).unwrap().der).unwrap();
    let bytes = |value: &serde_json::Value| base64::decode(value.as_str().unwrap()).unwrap();
    let n = u32::try_from(document["kdf"]["params"]["N"].as_u64().unwrap()).unwrap();
    let key = kdf::scrypt(password, &bytes(&document["kdf"]["salt"]), n).unwrap();
    let nonce: [u8; 24] = bytes(&document["cipher"]["nonce"]).try_into().unwrap();
    secretbox::open(&key, &nonce, &bytes(&document["ciphertext"])).unwrap().to_vec()
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![tag];
    match body.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length @ 0x80..=0xff => out.extend([0x81, length as u8]),
        length => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(body);
    out
}

const EC_OID: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256_OID: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384_OID: &[u8] = &[0x06, 5, 0x2b, 0x81, 4, 0, 0x22];
const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn spki_p256(point: &[u8]) -> Vec<u8> {
    der(0x30, &[&der(0x30, &[EC_OID, P256_OID]), &der(3, &[&[0], point])])
}

fn pkcs8_p256(scalar: &[u8], public: Option<&[u8]>) -> Vec<u8> {
    let public = public.map(|point| der(0xa1, &[&der(3, &[&[0], point])])).unwrap_or_default();
    let inner = der(0x30, &[&[2, 1, 1], &der(4, &[scalar]), &public]);
    der(0x30, &[&[2, 1, 0], &der(0x30, &[EC_OID, P256_OID]), &der(4, &[&inner])])
}

fn p256_point() -> Vec<u8> {
    contents("p256.pub")[26..].to_vec()
}

/// A decrypted key for the tests that only sign.
static KEY: LazyLock<PrivateKey> = LazyLock::new(|| imported("p256.pkcs8.pem").unwrap());

// ---- key files (security.md 2.1) ----

// 1, 2, 3
#[test]
fn refuses_every_scrypt_cost_but_the_three_of_cosign() {
    for params in [
        r#"{"N":1099511627776,"r":8,"p":1}"#,
        r#"{"N":0,"r":8,"p":1}"#,
        r#"{"N":1,"r":8,"p":1}"#,
        r#"{"N":65535,"r":8,"p":1}"#,
        r#"{"N":16384,"r":8,"p":1}"#,
        r#"{"N":262144,"r":8,"p":1}"#,
        r#"{"N":-1,"r":8,"p":1}"#,
        r#"{"N":1.5,"r":8,"p":1}"#,
        r#"{"N":32768.0,"r":8,"p":1}"#,
        r#"{"N":"65536","r":8,"p":1}"#,
        r#"{"N":null,"r":8,"p":1}"#,
        r#"{"N":4295000064,"r":8,"p":1}"#,
        r#"{"N":32768,"r":0,"p":1}"#,
        r#"{"N":32768,"r":2147483648,"p":1}"#,
        r#"{"N":32768,"r":8,"p":2147483648}"#,
        r#"{"N":32768,"r":8,"p":0}"#,
        r#"{"N":32768,"r":8}"#,
        r#"{"n":32768,"r":8,"p":1}"#,
    ] {
        assert_eq!(code(open_params(params)), Code::KeyFormat, "{params}");
    }
    assert!(message(open_params(r#"{"N":1099511627776,"r":8,"p":1}"#)).contains("unsupported scrypt parameters"));
    for n in [0, 1, 16384, 65535, 1 << 18, u32::MAX] {
        assert_eq!(code(kdf::scrypt(b"", b"", n)), Code::KeyFormat);
    }
    assert!(open_params(PARAMS).is_ok());
}

// 4
#[test]
fn opens_n_131072_within_140_mib() {
    const CHILD: &str = "LIBCOSIGN_TEST_MEMORY_CHILD";
    if std::env::var_os(CHILD).is_none() {
        // Alone in a process: other tests run scrypt at the same time.
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "opens_n_131072_within_140_mib", "--test-threads=1"])
            .env(CHILD, "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let key = kdf::scrypt(b"test", &SALT, 131_072).unwrap();
    let ciphertext = secretbox::seal(&key, &NONCE, &contents("p256.pkcs8.pem")).unwrap();
    open_json(&json(r#"{"N":131072,"r":8,"p":1}"#, "scrypt", "nacl/secretbox", &SALT, &NONCE, &ciphertext)).unwrap();
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib <= 140 * 1024, "{kib} KiB");
    }
}

// 4
#[test]
fn writes_n_65536_and_the_form_of_2021_on_request() {
    for (format, label, n) in [(KeyFormat::default(), SIGSTORE, "65536"), (KeyFormat::Cosign, COSIGN, "32768")] {
        let file = KEY.to_pem(b"pw", format).unwrap();
        assert!(file.starts_with(&format!("-----BEGIN {label}-----\n")) && file.ends_with("-----\n"));
        let json = String::from_utf8(pem::decode_first(file.as_bytes()).unwrap().der.to_vec()).unwrap();
        assert!(
            json.starts_with(&format!(r#"{{"kdf":{{"name":"scrypt","params":{{"N":{n},"r":8,"p":1}},"salt":""#)),
            "{json}"
        );
        assert_eq!(PrivateKey::from_pem(file.as_bytes(), Some(b"pw")).unwrap().public_key(), KEY.public_key());
    }
    assert_eq!(KEY.to_pem(b"pw", KeyFormat::Sigstore).unwrap().len(), 653);
    assert_eq!(KeyFormat::parse("cosign").unwrap(), KeyFormat::Cosign);
    assert_eq!(code(KeyFormat::parse("Cosign")), Code::Argument);
}

// 5, 6
#[test]
fn refuses_other_kdfs_and_ciphers() {
    let ciphertext = sealed(&contents("p256.pkcs8.pem"));
    for kdf in ["Scrypt", "pbkdf2", ""] {
        let file = json(PARAMS, kdf, "nacl/secretbox", &SALT, &NONCE, &ciphertext);
        assert_eq!(code(open_json(&file)), Code::KeyFormat, "{kdf}");
    }
    for cipher in ["nacl/box", "NACL/SECRETBOX", ""] {
        assert_eq!(code(open_json(&json(PARAMS, "scrypt", cipher, &SALT, &NONCE, &ciphertext))), Code::KeyFormat);
    }
}

// 7
#[test]
fn refuses_a_nonce_of_another_length() {
    for length in [0, 23, 25] {
        let file = json(PARAMS, "scrypt", "nacl/secretbox", &SALT, &vec![9; length], &sealed(b"x"));
        assert_eq!(code(open_json(&file)), Code::KeyFormat, "{length}");
    }
}

// 8
#[test]
fn an_empty_salt_is_derived_with_and_fails_like_a_wrong_password() {
    let file = json(PARAMS, "scrypt", "nacl/secretbox", &[], &NONCE, &sealed(b"x"));
    assert_eq!(code(open_json(&file)), Code::PasswordWrong);
}

// 9
#[test]
fn refuses_a_short_ciphertext() {
    for (length, expected) in [(0, Code::KeyFormat), (15, Code::KeyFormat), (16, Code::PasswordWrong)] {
        let file = json(PARAMS, "scrypt", "nacl/secretbox", &SALT, &NONCE, &vec![0; length]);
        assert_eq!(code(open_json(&file)), expected, "{length}");
    }
}

// 10
#[test]
fn a_flipped_bit_looks_like_a_wrong_password() {
    let ciphertext = sealed(&contents("p256.pkcs8.pem"));
    let wrong =
        PrivateKey::from_pem(pem::encode(SIGSTORE, good_json().as_bytes()).as_bytes(), Some(b"Test")).unwrap_err();
    assert_eq!(wrong.code(), Code::PasswordWrong);
    let flipped = |bytes: &[u8], at: usize, bit: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1 << bit;
        bytes
    };
    let last = ciphertext.len() - 1;
    for file in [
        json(PARAMS, "scrypt", "nacl/secretbox", &flipped(&SALT, 0, 0), &NONCE, &ciphertext),
        json(PARAMS, "scrypt", "nacl/secretbox", &flipped(&SALT, 31, 7), &NONCE, &ciphertext),
        json(PARAMS, "scrypt", "nacl/secretbox", &SALT, &flipped(&NONCE, 0, 3), &ciphertext),
        json(PARAMS, "scrypt", "nacl/secretbox", &SALT, &flipped(&NONCE, 23, 0), &ciphertext),
        json(PARAMS, "scrypt", "nacl/secretbox", &SALT, &NONCE, &flipped(&ciphertext, 0, 0)),
        json(PARAMS, "scrypt", "nacl/secretbox", &SALT, &NONCE, &flipped(&ciphertext, last, 7)),
    ] {
        let error = open_json(&file).unwrap_err();
        assert_eq!((error.code(), error.message()), (wrong.code(), wrong.message()));
    }
    // Every bit of the box, without scrypt each time.
    for at in 0..ciphertext.len() {
        for bit in 0..8 {
            assert!(secretbox::open(&BOX_KEY, &NONCE, &flipped(&ciphertext, at, bit)).is_none());
        }
    }
}

// 11
#[test]
fn refuses_other_pem_labels_and_says_what_to_do() {
    let json = good_json();
    for label in ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEYS", "PUBLIC KEY", "X", ""] {
        let file = pem::encode(label, json.as_bytes());
        assert_eq!(code(PrivateKey::from_pem(file.as_bytes(), Some(b"test"))), Code::KeyFormat, "{label}");
    }
    let plain = vector("import/p256.pkcs8.pem");
    assert!(message(PrivateKey::from_pem(&plain, None)).contains("import"));
    assert_eq!(code(PrivateKey::from_pem(&vector("cosign-n32768.pub"), None)), Code::KeyFormat);
}

// 12
#[test]
fn opens_the_vectors_with_both_labels_and_costs() {
    for name in ["cosign-n32768", "cosign-n65536", "sigstore-n32768", "sigstore-n65536"] {
        let key = PrivateKey::from_pem(&vector(&format!("{name}.key")), Some(b"test")).unwrap();
        let public = PublicKey::from_pem(&vector(&format!("{name}.pub"))).unwrap();
        assert_eq!(key.public_key(), public);
        public.verify(MESSAGE, &key.sign(MESSAGE).unwrap()).unwrap();
        assert_eq!(public.to_pem().as_bytes(), vector(&format!("{name}.pub")));
        assert_eq!(public.to_pem().len(), 178);
    }
}

#[test]
fn verifies_the_signatures_of_skopeo_and_cosign() {
    for (folder, keys) in [
        ("sig-1", &["sigstore-n65536"][..]),
        ("sig-2", &["cosign-n32768", "sigstore-n65536"]),
        ("cosign-2.5.0", &["sigstore-n65536", "cosign-n32768", "cosign-n32768"]),
        ("cosign-3.1.1-legacy", &["sigstore-n65536"]),
    ] {
        for (layer, key) in keys.iter().enumerate() {
            let payload = vector(&format!("../{folder}/payload-{layer}.json"));
            let signature = vector(&format!("../{folder}/signature-{layer}.b64"));
            let signature = base64::decode(std::str::from_utf8(&signature).unwrap().trim()).unwrap();
            let public = PublicKey::from_pem(&vector(&format!("{key}.pub"))).unwrap();
            for &backend in BACKENDS {
                public.verify_with(backend, &payload, &signature).unwrap();
                assert!(public.verify_with(backend, &payload[1..], &signature).is_err());
            }
        }
    }
}

// 13, 14
#[test]
fn takes_text_around_the_block_crlf_and_a_second_block() {
    let file = pem::encode(SIGSTORE, good_json().as_bytes()).to_string();
    let other = KEY.to_pem(b"other", KeyFormat::Cosign).unwrap().to_string();
    for variant in [
        format!("a comment\n\n{file}"),
        file.replace('\n', "\r\n"),
        format!("{file}\n\n\n"),
        file.trim_end().to_owned(),
        format!("{file}{other}"),
        format!("{file}-----BEGIN GARBAGE"),
    ] {
        let key = PrivateKey::from_pem(variant.as_bytes(), Some(b"test")).unwrap();
        assert_eq!(key.public_key(), KEY.public_key());
    }
    // The first block counts, whatever follows.
    assert_eq!(code(PrivateKey::from_pem(format!("{other}{file}").as_bytes(), Some(b"test"))), Code::PasswordWrong);
}

// 15
#[test]
fn refuses_a_key_file_truncated_at_any_byte() {
    let file = pem::encode(SIGSTORE, good_json().as_bytes());
    // Only the last newline may be missing.
    for length in 0..file.len() - 1 {
        let cut = &file.as_bytes()[..length];
        assert_eq!(code(PrivateKey::from_pem(cut, Some(b"test"))), Code::KeyFormat, "{length}");
        assert_eq!(code(PrivateKey::import_pem(cut)), Code::KeyFormat, "{length}");
        assert_eq!(code(PublicKey::from_pem(cut)), Code::KeyFormat, "{length}");
    }
    let der = contents("p256.pkcs8.pem");
    for length in 0..der.len() {
        let cut = pem::encode("PRIVATE KEY", &der[..length]);
        assert_eq!(code(PrivateKey::import_pem(cut.as_bytes())), Code::KeyFormat, "{length}");
    }
    let der = contents("p256.pub");
    for length in 0..der.len() {
        assert_eq!(code(PublicKey::from_der(&der[..length])), Code::KeyFormat, "{length}");
    }
}

// 16
#[test]
fn refuses_json_that_two_parsers_read_differently() {
    let good = good_json();
    assert!(open_json(&good).is_ok());
    for bad in [
        format!("{good}{{}}"),
        format!("{good}x"),
        good.replacen(r#"{"kdf""#, r#"{"kdf":{},"kdf""#, 1),
        good.replacen(r#""N":"#, r#""N":1,"N":"#, 1),
        good.replacen(r#""kdf""#, r#""KDF""#, 1),
        good.replacen(r#""ciphertext""#, r#""Ciphertext""#, 1),
        good.replacen(r#"{"kdf""#, r#"{"extra":1,"kdf""#, 1),
        format!("{good}{}", " ".repeat(10_000_000)),
        "[]".to_owned(),
        "null".to_owned(),
        String::new(),
    ] {
        assert_eq!(code(open_json(&bad)), Code::KeyFormat, "{}", &bad[..bad.len().min(80)]);
    }
    let numbers = good.replacen(&format!("\"{}\"", base64::encode(&SALT)), "[7,7]", 1);
    assert_eq!(code(open_json(&numbers)), Code::KeyFormat);
    let text_in_front = format!("{}{}", "x".repeat(1_000_000), *pem::encode(SIGSTORE, good.as_bytes()));
    assert_eq!(code(PrivateKey::from_pem(text_in_front.as_bytes(), Some(b"test"))), Code::KeyFormat);
}

// 17
// RSA is among its keys: both backends by name, in the build that has both.
#[cfg(feature = "backend-aws-lc")]
#[test]
fn a_key_file_holds_one_sound_pkcs8_key() {
    let good = contents("p256.pkcs8.pem");
    let mut trailing = good.clone();
    trailing.push(0);
    let mut other_oid = good.clone();
    other_oid[12] ^= 1;
    for bad in [&trailing, &other_oid, &contents("p256.sec1.pem"), &contents("p256.pub"), &Vec::new()] {
        assert!(matches!(code(open_plaintext(bad)), Code::KeyFormat | Code::KeyAlgorithm));
    }
    for name in ["p224", "secp256k1", "rsa1024", "x25519", "rsa-pss"] {
        let result = open_plaintext(&contents(&format!("{name}.pkcs8.pem")));
        assert_eq!(code(result), Code::KeyAlgorithm, "{name}");
    }
    for (name, algorithm) in [
        ("p384", KeyAlgorithm::EcdsaP384),
        ("p521", KeyAlgorithm::EcdsaP521),
        ("ed25519", KeyAlgorithm::Ed25519),
        ("rsa2048", KeyAlgorithm::Rsa2048),
    ] {
        let key = open_plaintext(&contents(&format!("{name}.pkcs8.pem"))).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        key.public_key().verify(MESSAGE, &key.sign(MESSAGE).unwrap()).unwrap();
    }
}

// 18
#[test]
fn refuses_curves_spelled_out() {
    for name in ["p256.explicit.pkcs8.pem", "p256.explicit.sec1.pem"] {
        assert!(message(imported(name)).contains("named curves"), "{name}");
    }
    let public = PublicKey::from_pem(&vector("import/p256.explicit.pub"));
    assert!(message(public).contains("named curves"));
}

// 19
#[test]
fn refuses_points_that_are_not_on_the_curve() {
    let good = p256_point();
    assert!(PublicKey::from_der(&spki_p256(&good)).is_ok());
    let mut off = good.clone();
    off[64] ^= 1;
    let mut zero = vec![0; 65];
    zero[0] = 4;
    let mut large = good.clone();
    large[1..33].fill(0xff);
    // x = p, which a parser that reduces takes for x = 0
    let mut modulus = good.clone();
    modulus[1..33].copy_from_slice(&unhex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"));
    let with_first = |first: u8| {
        let mut point = good.clone();
        point[0] = first;
        point
    };
    let mut long = good.clone();
    long.push(0);
    for point in [
        off,
        zero,
        large,
        modulus,
        vec![0],
        vec![],
        with_first(6),
        with_first(7),
        with_first(0),
        long,
        good[..64].to_vec(),
    ] {
        assert_eq!(code(PublicKey::from_der(&spki_p256(&point))), Code::KeyFormat);
    }
}

// 20
#[test]
fn refuses_compressed_points() {
    let result = PublicKey::from_pem(&vector("import/p256.compressed.pub"));
    assert!(message(result).contains("compressed"));
}

// 21
#[test]
fn refuses_scalars_out_of_range_or_of_another_length() {
    let order = unhex(P256_ORDER);
    let mut above = order.clone();
    above[31] += 1;
    let mut below = order.clone();
    below[31] -= 1;
    let mut one = vec![0; 32];
    one[31] = 1;
    for scalar in [vec![0; 32], order, above, vec![0xff; 32], [&[0][..], &one].concat(), one[1..].to_vec(), vec![]] {
        assert_eq!(code(open_plaintext(&pkcs8_p256(&scalar, None))), Code::KeyFormat, "{scalar:02x?}");
    }
    // Leading zeros are part of the full width.
    for scalar in [one, below] {
        let key = open_plaintext(&pkcs8_p256(&scalar, None)).unwrap();
        key.public_key().verify(MESSAGE, &key.sign(MESSAGE).unwrap()).unwrap();
    }
}

// 22
#[test]
fn refuses_the_public_key_of_another_private_key() {
    let mut one = vec![0; 32];
    one[31] = 1;
    assert!(message(open_plaintext(&pkcs8_p256(&one, Some(&p256_point())))).contains("not its own"));
    let inner = der(0x30, &[&[2, 1, 1], &der(4, &[&one]), &der(0xa0, &[P384_OID])]);
    let two_curves = der(0x30, &[&[2, 1, 0], &der(0x30, &[EC_OID, P256_OID]), &der(4, &[&inner])]);
    assert!(message(open_plaintext(&two_curves)).contains("two curves"));
}

// 23
#[test]
fn refuses_ber() {
    let good = contents("p256.pub");
    assert!(PublicKey::from_der(&good).is_ok());
    let indefinite = [&[0x30, 0x80], &good[2..], &[0, 0]].concat();
    let long_form = [&[0x30, 0x81, good[1]], &good[2..]].concat();
    let trailing = [&good[..], &[0]].concat();
    let mut unused_bits = good.clone();
    unused_bits[25] = 1;
    let extra = der(0x30, &[&good[2..], &[5, 0]]);
    for bad in [indefinite, long_form, trailing, unused_bits, extra] {
        assert_eq!(code(PublicKey::from_der(&bad)), Code::KeyFormat);
    }
}

// 24
#[test]
fn passwords_are_bytes_verbatim() {
    let long = vec![b'x'; 1 << 20];
    for password in [&b""[..], &long, b"a\0b", b"\xff\xfe", b"pw\n"] {
        let file = KEY.to_pem(password, KeyFormat::Cosign).unwrap();
        assert!(PrivateKey::from_pem(file.as_bytes(), Some(password)).is_ok());
        let other = [password, b"\n"].concat();
        assert_eq!(code(PrivateKey::from_pem(file.as_bytes(), Some(&other))), Code::PasswordWrong);
        assert_eq!(code(PrivateKey::from_pem(file.as_bytes(), None)), Code::PasswordRequired);
    }
}

#[test]
fn truncated_passwords_and_secrets_stay_out_of_debug() {
    let shown = format!("{:?}", *KEY);
    assert_eq!(shown, format!("<PrivateKey ecdsa-p256 sha256:{}>", KEY.public_key().fingerprint()));
    assert!(format!("{:?}", KEY.public_key()).starts_with("<PublicKey ecdsa-p256 sha256:"));
}

// ---- import (formats.md, KEY FORMATS) ----

// RSA is among its keys: both backends by name, in the build that has both.
#[cfg(feature = "backend-aws-lc")]
#[test]
fn writes_pkcs8_byte_for_byte_as_go() {
    for name in ["p256", "p384", "p521", "ed25519", "rsa2048", "rsa3072", "rsa4096"] {
        let key = imported(&format!("{name}.pkcs8.pem")).unwrap();
        let file = key.to_pem(b"test", KeyFormat::Cosign).unwrap();
        assert_eq!(plaintext_of(&file, b"test"), contents(&format!("{name}.pkcs8.pem")), "{name}");
        assert_eq!(key.public_key().to_pem().as_bytes(), vector(&format!("import/{name}.pub")), "{name}");
    }
    assert_eq!(contents("p256.pkcs8.pem").len(), 138);
    for name in ["p256", "p384", "p521"] {
        let file = imported(&format!("{name}.sec1.pem")).unwrap().to_pem(b"", KeyFormat::Cosign).unwrap();
        assert_eq!(plaintext_of(&file, b""), contents(&format!("{name}.pkcs8.pem")), "{name}");
    }
    let file = imported("rsa2048.pkcs1.pem").unwrap().to_pem(b"", KeyFormat::Cosign).unwrap();
    assert_eq!(plaintext_of(&file, b""), contents("rsa2048.pkcs8.pem"));
}

// RSA is among its keys: both backends by name, in the build that has both.
#[cfg(feature = "backend-aws-lc")]
#[test]
fn import_refuses_by_name() {
    for (name, expected) in [
        ("p256.pkcs8-encrypted.pem", "encrypted"),
        ("p256.dek-info.pem", "encrypted"),
        ("p256.ec-parameters.pem", "EC PARAMETERS"),
        ("openssh.pem", "ssh-keygen"),
        ("p224.pkcs8.pem", "P-224"),
        ("p224.sec1.pem", "P-224"),
        ("secp256k1.pkcs8.pem", "secp256k1"),
        ("x25519.pkcs8.pem", "X25519"),
        ("rsa-pss.pkcs8.pem", "RSA-PSS"),
        ("rsa1024.pkcs8.pem", "1024 bits"),
        ("rsa1024.pkcs1.pem", "1024 bits"),
        ("rsa2050.pem", "2050 bits"),
        ("rsa2048-e3.pem", "65537"),
        ("rsa2048-close.pem", "Fermat"),
        ("rsa2048-roca.pem", "ROCA"),
        ("rsa2048-small-factor.pem", "small factor"),
        ("rsa2048-d-changed.pem", "not consistent"),
        ("p256.pub", "no private key"),
        ("certificate.pem", "no private key"),
    ] {
        let found = message(imported(name));
        assert!(found.contains(expected), "{name}: {found}");
    }
    assert!(message(PrivateKey::import_pem(&vector("cosign-n32768.key"))).contains("cosign key already"));
    let mislabelled = pem::encode("RSA PRIVATE KEY", &contents("rsa2048.pkcs8.pem"));
    assert_eq!(code(PrivateKey::import_pem(mislabelled.as_bytes())), Code::KeyFormat);
}

// ---- public keys ----

#[test]
fn public_keys_are_read_from_pem_der_and_inline_text() {
    for name in ["p256", "p384", "p521", "ed25519", "rsa2048", "rsa3072", "rsa4096"] {
        let key = PublicKey::from_pem(&vector(&format!("import/{name}.pub"))).unwrap();
        assert_eq!(PublicKey::from_der(key.to_der()).unwrap(), key);
        assert_eq!(PublicKey::from_inline(&base64::encode(key.to_der())).unwrap(), key);
        assert_eq!(key.fingerprint().len(), 64);
    }
    let pkcs1 = PublicKey::from_pem(&vector("import/rsa2048.pkcs1.pub")).unwrap();
    assert_eq!(pkcs1, PublicKey::from_pem(&vector("import/rsa2048.pub")).unwrap());
    let ed25519 = PublicKey::from_pem(&vector("import/ed25519.pub")).unwrap();
    let raw = &ed25519.to_der()[12..];
    assert_eq!(PublicKey::from_inline(&base64::encode(raw)).unwrap(), ed25519);
    // Raw keys are inline, or in PEM as cosign wrote them until 2021-03-06; of a weak point in neither.
    assert_eq!(code(PublicKey::from_der(raw)), Code::KeyFormat);
    assert_eq!(PublicKey::from_pem(pem::encode("PUBLIC KEY", raw).as_bytes()).unwrap(), ed25519);
    assert_eq!(code(PublicKey::from_pem(pem::encode("RSA PUBLIC KEY", raw).as_bytes())), Code::KeyFormat);
    for weak in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        assert!(PublicKey::from_pem(pem::encode("PUBLIC KEY", &weak).as_bytes()).is_err());
        assert!(PublicKey::from_inline(&base64::encode(&weak)).is_err());
    }
    for length in [31, 33] {
        let cut = pem::encode("PUBLIC KEY", &[raw, &[0]].concat()[..length]);
        assert_eq!(code(PublicKey::from_pem(cut.as_bytes())), Code::KeyFormat, "{length}");
    }
    for bad in ["", "!", "AAAA", &base64::encode(&raw[1..])] {
        assert_eq!(code(PublicKey::from_inline(bad)), Code::KeyFormat, "{bad:?}");
    }
}

#[test]
fn key_files_from_before_2021_03_06_hold_a_raw_ed25519_key() {
    let file = |plaintext: &[u8]| {
        let json = json(PARAMS, "scrypt", "nacl/secretbox", &SALT, &NONCE, &sealed(plaintext));
        PrivateKey::from_pem(pem::encode(COSIGN, json.as_bytes()).as_bytes(), Some(b"test"))
    };
    // Go's ed25519.PrivateKey: the seed, then the public key.
    let pkcs8 = contents("ed25519.pkcs8.pem");
    let public = PublicKey::from_pem(&vector("import/ed25519.pub")).unwrap();
    let raw = [&pkcs8[16..48], &public.to_der()[12..]].concat();
    let key = file(&raw).unwrap();
    assert_eq!(key.public_key(), public);
    public.verify(MESSAGE, &key.sign(MESSAGE).unwrap()).unwrap();
    // What is written today is PKCS#8 again.
    let again = key.to_pem(b"test", KeyFormat::Cosign).unwrap();
    assert_eq!(PrivateKey::from_pem(again.as_bytes(), Some(b"test")).unwrap().public_key(), public);
    // Halves that do not belong together, and other lengths, are no key.
    let mut other = raw.clone();
    other[63] ^= 1;
    for bad in [&other[..], &raw[..32], &raw[..63], &[&raw[..], &[0]].concat()] {
        assert_eq!(code(file(bad)), Code::KeyFormat, "{} bytes", bad.len());
    }
}

#[test]
fn public_keys_are_refused_by_name() {
    for name in ["p224.pub", "secp256k1.pub", "rsa1024.pub", "rsa1024.pkcs1.pub"] {
        assert_eq!(code(PublicKey::from_pem(&vector(&format!("import/{name}")))), Code::KeyAlgorithm, "{name}");
    }
    for name in ["certificate.pem", "p256.pkcs8.pem"] {
        assert!(message(PublicKey::from_pem(&vector(&format!("import/{name}")))).contains("PEM type"), "{name}");
    }
    let good = String::from_utf8(vector("import/p256.pub")).unwrap();
    let headers = good.replacen("-----\n", "-----\nA: b\n\n", 1);
    assert_eq!(code(PublicKey::from_pem(headers.as_bytes())), Code::KeyFormat);
    assert!(PublicKey::from_pem(format!("text\r\n{}", good.replace('\n', "\r\n")).as_bytes()).is_ok());
}

#[test]
fn refuses_ed25519_keys_of_small_order_or_without_one_encoding() {
    let spki = |key: &[u8]| der(0x30, &[&der(0x30, &[&[6, 3, 0x2b, 0x65, 0x70]]), &der(3, &[&[0], key])]);
    let mut keys = vec![vec![0; 32]];
    for (first, middle, last) in [
        (1, 0, 0),          // identity
        (1, 0, 0x80),       // identity with the sign set
        (0xec, 0xff, 0x7f), // order 2
        (0xed, 0xff, 0x7f), // p, that is 0
        (0xee, 0xff, 0x7f), // p + 1, that is the identity
        (0xff, 0xff, 0x7f),
        (0xff, 0xff, 0xff),
    ] {
        let mut key = vec![middle; 32];
        (key[0], key[31]) = (first, last);
        keys.push(key);
    }
    keys.push(unhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")); // order 8
    keys.push(unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")); // order 8
    for key in keys {
        assert_eq!(code(PublicKey::from_der(&spki(&key))), Code::KeyFormat, "{key:02x?}");
        assert_eq!(code(PublicKey::from_inline(&base64::encode(&key))), Code::KeyFormat, "{key:02x?}");
    }
}

// ---- signatures (security.md 2.2) ----

const BACKENDS: &[Backend] =
    if cfg!(feature = "backend-aws-lc") { &[Backend::AwsLc, Backend::RustCrypto] } else { &[Backend::RustCrypto] };

fn accepted(key: &PublicKey, signature: &[u8]) -> bool {
    let active = key.verify(MESSAGE, signature);
    for &backend in BACKENDS {
        assert_eq!(key.verify_with(backend, MESSAGE, signature).is_ok(), active.is_ok(), "{}", backend.name());
    }
    active.is_ok()
}

fn integer(magnitude: &[u8]) -> Vec<u8> {
    let start = magnitude.iter().position(|byte| *byte != 0).unwrap_or(magnitude.len());
    let magnitude = &magnitude[start..];
    match magnitude.first() {
        Some(first) if *first < 0x80 => der(2, &[magnitude]),
        _ => der(2, &[&[0], magnitude]),
    }
}

/// r and s at full width.
fn scalars(signature: &[u8]) -> ([u8; 32], [u8; 32]) {
    let mut rest = &signature[2..];
    let mut take = || {
        let (value, after) = rest[2..].split_at(usize::from(rest[1]));
        rest = after;
        let value = if value.len() == 33 { &value[1..] } else { value };
        let mut padded = [0; 32];
        padded[32 - value.len()..].copy_from_slice(value);
        padded
    };
    (take(), take())
}

fn add_or_subtract(order: &[u8], value: &[u8], add: bool) -> Vec<u8> {
    let mut out = vec![0; 33];
    let mut carry = 0i32;
    for i in (0..32).rev() {
        let sum = i32::from(order[i]) + if add { i32::from(value[i]) } else { -i32::from(value[i]) } + carry;
        out[i + 1] = sum.rem_euclid(256) as u8;
        carry = sum.div_euclid(256);
    }
    out[0] = carry as u8;
    out
}

// 25
#[test]
fn high_s_is_valid() {
    let key = KEY.public_key();
    let (r, s) = scalars(&KEY.sign(MESSAGE).unwrap());
    let mirrored = add_or_subtract(&unhex(P256_ORDER), &s, false);
    assert!(accepted(&key, &der(0x30, &[&integer(&r), &integer(&s)])));
    assert!(accepted(&key, &der(0x30, &[&integer(&r), &integer(&mirrored)])));
}

// 26 to 40
#[test]
fn ecdsa_signatures_are_strict_der_in_range() {
    let key = KEY.public_key();
    let (r, s) = scalars(&KEY.sign(MESSAGE).unwrap());
    let order = unhex(P256_ORDER);
    let (ri, si) = (integer(&r), integer(&s));
    let sequence = |r: &[u8], s: &[u8]| der(0x30, &[r, s]);
    let good = sequence(&ri, &si);
    assert!(accepted(&key, &good));

    let zero = integer(&[]);
    let padded = |value: &[u8]| der(2, &[&[0], &integer(value)[2..]]);
    let negative = der(2, &[&[0x80 | r[0]], &r[1..]]);
    let body = [&ri[..], &si].concat();
    let mut cases = vec![
        ("26 r = 0", sequence(&zero, &si)),
        ("27 s = 0", sequence(&ri, &zero)),
        ("28 r = s = 0", sequence(&zero, &zero)),
        ("29 r = n", sequence(&integer(&order), &si)),
        ("29 s = n", sequence(&ri, &integer(&order))),
        ("30 r = n + r'", sequence(&integer(&add_or_subtract(&order, &r, true)), &si)),
        ("31 negative", sequence(&negative, &si)),
        ("32 integer of 10 KB", sequence(&integer(&[0x7f; 10_240]), &si)),
        ("33 non-minimal r", sequence(&padded(&r), &si)),
        ("33 non-minimal s", sequence(&ri, &padded(&s))),
        ("34 long form", [&[0x30, 0x81, body.len() as u8], &body[..]].concat()),
        ("34 longer form", [&[0x30, 0x82, 0, body.len() as u8], &body[..]].concat()),
        ("34 long form inside", sequence(&[&[2, 0x81, ri[1]], &ri[2..]].concat(), &si)),
        ("35 indefinite", [&[0x30, 0x80], &body[..], &[0, 0]].concat()),
        ("36 byte inside", der(0x30, &[&ri, &si, &[0]])),
        ("36 element inside", der(0x30, &[&ri, &si, &[5, 0]])),
        ("36 third integer", der(0x30, &[&ri, &si, &[2, 1, 1]])),
        ("37 byte after", [&good[..], &[0]].concat()),
        ("38 P1363", [r, s].concat()),
        ("39 empty", vec![]),
        ("39 empty sequence", vec![0x30, 0]),
        ("40 set", der(0x31, &[&ri, &si])),
        ("40 primitive sequence", der(0x10, &[&ri, &si])),
        ("40 NULL", sequence(&[5, 0], &si)),
        ("40 REAL", sequence(&ri, &[9, 0])),
        ("40 OID", sequence(&[6, 1, 0x2a], &si)),
        ("40 OCTET STRING", sequence(&der(4, &[&r]), &si)),
        ("empty integer", sequence(&[2, 0], &si)),
        ("one integer", der(0x30, &[&ri])),
    ];
    for length in 0..good.len() {
        cases.push(("cut off", good[..length].to_vec()));
    }
    for (name, signature) in cases {
        assert!(!accepted(&key, &signature), "{name}");
        assert_eq!(code(key.verify(MESSAGE, &signature)), Code::SignatureInvalid, "{name}");
    }
}

// 41: Wycheproof's SpecialCaseHash vectors, tests/tests/wycheproof.rs; 42: all of them, there.

// ---- every kind, hashes by design D25 ----

// RSA is among its keys: both backends by name, in the build that has both.
#[cfg(feature = "backend-aws-lc")]
#[test]
fn verifies_what_go_signed_with_every_kind_and_hash() {
    for (key, signature) in [
        ("p256", "p256.sha256"),
        ("p384", "p384.sha384"),
        ("p384", "p384.sha256"),
        ("p521", "p521.sha512"),
        ("p521", "p521.sha256"),
        ("ed25519", "ed25519.plain"),
        ("ed25519", "ed25519.ph"),
    ] {
        let key = PublicKey::from_pem(&vector(&format!("import/{key}.pub"))).unwrap();
        let signature = vector(&format!("import/{signature}.sig"));
        assert!(accepted(&key, &signature), "{key:?}");
        let mut changed = signature.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(!accepted(&key, &changed));
        for &backend in BACKENDS {
            assert!(key.verify_with(backend, b"another message", &signature).is_err());
        }
    }
    for name in ["rsa2048", "rsa3072", "rsa4096"] {
        let key = PublicKey::from_pem(&vector(&format!("import/{name}.pub"))).unwrap();
        let mut signature = vector(&format!("import/{name}.sha256.sig"));
        key.verify(MESSAGE, &signature).unwrap();
        assert_eq!(code(key.verify(b"another message", &signature)), Code::SignatureInvalid);
        signature[9] ^= 1;
        assert_eq!(code(key.verify(MESSAGE, &signature)), Code::SignatureInvalid);
        assert_eq!(code(key.verify(MESSAGE, &[])), Code::SignatureInvalid);
    }
}

#[test]
fn signatures_of_each_backend_verify_on_the_other() {
    for name in ["p256", "p384", "p521", "ed25519"] {
        let key = imported(&format!("{name}.pkcs8.pem")).unwrap();
        for &backend in BACKENDS {
            let signature = key.with_backend(backend).unwrap().sign(MESSAGE).unwrap();
            assert!(accepted(&key.public_key(), &signature), "{name} {}", backend.name());
        }
    }
}

#[test]
fn p384_and_p521_sign_with_sha256_on_request_only() {
    for name in ["p384", "p521"] {
        let key = imported(&format!("{name}.pkcs8.pem")).unwrap();
        let signature = key.sign_with_hash(MESSAGE, Hash::Sha256).unwrap();
        assert!(accepted(&key.public_key(), &signature));
        let own = key.sign_with_hash(MESSAGE, key.algorithm().hash().unwrap()).unwrap();
        assert!(accepted(&key.public_key(), &own));
    }
    assert_eq!(code(KEY.sign_with_hash(MESSAGE, Hash::Sha512)), Code::Unsupported);
    let ed25519 = imported("ed25519.pkcs8.pem").unwrap();
    assert_eq!(code(ed25519.sign_with_hash(MESSAGE, Hash::Sha512)), Code::Unsupported);
}

// RSA is among its keys: both backends by name, in the build that has both.
#[cfg(feature = "backend-aws-lc")]
#[test]
fn generated_keys_sign_and_come_back_from_their_file() {
    for algorithm in KeyAlgorithm::ALL.iter().copied().filter(|kind| *kind != KeyAlgorithm::Rsa4096) {
        let key = PrivateKey::generate(algorithm).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let file = key.to_pem(b"pw", KeyFormat::Cosign).unwrap();
        let again = PrivateKey::from_pem(file.as_bytes(), Some(b"pw")).unwrap();
        again.public_key().verify(MESSAGE, &key.sign(MESSAGE).unwrap()).unwrap();
        key.public_key().verify(MESSAGE, &again.sign(MESSAGE).unwrap()).unwrap();
    }
}

// RSA is among its keys: both backends by name, in the build that has both.
#[cfg(feature = "backend-aws-lc")]
#[test]
fn the_pure_backend_answers_unsupported_for_every_rsa_key() {
    for name in ["rsa2048", "rsa3072", "rsa4096"] {
        let key = imported(&format!("{name}.pkcs8.pem")).unwrap();
        assert_eq!(code(key.with_backend(Backend::RustCrypto)), Code::Unsupported);
        let signature = key.sign(MESSAGE).unwrap();
        let verified = key.public_key().verify_with(Backend::RustCrypto, MESSAGE, &signature);
        assert_eq!(code(verified), Code::Unsupported);
    }
}

#[test]
fn refuses_ed25519_nonces_of_small_order() {
    let key = PublicKey::from_pem(&vector("import/ed25519.pub")).unwrap();
    let good = vector("import/ed25519.plain.sig");
    for nonce in [[0u8; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let signature = [&nonce[..], &good[32..]].concat();
        assert!(!accepted(&key, &signature));
    }
    for length in [0, 63, 65] {
        let signature: Vec<u8> = good.iter().copied().chain([0; 1]).take(length).collect();
        assert!(!accepted(&key, &signature), "{length}");
    }
}
