//! The sigstore bundle, versions 0.1 to 0.3: one JSON document with a signature and what is needed to verify it
//! (sigstore/protobuf-specs, `sigstore_bundle.proto`).
//!
//! Read by a parser of our own, since strictness is the point: every member is known, stands once and has the type it
//! must have, and what the signature covers is kept as the bytes that it covers. Written as cosign 3.1 writes it, member
//! by member.
//!
//! Certificates, log entries and timestamps are parsed for their shape and kept as raw evidence; judging them needs a
//! trusted root. The `hint` of a public key is unsigned: it never chooses or excludes a key.

use serde_json::{Map, Value, json};

use crate::crypto::Hash;
use crate::digest::Digest;
use crate::encoding::strict_json::{self, Limits};
use crate::encoding::{base64, proto_json};
use crate::error::{Code, Error, Result};
use crate::key::{PrivateKey, PublicKey};
use crate::payload::dsse::{self, Envelope};
use crate::payload::statement;

/// The media type that cosign 3 writes, on bundles and on what holds them.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A bundle that holds a signature is at most 4 MiB.
pub const MAX_BYTES: usize = 4 << 20;
/// A bundle that holds an attestation is at most 128 MiB.
pub const MAX_ATTESTATION_BYTES: usize = 128 << 20;
/// A bundle carries at most this many log entries, and this many timestamps (sigstore-go's limits).
pub const MAX_EVIDENCE: usize = 32;

const MEDIA_TYPE_BASE: &str = "application/vnd.dev.sigstore.bundle";
/// The longest signature, RSA-4096, has 512 bytes.
pub(crate) const MAX_SIGNATURE_BYTES: usize = 4096;

/// A parsed bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The version that its media type names: 1, 2 or 3 for 0.1, 0.2 and 0.3.
    pub minor_version: u8,
    /// What the signature claims to be verified with.
    pub key: KeyMaterial,
    /// Entries of transparency logs, not judged.
    pub log_entries: Vec<LogEntry>,
    /// RFC 3161 timestamps (`TimeStampResp`, DER), not judged.
    pub timestamps: Vec<Vec<u8>>,
    /// What is signed, and the signature.
    pub content: Content,
}

/// What a bundle says its signature is to be verified with. Nothing of it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// A key that the verifier has.
    PublicKey {
        /// base64 of SHA-256 over the SPKI when cosign wrote it.
        hint: String,
    },
    /// A certificate, DER.
    Certificate(Vec<u8>),
    /// A chain of certificates, DER, the leaf first; bundles before 0.3.
    CertificateChain(Vec<Vec<u8>>),
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A DSSE envelope with exactly one signature.
    Envelope(Envelope),
    /// Something outside the bundle.
    Message(MessageSignature),
}

/// A signature over bytes that are not in the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSignature {
    /// The hash of the bytes. cosign leaves it out with Ed25519 keys.
    pub digest: Option<(Hash, Vec<u8>)>,
    /// The raw signature.
    pub signature: Vec<u8>,
}

/// An entry of a transparency log, as the bundle has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its index in the whole log.
    pub index: u64,
    /// SHA-256 of the log's key.
    pub log_id: Vec<u8>,
    /// Its kind, such as `hashedrekord` or `dsse`.
    pub kind: String,
    /// The version of its kind.
    pub version: String,
    /// Seconds since 1970; 0 when the log gives no time.
    pub integrated_time: u64,
    /// The log's promise to include it (a signed entry timestamp).
    pub promise: Option<Vec<u8>>,
    /// The proof that it is included.
    pub proof: Option<InclusionProof>,
    /// The entry, exact bytes.
    pub body: Vec<u8>,
}

/// The proof that an entry is in a log (RFC 6962).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The index of the entry in its tree.
    pub index: u64,
    /// The root of the tree.
    pub root: Vec<u8>,
    /// How many entries the tree has.
    pub tree_size: u64,
    /// The siblings on the way to the root.
    pub hashes: Vec<Vec<u8>>,
    /// The log's signed statement about its tree.
    pub checkpoint: String,
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::SignatureInvalid, format!("the bundle is not acceptable: {}", what.into()))
}

/// What cosign writes as hint of `key`: base64 of SHA-256 over the SPKI.
pub fn hint(key: &PublicKey) -> String {
    base64::encode(&Hash::Sha256.digest(key.to_der()))
}

