//! Signatures of blobs, beside the blob: the sigstore bundle with a message signature that `cosign sign-blob --bundle`
//! writes, and the JSON that it wrote before (`base64Signature`).
//!
//! Nothing here reads the blob or judges anything: [`crate::verify::BlobJudge`] does.

use serde_json::{Map, Value, json};

use super::sigstore::{self, Bundle, Content, KeyMaterial, LogEntry};
use super::{certificate, rekor};
use crate::crypto::Hash;
use crate::encoding::strict_json::{self, Limits};
use crate::encoding::{base64, proto_json};
use crate::error::{Code, Error, Result};
use crate::key::PublicKey;

/// A signature of a blob, in either form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobBundle {
    /// A sigstore bundle with a message signature.
    Sigstore(Bundle),
    /// The JSON before bundles.
    Old(OldBundle),
}

/// `{"base64Signature", "cert", "rekorBundle"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldBundle {
    /// The raw signature.
    pub signature: Vec<u8>,
    /// PEM of a certificate or of a public key, if there is one; it never replaces the verifier's key.
    pub certificate: Option<String>,
    /// The log's entry with its signed timestamp, as read; not judged.
    pub log: Option<Map<String, Value>>,
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::SignatureInvalid, format!("the blob bundle is not acceptable: {}", what.into()))
}

impl BlobBundle {
    /// Parses either form, of at most 4 MiB; which one, the member `mediaType` tells.
    ///
    /// # Errors
    /// [`Code::TooLarge`]; [`Code::SignatureInvalid`] for anything else, also for a bundle that holds an attestation.
    pub fn parse(bytes: &[u8]) -> Result<BlobBundle> {
        let limits = Limits { max_bytes: sigstore::MAX_BYTES, max_depth: 16, max_members: 10_000 };
        let value = strict_json::parse(bytes, limits).map_err(|e| match e.code() {
            Code::TooLarge => e.context("the blob bundle"),
            _ => bad(e.message()),
        })?;
        if value.get("mediaType").is_none() {
            return OldBundle::from_value(&value).map(BlobBundle::Old);
        }
        let bundle = Bundle::parse(bytes, sigstore::MAX_BYTES)?;
        if matches!(bundle.content, Content::Envelope(_)) {
            return Err(bad("it holds an attestation (a DSSE envelope), which is no signature of a blob"));
        }
        Ok(BlobBundle::Sigstore(bundle))
    }

    /// The raw signature.
    pub fn signature(&self) -> &[u8] {
        match self {
            BlobBundle::Old(old) => &old.signature,
            BlobBundle::Sigstore(Bundle { content: Content::Message(message), .. }) => &message.signature,
            BlobBundle::Sigstore(_) => &[],
        }
    }

    /// The hash that the bundle claims the blob to have.
    pub fn digest(&self) -> Option<(Hash, &[u8])> {
        match self {
            BlobBundle::Sigstore(Bundle { content: Content::Message(message), .. }) => {
                message.digest.as_ref().map(|(hash, digest)| (*hash, digest.as_slice()))
            }
            _ => None,
        }
    }

    /// The given keys that may have signed. A certificate in a sigstore bundle makes it nobody's here; a key or certificate
    /// inside an old bundle narrows the keys and never adds one: real cosign verifies with a key that it finds there. The
    /// `hint` is unsigned and says nothing.
    pub fn candidates(&self, keys: &[PublicKey]) -> Result<Vec<PublicKey>> {
        let pem = match self {
            BlobBundle::Sigstore(bundle) => match bundle.key {
                KeyMaterial::PublicKey { .. } => return Ok(keys.to_vec()),
                _ => return Err(bad("it was signed with a certificate, not with a key")),
            },
            BlobBundle::Old(OldBundle { certificate: None, .. }) => return Ok(keys.to_vec()),
            BlobBundle::Old(OldBundle { certificate: Some(pem), .. }) => pem,
        };
        let spki = if pem.contains("BEGIN CERTIFICATE") {
            certificate::public_key_der(pem)?
        } else {
            PublicKey::from_pem(pem.as_bytes())?.to_der().to_vec()
        };
        match keys.iter().find(|key| key.to_der() == spki) {
            Some(key) => Ok(vec![key.clone()]),
            None => Err(Error::new(Code::SignatureInvalid, "the blob bundle holds a key that is not an accepted one")),
        }
    }

    /// The entries of transparency logs, not judged.
    ///
    /// # Errors
    /// [`Code::SignatureInvalid`] when the one of an old bundle is malformed.
    pub fn log_entries(&self) -> Result<Vec<LogEntry>> {
        match self {
            BlobBundle::Sigstore(bundle) => Ok(bundle.log_entries.clone()),
            BlobBundle::Old(old) => {
                let entry = |log: &Map<String, Value>| rekor::promised_entry(&Value::Object(log.clone()));
                old.log.as_ref().map(entry).into_iter().collect()
            }
        }
    }

    /// Whether there are timestamps, which are not judged.
    pub fn has_timestamps(&self) -> bool {
        matches!(self, BlobBundle::Sigstore(bundle) if !bundle.timestamps.is_empty())
    }
}

impl OldBundle {
    /// As cosign writes it with a key: the certificate is the public key's PEM.
    pub fn new(signature: Vec<u8>, key: &PublicKey) -> OldBundle {
        OldBundle { signature, certificate: Some(key.to_pem()), log: None }
    }

    fn from_value(value: &Value) -> Result<OldBundle> {
        let object = proto_json::object(value, &["base64Signature", "cert", "rekorBundle"]).map_err(bad)?;
        let text = proto_json::text(object, "base64Signature").map_err(bad)?;
        let text = text.ok_or_else(|| bad("it has neither mediaType nor base64Signature"))?;
        let signature = base64::decode(text).map_err(|_| bad("its signature is not base64"))?;
        if signature.is_empty() || signature.len() > sigstore::MAX_SIGNATURE_BYTES {
            return Err(bad("its signature is empty or longer than any signature"));
        }
        let certificate = match proto_json::text(object, "cert").map_err(bad)?.filter(|text| !text.is_empty()) {
            None => None,
            Some(pem) if pem.contains("-----BEGIN") => Some(pem.to_owned()),
            Some(text) => {
                let pem = base64::decode(text).ok().and_then(|pem| String::from_utf8(pem).ok());
                Some(pem.ok_or_else(|| bad("its cert is neither PEM nor base64 of PEM"))?)
            }
        };
        let log = match proto_json::member(object, "rekorBundle") {
            None => None,
            Some(Value::Object(log)) => Some(log.clone()),
            Some(_) => return Err(bad("its rekorBundle is no object")),
        };
        Ok(OldBundle { signature, certificate, log })
    }

    /// As cosign writes it: members in its order, no newline.
    pub fn to_json(&self) -> String {
        let mut bundle = json!({"base64Signature": base64::encode(&self.signature)});
        if let (Some(pem), Some(object)) = (&self.certificate, bundle.as_object_mut()) {
            object.insert("cert".into(), base64::encode(pem.as_bytes()).into());
        }
        if let (Some(log), Some(object)) = (&self.log, bundle.as_object_mut()) {
            object.insert("rekorBundle".into(), Value::Object(log.clone()));
        }
        bundle.to_string()
    }
}
