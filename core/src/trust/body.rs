//! What an entry of a log is about, and whether that is this signature: the kinds `hashedrekord` 0.0.1, `rekord` 0.0.1,
//! `dsse` 0.0.1, `intoto` 0.0.1 and 0.0.2, as Rekor writes their canonical bodies.
//!
//! An entry is of a signature when it names the signature's bytes, the key that made it and a hash of what it signs. An
//! entry of another kind than the signature's own proves nothing, whatever else it says: a message and an envelope with
//! the same bytes are two things.

use serde_json::{Map, Value};

use crate::bundle::certificate;
use crate::bundle::rekor::{decoded, exactly, member, parse_body};
use crate::bundle::sigstore::LogEntry;
use crate::crypto::Hash;
use crate::encoding::{base64, hex};
use crate::error::{Code, Error, Result};
use crate::key::PublicKey;
use crate::payload::dsse::Envelope;

/// A signature of which a log is to have an entry. What it signs is known as its hashes at least.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The raw signature.
    pub signature: Vec<u8>,
    /// The key that made it; whoever makes a subject has verified that.
    pub key: PublicKey,
    /// The bytes that are signed or, in an envelope, its payload; `None` when they passed by as a stream.
    pub content: Option<Vec<u8>>,
    /// Hashes of those bytes.
    pub hashes: Vec<(Hash, Vec<u8>)>,
    /// The envelope around the payload; `None` for a signature of the bytes themselves.
    pub envelope: Option<Envelope>,
}

impl Subject {
    /// A signature of `content`.
    pub fn message(content: &[u8], signature: &[u8], key: &PublicKey) -> Subject {
        let hashes = [Hash::Sha256, Hash::Sha384, Hash::Sha512].map(|hash| (hash, hash.digest(content)));
        Subject {
            signature: signature.to_vec(),
            key: key.clone(),
            content: Some(content.to_vec()),
            hashes: hashes.to_vec(),
            envelope: None,
        }
    }

    /// A signature of something of which only hashes are known.
    pub fn hashed(hashes: Vec<(Hash, Vec<u8>)>, signature: &[u8], key: &PublicKey) -> Subject {
        Subject { signature: signature.to_vec(), key: key.clone(), content: None, hashes, envelope: None }
    }

    /// The first signature of an envelope.
    pub fn envelope(envelope: &Envelope, key: &PublicKey) -> Subject {
        let signature = envelope.signatures.first().map(|first| first.signature.clone()).unwrap_or_default();
        let message = Subject::message(&envelope.payload, &signature, key);
        Subject { envelope: Some(envelope.clone()), ..message }
    }

    /// One of its hashes.
    pub fn hash(&self, wanted: Hash) -> Option<&[u8]> {
        self.hashes.iter().find(|(hash, _)| *hash == wanted).map(|(_, digest)| digest.as_slice())
    }
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::SignatureInvalid, format!("the log entry is not acceptable: {}", what.into()))
}

/// An entry that is sound, of something else.
fn other(what: &str) -> Error {
    Error::new(Code::PayloadMismatch, format!("the log entry is of another {what}"))
}

/// Checks that the body of `entry` is about `subject`; that says nothing of whether any log has it.
///
/// # Errors
/// [`Code::PayloadMismatch`] for an entry of something else, [`Code::SignatureInvalid`] for a malformed one.
pub fn is_about(entry: &LogEntry, subject: &Subject) -> Result<()> {
    let value = parse_body(&entry.body)?;
    let body = exactly(&value, &["apiVersion", "kind", "spec"])?;
    let (kind, version) = (text(body, "kind")?, text(body, "apiVersion")?);
    if kind != entry.kind || version != entry.version {
        return Err(bad("its body is of another kind than it says"));
    }
    let spec = member(body, "spec")?;
    match (kind, version, &subject.envelope) {
        ("hashedrekord", "0.0.1", None) => message(spec, subject, false),
        ("rekord", "0.0.1", None) => message(spec, subject, true),
        ("dsse", "0.0.1", Some(envelope)) => dsse(spec, subject, envelope),
        ("intoto", "0.0.1", Some(envelope)) => intoto_1(spec, subject, envelope),
        ("intoto", "0.0.2", Some(envelope)) => intoto_2(spec, subject, envelope),
        ("hashedrekord" | "rekord" | "dsse", "0.0.1", _) | ("intoto", "0.0.1" | "0.0.2", _) => {
            Err(other("kind than the signature"))
        }
        _ => Err(bad(format!("entries of kind {kind} {version} are not read"))),
    }
}

/// `hashedrekord` and `rekord`: the same, but for the latter's format.
fn message(spec: &Value, subject: &Subject, rekord: bool) -> Result<()> {
    let spec = exactly(spec, &["data", "signature"])?;
    let data = exactly(member(spec, "data")?, &["hash"])?;
    let known: &[&str] = if rekord { &["content", "format", "publicKey"] } else { &["content", "publicKey"] };
    let signature = exactly(member(spec, "signature")?, known)?;
    if rekord && text(signature, "format")? != "x509" {
        return Err(bad("its signature is not in the format x509"));
    }
    same_hash(member(data, "hash")?, subject)?;
    if decoded(signature, "content")? != subject.signature {
        return Err(other("signature"));
    }
    let key = exactly(member(signature, "publicKey")?, &["content"])?;
    same_key(&decoded(key, "content")?, &subject.key)
}