/// The minor version that a bundle's media type names: 1, 2 or 3. Spelled
/// `application/vnd.dev.sigstore.bundle+json;version=0.N`, or `application/vnd.dev.sigstore.bundle.v0.N+json` with or
/// without a patch number.
pub fn minor_version(media_type: &str) -> Result<u8> {
    let rest = media_type.strip_prefix(MEDIA_TYPE_BASE).unwrap_or_default();
    let version = match rest.strip_prefix("+json;version=") {
        Some(version) => Some(version),
        None => rest.strip_prefix(".v").and_then(|rest| rest.strip_suffix("+json")).map(without_patch),
    };
    match version {
        Some("0.1") => Ok(1),
        Some("0.2") => Ok(2),
        Some("0.3") => Ok(3),
        _ => {
            let shown: String = media_type.chars().take(80).collect();
            Err(bad(format!("its mediaType {shown:?} is none of versions 0.1 to 0.3")))
        }
    }
}

/// `0.3` of `0.3` and of `0.3.1`.
fn without_patch(version: &str) -> &str {
    let is_number = |text: &str| text == "0" || !text.starts_with('0') && text.parse::<u16>().is_ok();
    match version.rsplit_once('.') {
        Some((minor, patch)) if minor.contains('.') && !patch.starts_with('+') && is_number(patch) => minor,
        _ => version,
    }
}

impl Bundle {
    /// Signs the image `digest` as `cosign sign` does: a statement in an envelope, with the hash of the key's kind or
    /// with `hash` ([`PrivateKey::sign_with_hash`]).
    pub fn sign_image(
        digest: &Digest,
        annotations: &std::collections::BTreeMap<String, String>,
        key: &PrivateKey,
        hash: Option<Hash>,
    ) -> Result<Bundle> {
        let payload = statement::write_signature(digest, annotations);
        Ok(Bundle::of_envelope(Envelope::sign(dsse::IN_TOTO, payload, key, hash)?, &key.public_key()))
    }

    /// A bundle around an envelope that `key` signed.
    pub fn of_envelope(envelope: Envelope, key: &PublicKey) -> Bundle {
        Bundle::of(Content::Envelope(envelope), key)
    }

    /// A bundle around a signature by `key` over something outside it.
    pub fn of_message(message: MessageSignature, key: &PublicKey) -> Bundle {
        Bundle::of(Content::Message(message), key)
    }

    fn of(content: Content, key: &PublicKey) -> Bundle {
        let key = KeyMaterial::PublicKey { hint: hint(key) };
        Bundle { minor_version: 3, key, log_entries: Vec::new(), timestamps: Vec::new(), content }
    }

    /// Parses a bundle of at most `max_bytes` ([`MAX_BYTES`], or [`MAX_ATTESTATION_BYTES`]).
    ///
    /// # Errors
    /// [`Code::TooLarge`]; [`Code::SignatureInvalid`] for anything that is not exactly a bundle.
    pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Bundle> {
        // 32 entries with proofs of 64 hashes each come to 2,600 elements.
        let limits = Limits { max_bytes, max_depth: 16, max_members: 10_000 };
        let value = strict_json::parse(bytes, limits).map_err(|e| match e.code() {
            Code::TooLarge => e.context("the bundle"),
            _ => bad(e.message()),
        })?;
        let known = ["mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope"];
        let object = proto_json::object(&value, &known).map_err(bad)?;
        let media_type = proto_json::text(object, "mediaType").map_err(bad)?;
        let minor_version = minor_version(media_type.ok_or_else(|| bad("it has no mediaType"))?)?;

        let material = proto_json::member(object, "verificationMaterial");
        let material = material.ok_or_else(|| bad("it has no verificationMaterial"))?;
        let known = ["publicKey", "certificate", "x509CertificateChain", "tlogEntries", "timestampVerificationData"];
        let material = proto_json::object(material, &known).map_err(bad)?;
        let key = key_material(material, minor_version)?;
        let entries = proto_json::list(material, "tlogEntries").map_err(bad)?;
        let timestamps = timestamps(material)?;
        if entries.len() > MAX_EVIDENCE || timestamps.len() > MAX_EVIDENCE {
            return Err(bad(format!("it has more than {MAX_EVIDENCE} log entries or timestamps")));
        }
        let log_entries = entries.iter().map(|entry| LogEntry::parse(entry, minor_version)).collect::<Result<_>>()?;

        let content = match (proto_json::member(object, "messageSignature"), proto_json::member(object, "dsseEnvelope"))
        {
            (Some(message), None) => Content::Message(MessageSignature::parse(message)?),
            (None, Some(envelope)) => Content::Envelope(one_signature(Envelope::from_value(envelope)?)?),
            (None, None) => return Err(bad("it holds no signature")),
            (Some(_), Some(_)) => return Err(bad("it holds a message signature and an envelope")),
        };
        Ok(Bundle { minor_version, key, log_entries, timestamps, content })
    }

