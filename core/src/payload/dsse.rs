//! DSSE: an envelope of a payload, its type, and signatures over both (secure-systems-lab/dsse, `envelope.md` and
//! `protocol.md` 1.0).
//!
//! What is signed is the pre-authentication encoding (PAE), in which every part has its length, so that no byte can move
//! between type and payload. The payload's bytes are kept as they came out of the base64: nothing is parsed before a
//! signature over them was verified, and nothing is written again. A `keyid` is a hint that anybody may have written;
//! it is kept for people and never chooses or excludes a key.

use serde_json::{Map, Value};

use crate::crypto::Hash;
use crate::encoding::strict_json::{self, Limits};
use crate::encoding::{base64, proto_json};
use crate::error::{Code, Error, Result};
use crate::key::{PrivateKey, PublicKey};

/// The payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An envelope carries at most this many signatures.
pub const MAX_SIGNATURES: usize = 32;

/// The longest signature, RSA-4096, has 512 bytes.
const MAX_SIGNATURE_BYTES: usize = 4096;
const MAX_TYPE_BYTES: usize = 1024;

/// A parsed envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload is; signed together with it.
    pub payload_type: String,
    /// The payload, exact bytes.
    pub payload: Vec<u8>,
    /// At least one signature, at most [`MAX_SIGNATURES`].
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeSignature {
    /// The raw signature.
    pub signature: Vec<u8>,
    /// A hint at the key, empty when there is none; unsigned, so it proves nothing.
    pub key_id: String,
}

/// What is signed: `DSSEv1 <length> <type> <length> <payload>`, lengths in bytes, decimal.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::SignatureInvalid, format!("the DSSE envelope is not acceptable: {}", what.into()))
}

impl Envelope {
    /// Signs `payload` as a payload of type `payload_type`, with the hash of the key's kind or with `hash`
    /// ([`PrivateKey::sign_with_hash`]).
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &PrivateKey, hash: Option<Hash>) -> Result<Envelope> {
        let message = pae(payload_type, &payload);
        let signature = match hash {
            Some(hash) => key.sign_with_hash(&message, hash)?,
            None => key.sign(&message)?,
        };
        let signatures = vec![EnvelopeSignature { signature, key_id: String::new() }];
        Ok(Envelope { payload_type: payload_type.to_owned(), payload, signatures })
    }

    /// Parses an envelope that stands alone, of at most `max_bytes`: a layer of an `.att` image, or what
    /// `cosign attest-blob` prints.
    ///
    /// # Errors
    /// [`Code::TooLarge`]; [`Code::SignatureInvalid`] for anything that is not exactly an envelope: unknown members,
    /// members twice, no signature, more than [`MAX_SIGNATURES`], text that is not base64.
    pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Envelope> {
        let limits = Limits { max_bytes, max_depth: 4, max_members: 8 + 4 * MAX_SIGNATURES };
        let value = strict_json::parse(bytes, limits).map_err(|e| match e.code() {
            Code::TooLarge => e.context("the DSSE envelope"),
            _ => bad(e.message()),
        })?;
        Envelope::from_value(&value)
    }

    /// Reads an envelope out of a document that was parsed strictly.
    pub(crate) fn from_value(value: &Value) -> Result<Envelope> {
        let object = proto_json::object(value, &["payload", "payloadType", "signatures"]).map_err(bad)?;
        let payload_type = proto_json::text(object, "payloadType").map_err(bad)?.unwrap_or_default();
        if payload_type.is_empty() || payload_type.len() > MAX_TYPE_BYTES {
            return Err(bad("its payloadType is missing or too long"));
        }
        let payload = proto_json::bytes(object, "payload").map_err(bad)?.ok_or_else(|| bad("it has no payload"))?;
        let list = proto_json::list(object, "signatures").map_err(bad)?;
        if list.is_empty() {
            return Err(bad("it has no signature"));
        }
        if list.len() > MAX_SIGNATURES {
            return Err(bad(format!("it has {} signatures, the limit is {MAX_SIGNATURES}", list.len())));
        }
        let signatures = list.iter().map(EnvelopeSignature::from_value).collect::<Result<Vec<_>>>()?;
        Ok(Envelope { payload_type: payload_type.to_owned(), payload, signatures })
    }

    /// The envelope as cosign writes it: `{"payload","payloadType","signatures":[{"sig"}]}`.
    pub fn to_json(&self) -> String {
        self.to_value().to_string()
    }

    pub(crate) fn to_value(&self) -> Value {
        let signatures = self.signatures.iter().map(|signature| {
            let mut object = Map::new();
            object.insert("sig".into(), base64::encode(&signature.signature).into());
            if !signature.key_id.is_empty() {
                object.insert("keyid".into(), signature.key_id.clone().into());
            }
            Value::Object(object)
        });
        let mut object = Map::new();
        object.insert("payload".into(), base64::encode(&self.payload).into());
        object.insert("payloadType".into(), self.payload_type.clone().into());
        object.insert("signatures".into(), signatures.collect());
        Value::Object(object)
    }

    /// The first of `keys` that made one of the signatures over exactly this type and payload.
    pub fn signer<'a>(&self, keys: &'a [PublicKey]) -> Option<&'a PublicKey> {
        let message = pae(&self.payload_type, &self.payload);
        let made_one = |key: &&PublicKey| self.signatures.iter().any(|s| key.verify(&message, &s.signature).is_ok());
        keys.iter().find(made_one)
    }
}

impl EnvelopeSignature {
    fn from_value(value: &Value) -> Result<EnvelopeSignature> {
        let object = proto_json::object(value, &["sig", "keyid"]).map_err(bad)?;
        let signature = proto_json::bytes(object, "sig").map_err(bad)?.unwrap_or_default();
        if signature.is_empty() || signature.len() > MAX_SIGNATURE_BYTES {
            return Err(bad("a signature is empty or longer than any signature"));
        }
        let key_id = proto_json::text(object, "keyid").map_err(bad)?.unwrap_or_default().to_owned();
        Ok(EnvelopeSignature { signature, key_id })
    }
}