fn dsse(spec: &Value, subject: &Subject, envelope: &Envelope) -> Result<()> {
    let spec = exactly(spec, &["envelopeHash", "payloadHash", "signatures"])?;
    same_hash(member(spec, "payloadHash")?, subject)?;
    let one = the_one(member(spec, "signatures")?, envelope)?;
    let signature = exactly(one, &["signature", "verifier"])?;
    if decoded(signature, "signature")? != subject.signature {
        return Err(other("signature"));
    }
    same_key(&decoded(signature, "verifier")?, &subject.key)
}

/// Holds no signature, but the hash of the envelope with it, as whoever logged it had written it.
fn intoto_1(spec: &Value, subject: &Subject, envelope: &Envelope) -> Result<()> {
    let spec = exactly(spec, &["content", "publicKey"])?;
    let content = exactly(member(spec, "content")?, &["hash", "payloadHash"])?;
    same_hash(member(content, "payloadHash")?, subject)?;
    let text = written(envelope);
    if !text.iter().any(|text| names(member(content, "hash").ok(), &Hash::Sha256.digest(text.as_bytes()))) {
        return Err(other("envelope"));
    }
    same_key(&decoded(spec, "publicKey")?, &subject.key)
}

fn intoto_2(spec: &Value, subject: &Subject, envelope: &Envelope) -> Result<()> {
    let spec = exactly(spec, &["content"])?;
    let content = exactly(member(spec, "content")?, &["envelope", "hash", "payloadHash"])?;
    same_hash(member(content, "payloadHash")?, subject)?;
    let logged = exactly(member(content, "envelope")?, &["payloadType", "signatures"])?;
    if text(logged, "payloadType")? != envelope.payload_type {
        return Err(other("payload type"));
    }
    let one = the_one(member(logged, "signatures")?, envelope)?.as_object().ok_or_else(|| bad("a signature"))?;
    if let Some(unknown) = one.keys().find(|name| !["keyid", "publicKey", "sig"].contains(&name.as_str())) {
        return Err(bad(format!("unknown member {:?}", unknown.chars().take(60).collect::<String>())));
    }
    // Its signature is base64 of the base64 in the envelope.
    let inner = String::from_utf8(decoded(one, "sig")?).ok().and_then(|text| base64::decode(&text).ok());
    if inner.as_deref() != Some(subject.signature.as_slice()) {
        return Err(other("signature"));
    }
    same_key(&decoded(one, "publicKey")?, &subject.key)
}

/// Envelope and entry have exactly one signature: of several it would not be said which the log has checked.
fn the_one<'a>(list: &'a Value, envelope: &Envelope) -> Result<&'a Value> {
    match list.as_array().map(Vec::as_slice) {
        Some([one]) if envelope.signatures.len() == 1 => Ok(one),
        _ => Err(other("number of signatures")),
    }
}

/// The ways in which cosign has written an envelope.
fn written(envelope: &Envelope) -> [String; 2] {
    let (payload, kind) = (base64::encode(&envelope.payload), &envelope.payload_type);
    let kind = Value::from(kind.as_str());
    let signature = envelope.signatures.first().map(|s| base64::encode(&s.signature)).unwrap_or_default();
    let keyed = format!(
        "{{\"payloadType\":{kind},\"payload\":\"{payload}\",\"signatures\":[{{\"keyid\":\"\",\"sig\":\"{signature}\"}}]}}"
    );
    let bare =
        format!("{{\"payloadType\":{kind},\"payload\":\"{payload}\",\"signatures\":[{{\"sig\":\"{signature}\"}}]}}");
    [keyed, bare]
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str> {
    member(object, name)?.as_str().ok_or_else(|| bad(format!("its {name} is no text")))
}

fn same_hash(value: &Value, subject: &Subject) -> Result<()> {
    let object = exactly(value, &["algorithm", "value"])?;
    let name = text(object, "algorithm")?;
    let known = [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().find(|hash| hash.name() == name);
    let hash = known.ok_or_else(|| bad("it names a hash that is not known"))?;
    let digest = hex::decode(text(object, "value")?, hash.size()).ok_or_else(|| bad("its hash is not hex"))?;
    match subject.hash(hash) {
        Some(own) if own == digest => Ok(()),
        _ => Err(other("payload")),
    }
}

fn names(value: Option<&Value>, sha256: &[u8]) -> bool {
    let object = value.and_then(|value| exactly(value, &["algorithm", "value"]).ok());
    object.is_some_and(|object| {
        text(object, "algorithm").is_ok_and(|name| name == "sha256")
            && text(object, "value").is_ok_and(|value| value == hex::encode(sha256))
    })
}

/// A key in PEM, or a certificate of it.
fn same_key(pem: &[u8], key: &PublicKey) -> Result<()> {
    let certified = || {
        let text = std::str::from_utf8(pem).ok()?;
        text.contains("BEGIN CERTIFICATE").then(|| certificate::public_key_der(text).ok()).flatten()
    };
    let der = match certified() {
        Some(der) => der,
        None => PublicKey::from_pem(pem).map_err(|_| bad("its key is none"))?.to_der().to_vec(),
    };
    if der == key.to_der() { Ok(()) } else { Err(other("key")) }
}