    /// The bundle as cosign 3.1 writes it: version 0.3, no white space, no newline at the end.
    pub fn to_json(&self) -> String {
        let mut material = Map::new();
        match &self.key {
            KeyMaterial::PublicKey { hint } => material.insert("publicKey".into(), json!({"hint": hint})),
            KeyMaterial::Certificate(der) => material.insert("certificate".into(), certificate_json(der)),
            KeyMaterial::CertificateChain(chain) => {
                let chain: Vec<Value> = chain.iter().map(|der| certificate_json(der)).collect();
                material.insert("x509CertificateChain".into(), json!({"certificates": chain}))
            }
        };
        if !self.log_entries.is_empty() {
            material.insert("tlogEntries".into(), self.log_entries.iter().map(LogEntry::to_value).collect());
        }
        if !self.timestamps.is_empty() {
            let timestamps: Vec<Value> =
                self.timestamps.iter().map(|der| json!({"signedTimestamp": base64::encode(der)})).collect();
            material.insert("timestampVerificationData".into(), json!({"rfc3161Timestamps": timestamps}));
        }
        let mut bundle = Map::new();
        let media_type = match self.minor_version {
            3 => MEDIA_TYPE.to_owned(),
            minor => format!("{MEDIA_TYPE_BASE}+json;version=0.{minor}"),
        };
        bundle.insert("mediaType".into(), media_type.into());
        bundle.insert("verificationMaterial".into(), Value::Object(material));
        match &self.content {
            Content::Envelope(envelope) => bundle.insert("dsseEnvelope".into(), envelope.to_value()),
            Content::Message(message) => bundle.insert("messageSignature".into(), message.to_value()),
        };
        Value::Object(bundle).to_string()
    }
}

fn certificate_json(der: &[u8]) -> Value {
    json!({"rawBytes": base64::encode(der)})
}

/// Two signatures in one bundle could be judged by two readers differently (sigstore-go takes exactly one).
fn one_signature(envelope: Envelope) -> Result<Envelope> {
    match envelope.signatures.len() {
        1 => Ok(envelope),
        count => Err(bad(format!("its envelope has {count} signatures, expected one"))),
    }
}

fn key_material(material: &Map<String, Value>, minor_version: u8) -> Result<KeyMaterial> {
    let certificate = |value: &Value| -> Result<Vec<u8>> {
        let object = proto_json::object(value, &["rawBytes"]).map_err(bad)?;
        let der = proto_json::bytes(object, "rawBytes").map_err(bad)?.unwrap_or_default();
        if der.is_empty() { Err(bad("a certificate is empty")) } else { Ok(der) }
    };
    let [key, leaf, chain] =
        ["publicKey", "certificate", "x509CertificateChain"].map(|name| proto_json::member(material, name));
    match (key, leaf, chain) {
        (Some(key), None, None) => {
            let key = proto_json::object(key, &["hint"]).map_err(bad)?;
            let hint = proto_json::text(key, "hint").map_err(bad)?.unwrap_or_default().to_owned();
            Ok(KeyMaterial::PublicKey { hint })
        }
        (None, Some(leaf), None) => certificate(leaf).map(KeyMaterial::Certificate),
        (None, None, Some(_)) if minor_version >= 3 => {
            Err(bad("version 0.3 takes one certificate, not x509CertificateChain"))
        }
        (None, None, Some(chain)) => {
            let chain = proto_json::object(chain, &["certificates"]).map_err(bad)?;
            let chain = proto_json::list(chain, "certificates").map_err(bad)?;
            if chain.is_empty() || chain.len() > MAX_EVIDENCE {
                return Err(bad(format!("its chain has {} certificates", chain.len())));
            }
            chain.iter().map(certificate).collect::<Result<_>>().map(KeyMaterial::CertificateChain)
        }
        (None, None, None) => Err(bad("it names neither a public key nor a certificate")),
        _ => Err(bad("it names more than one of public key, certificate and chain")),
    }
}

