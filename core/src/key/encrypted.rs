//! The encrypted key file: everything about it is here.
//!
//! One PEM block whose data is compact JSON,
//! `{"kdf":{"name":"scrypt","params":{"N":65536,"r":8,"p":1},"salt":…},"cipher":{"name":"nacl/secretbox","nonce":…},"ciphertext":…}`,
//! bytes in padded base64. The key of the box is scrypt of the password, taken as bytes exactly as given: an empty
//! password is a password. The plaintext is PKCS#8.
//!
//! Read strictly: member names in exactly this case, none twice, none unknown, nothing after the document. Go's parser
//! merges duplicates and ignores case, so a file that relies on either is none that cosign wrote. The three costs that
//! cosign accepts are compared before any memory is taken: N = 2^40 in a file from a stranger is not a way to stop a
//! program. A wrong password and a changed bit cannot be told apart, and get the same error.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::decode_pem;
use crate::crypto::{kdf, rng, secretbox};
use crate::encoding::{base64, pem, strict_json};
use crate::error::{Code, Error, Result};

const LABEL_SIGSTORE: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
const LABEL_COSIGN: &str = "ENCRYPTED COSIGN PRIVATE KEY";
const SALT_LEN: usize = 32;
// The JSON of an RSA-4096 key has 3.4 KiB.
const LIMITS: strict_json::Limits = strict_json::Limits { max_bytes: 64 * 1024, max_depth: 4, max_members: 16 };

/// Which key file to write. Both are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyFormat {
    /// What cosign writes since 2.0.1: label `ENCRYPTED SIGSTORE PRIVATE KEY`, N = 65536.
    #[default]
    Sigstore,
    /// The form of 2021, for older readers: label `ENCRYPTED COSIGN PRIVATE KEY`, N = 32768.
    Cosign,
}

impl KeyFormat {
    /// `sigstore` or `cosign`; any other text is [`Code::Argument`].
    pub fn parse(name: &str) -> Result<KeyFormat> {
        match name {
            "sigstore" => Ok(KeyFormat::Sigstore),
            "cosign" => Ok(KeyFormat::Cosign),
            _ => {
                let shown: String = name.chars().take(40).collect();
                Err(Error::new(Code::Argument, format!("{shown:?} is not a key format: expected sigstore or cosign")))
            }
        }
    }

    /// The name that [`KeyFormat::parse`] takes.
    pub const fn name(self) -> &'static str {
        match self {
            KeyFormat::Sigstore => "sigstore",
            KeyFormat::Cosign => "cosign",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            KeyFormat::Sigstore => LABEL_SIGSTORE,
            KeyFormat::Cosign => LABEL_COSIGN,
        }
    }

    const fn cost(self) -> u32 {
        match self {
            KeyFormat::Sigstore => 65536,
            KeyFormat::Cosign => 32768,
        }
    }
}

/// Whether a PEM label is that of an encrypted key file.
pub(super) fn is_label(label: &str) -> bool {
    label == LABEL_SIGSTORE || label == LABEL_COSIGN
}

/// A key file, parsed and not yet opened.
pub(super) struct EncryptedKey {
    cost: u32,
    salt: Vec<u8>,
    nonce: [u8; secretbox::NONCE_LEN],
    ciphertext: Vec<u8>,
}

impl EncryptedKey {
    /// Reads a key file; refuses any other PEM, with what to do about it.
    pub(super) fn from_pem(input: &[u8]) -> Result<EncryptedKey> {
        let block = decode_pem(input)?;
        match block.label.as_str() {
            LABEL_SIGSTORE | LABEL_COSIGN => {}
            label @ ("PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY") => {
                return Err(Error::new(
                    Code::KeyFormat,
                    format!(
                        "unsupported pem type: {label}: this private key is not encrypted; \
                         import it first (cosign import-key-pair)"
                    ),
                ));
            }
            label @ ("PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE") => {
                return Err(Error::new(
                    Code::KeyFormat,
                    format!("unsupported pem type: {label}: expected a private key ({LABEL_SIGSTORE})"),
                ));
            }
            label => {
                let shown: String = label.chars().take(60).collect();
                return Err(Error::new(
                    Code::KeyFormat,
                    format!("unsupported pem type: {shown:?}: expected {LABEL_SIGSTORE} or {LABEL_COSIGN}"),
                ));
            }
        }
        if !block.headers.is_empty() {
            return Err(Error::new(Code::KeyFormat, "the key file has PEM headers, which no cosign key file has"));
        }
        EncryptedKey::from_json(&block.der)
    }