fn timestamps(material: &Map<String, Value>) -> Result<Vec<Vec<u8>>> {
    let Some(data) = proto_json::member(material, "timestampVerificationData") else { return Ok(Vec::new()) };
    let data = proto_json::object(data, &["rfc3161Timestamps"]).map_err(bad)?;
    let list = proto_json::list(data, "rfc3161Timestamps").map_err(bad)?.iter();
    let timestamp = |value| -> Result<Vec<u8>> {
        let object = proto_json::object(value, &["signedTimestamp"]).map_err(bad)?;
        let der = proto_json::bytes(object, "signedTimestamp").map_err(bad)?.unwrap_or_default();
        if der.is_empty() { Err(bad("a timestamp is empty")) } else { Ok(der) }
    };
    list.map(timestamp).collect()
}

/// How bundles name the hashes that are known here.
const HASHES: [(Hash, &str); 3] = [(Hash::Sha256, "SHA2_256"), (Hash::Sha384, "SHA2_384"), (Hash::Sha512, "SHA2_512")];

impl MessageSignature {
    fn parse(value: &Value) -> Result<MessageSignature> {
        let object = proto_json::object(value, &["messageDigest", "signature"]).map_err(bad)?;
        let signature = proto_json::bytes(object, "signature").map_err(bad)?.unwrap_or_default();
        if signature.is_empty() || signature.len() > MAX_SIGNATURE_BYTES {
            return Err(bad("its signature is empty or longer than any signature"));
        }
        let digest = match proto_json::member(object, "messageDigest") {
            None => None,
            Some(digest) => {
                let digest = proto_json::object(digest, &["algorithm", "digest"]).map_err(bad)?;
                let name = proto_json::text(digest, "algorithm").map_err(bad)?;
                match (name, proto_json::bytes(digest, "digest").map_err(bad)?) {
                    (None, None) => None,
                    (Some(name), Some(bytes)) => Some((hash(name, &bytes)?, bytes)),
                    _ => return Err(bad("its messageDigest is half there")),
                }
            }
        };
        Ok(MessageSignature { digest, signature })
    }

    fn to_value(&self) -> Value {
        let digest = self.digest.as_ref().and_then(|(hash, bytes)| {
            let name = HASHES.iter().find(|(known, _)| known == hash)?.1;
            Some(json!({"algorithm": name, "digest": base64::encode(bytes)}))
        });
        json!({"messageDigest": digest.unwrap_or_else(|| json!({})), "signature": base64::encode(&self.signature)})
    }
}

fn hash(name: &str, digest: &[u8]) -> Result<Hash> {
    let known = HASHES.iter().find(|(_, known)| *known == name);
    let (hash, _) = known.ok_or_else(|| {
        let shown: String = name.chars().take(40).collect();
        bad(format!("the message digest algorithm {shown:?} is not known"))
    })?;
    if digest.len() == hash.size() {
        Ok(*hash)
    } else {
        Err(bad("its message digest has not the length of its algorithm"))
    }
}