    fn from_json(json: &[u8]) -> Result<EncryptedKey> {
        let document = strict_json::parse(json, LIMITS).map_err(|error| {
            Error::new(Code::KeyFormat, format!("the key file is damaged, restore it: {}", error.message()))
        })?;
        let [kdf, cipher, ciphertext] = members(&document, "", ["kdf", "cipher", "ciphertext"])?;
        let [kdf_name, params, salt] = members(kdf, "kdf", ["name", "params", "salt"])?;
        let [cipher_name, nonce] = members(cipher, "cipher", ["name", "nonce"])?;
        let [n, r, p] = members(params, "kdf.params", ["N", "r", "p"])?;

        if kdf_name.as_str() != Some("scrypt") {
            return Err(Error::new(Code::KeyFormat, "unknown KDF in the key file: expected scrypt"));
        }
        if cipher_name.as_str() != Some("nacl/secretbox") {
            return Err(Error::new(Code::KeyFormat, "unknown cipher in the key file: expected nacl/secretbox"));
        }
        let cost = match (n.as_u64(), r.as_u64(), p.as_u64()) {
            (Some(32768), Some(8), Some(1)) => 32768,
            (Some(65536), Some(8), Some(1)) => 65536,
            (Some(131_072), Some(8), Some(1)) => 131_072,
            found => {
                let number = |n: Option<u64>| n.map_or_else(|| "no whole number".to_owned(), |n| n.to_string());
                return Err(Error::new(
                    Code::KeyFormat,
                    format!(
                        "unsupported scrypt parameters in the key file: found N = {}, r = {}, p = {}, expected N of \
                         32768, 65536 or 131072, r = 8, p = 1: use a key file that cosign wrote",
                        number(found.0),
                        number(found.1),
                        number(found.2)
                    ),
                ));
            }
        };
        let nonce = bytes(nonce, "cipher.nonce")?;
        let nonce = nonce.try_into().map_err(|nonce: Vec<u8>| {
            Error::new(Code::KeyFormat, format!("the key file's nonce has {} bytes instead of 24", nonce.len()))
        })?;
        let ciphertext = bytes(ciphertext, "ciphertext")?;
        if ciphertext.len() < secretbox::TAG_LEN {
            return Err(Error::new(Code::KeyFormat, "the key file is damaged, restore it: its ciphertext is cut off"));
        }
        Ok(EncryptedKey { cost, salt: bytes(salt, "kdf.salt")?, nonce, ciphertext })
    }

    /// The plaintext; [`Code::PasswordWrong`] for a wrong password and for changed bytes alike.
    pub(super) fn open(&self, password: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let key = kdf::scrypt(password, &self.salt, self.cost)?;
        secretbox::open(&key, &self.nonce, &self.ciphertext).ok_or_else(|| {
            Error::new(
                Code::PasswordWrong,
                "decrypt: encrypted: decryption failed: the password is wrong or the key file was changed; give the \
                 password that the file was made with",
            )
        })
    }
}

/// Writes a key file around `plaintext`, with a new salt and nonce.
pub(super) fn seal(plaintext: &[u8], password: &[u8], format: KeyFormat) -> Result<Zeroizing<String>> {
    let mut salt = [0; SALT_LEN];
    let mut nonce = [0; secretbox::NONCE_LEN];
    rng::fill(&mut salt)?;
    rng::fill(&mut nonce)?;
    let key = kdf::scrypt(password, &salt, format.cost())?;
    let ciphertext = secretbox::seal(&key, &nonce, plaintext)?;
    let json = format!(
        r#"{{"kdf":{{"name":"scrypt","params":{{"N":{},"r":8,"p":1}},"salt":"{}"}},"cipher":{{"name":"nacl/secretbox","nonce":"{}"}},"ciphertext":"{}"}}"#,
        format.cost(),
        base64::encode(&salt),
        base64::encode(&nonce),
        base64::encode(&ciphertext),
    );
    Ok(pem::encode(format.label(), json.as_bytes()))
}

/// Exactly these members of an object.
fn members<'a, const N: usize>(value: &'a Value, path: &str, names: [&str; N]) -> Result<[&'a Value; N]> {
    let wrong = || {
        let place = if path.is_empty() { "the key file" } else { path };
        Error::new(
            Code::KeyFormat,
            format!("the key file is damaged, restore it: {place} must have exactly {}", names.join(", ")),
        )
    };
    let object: &Map<String, Value> = value.as_object().ok_or_else(wrong)?;
    let found: Option<Vec<&Value>> = names.iter().map(|name| object.get(*name)).collect();
    match found.and_then(|found| <[&Value; N]>::try_from(found).ok()) {
        Some(found) if object.len() == N => Ok(found),
        _ => Err(wrong()),
    }
}

fn bytes(value: &Value, path: &str) -> Result<Vec<u8>> {
    let damaged = || Error::new(Code::KeyFormat, format!("the key file is damaged, restore it: {path} is not base64"));
    base64::decode(value.as_str().ok_or_else(damaged)?).map_err(|_| damaged())
}