impl LogEntry {
    fn parse(value: &Value, minor_version: u8) -> Result<LogEntry> {
        let entry = |what: String| bad(format!("a log entry: {what}"));
        let known = [
            "logIndex",
            "logId",
            "kindVersion",
            "integratedTime",
            "inclusionPromise",
            "inclusionProof",
            "canonicalizedBody",
        ];
        let object = proto_json::object(value, &known).map_err(entry)?;
        let part = |name: &str, known: &[&str]| -> Result<Option<&Map<String, Value>>> {
            let part = proto_json::member(object, name);
            part.map(|part| proto_json::object(part, known).map_err(entry)).transpose()
        };
        let missing = |name: &str| entry(format!("it has no {name}"));
        let log_id = part("logId", &["keyId"])?.ok_or_else(|| missing("logId"))?;
        let log_id = proto_json::bytes(log_id, "keyId").map_err(entry)?.unwrap_or_default();
        let kind = part("kindVersion", &["kind", "version"])?.ok_or_else(|| missing("kindVersion"))?;
        let text = |name| proto_json::text(kind, name).map(|text| text.unwrap_or_default().to_owned()).map_err(entry);
        let promise = match part("inclusionPromise", &["signedEntryTimestamp"])? {
            None => None,
            Some(promise) => proto_json::bytes(promise, "signedEntryTimestamp").map_err(entry)?,
        };
        let proof = part("inclusionProof", &["logIndex", "rootHash", "treeSize", "hashes", "checkpoint"])?;
        let proof = proof.map(InclusionProof::parse).transpose()?;
        match minor_version {
            1 if promise.is_none() => return Err(entry("version 0.1 needs an inclusion promise".into())),
            2.. if proof.as_ref().is_none_or(|proof| proof.checkpoint.is_empty()) => {
                return Err(entry("versions from 0.2 need an inclusion proof with a checkpoint".into()));
            }
            _ => {}
        }
        let body = proto_json::bytes(object, "canonicalizedBody").map_err(entry)?.unwrap_or_default();
        if body.is_empty() || log_id.is_empty() {
            return Err(entry("its body or log id is empty".into()));
        }
        Ok(LogEntry {
            index: proto_json::count(object, "logIndex").map_err(entry)?,
            log_id,
            kind: text("kind")?,
            version: text("version")?,
            integrated_time: proto_json::count(object, "integratedTime").map_err(entry)?,
            promise,
            proof,
            body,
        })
    }

    fn to_value(&self) -> Value {
        let mut object = Map::new();
        // protojson leaves out what is zero.
        let mut set = |name: &str, value: Value| object.insert(name.to_owned(), value);
        if self.index > 0 {
            set("logIndex", self.index.to_string().into());
        }
        set("logId", json!({"keyId": base64::encode(&self.log_id)}));
        set("kindVersion", json!({"kind": self.kind, "version": self.version}));
        if self.integrated_time > 0 {
            set("integratedTime", self.integrated_time.to_string().into());
        }
        if let Some(promise) = &self.promise {
            set("inclusionPromise", json!({"signedEntryTimestamp": base64::encode(promise)}));
        }
        if let Some(proof) = &self.proof {
            set("inclusionProof", proof.to_value());
        }
        set("canonicalizedBody", base64::encode(&self.body).into());
        Value::Object(object)
    }
}

impl InclusionProof {
    fn parse(object: &Map<String, Value>) -> Result<InclusionProof> {
        let proof = |what: String| bad(format!("an inclusion proof: {what}"));
        let hashes = proto_json::list(object, "hashes").map_err(proof)?.iter().map(|hash| {
            let bytes = hash.as_str().and_then(|text| base64::decode_any(text).ok());
            bytes.ok_or_else(|| proof("a hash is not base64".into()))
        });
        let checkpoint = match proto_json::member(object, "checkpoint") {
            None => "",
            Some(checkpoint) => {
                let checkpoint = proto_json::object(checkpoint, &["envelope"]).map_err(proof)?;
                proto_json::text(checkpoint, "envelope").map_err(proof)?.unwrap_or_default()
            }
        };
        Ok(InclusionProof {
            index: proto_json::count(object, "logIndex").map_err(proof)?,
            root: proto_json::bytes(object, "rootHash").map_err(proof)?.unwrap_or_default(),
            tree_size: proto_json::count(object, "treeSize").map_err(proof)?,
            hashes: hashes.collect::<Result<_>>()?,
            checkpoint: checkpoint.to_owned(),
        })
    }

    fn to_value(&self) -> Value {
        let mut object = Map::new();
        if self.index > 0 {
            object.insert("logIndex".into(), self.index.to_string().into());
        }
        object.insert("rootHash".into(), base64::encode(&self.root).into());
        object.insert("treeSize".into(), self.tree_size.to_string().into());
        if !self.hashes.is_empty() {
            object.insert("hashes".into(), self.hashes.iter().map(|hash| base64::encode(hash)).collect());
        }
        object.insert("checkpoint".into(), json!({"envelope": self.checkpoint}));
        Value::Object(object)
    }
}
