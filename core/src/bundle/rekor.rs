//! Rekor's entries as documents: cosign's annotation, the answers of the log, and what is proposed to it.
//!
//! All three carry the entry's body, which the log has signed and hashed: it is kept as the bytes it is. Whether anything
//! here is true is for `trust/` to judge.

use serde_json::{Map, Value, json};

use super::sigstore::{InclusionProof, LogEntry};
use crate::crypto::Hash;
use crate::encoding::strict_json::{self, Limits};
use crate::encoding::{base64, go_json, hex};
use crate::error::{Code, Error, Result};
use crate::key::PublicKey;
use crate::payload::dsse::Envelope;

/// An annotation of an entry is at most 1 MiB.
pub const MAX_ANNOTATION: usize = 1 << 20;
/// Entries in one answer of a log.
pub const MAX_ENTRIES: usize = 100;
/// Names of entries in one answer of a log's index.
pub const MAX_UUIDS: usize = 10_000;
/// The longest way through a tree of 2^63 entries.
const MAX_HASHES: usize = 64;

/// An entry with the name that its log gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// 64 hex digits, the hash of the entry, behind 16 of the tree that holds it; older logs leave those out.
    pub uuid: String,
    /// The entry, not judged.
    pub entry: LogEntry,
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::SignatureInvalid, format!("the log entry is not acceptable: {}", what.into()))
}

/// Whether `text` can be the name of an entry.
pub fn is_uuid(text: &str) -> bool {
    matches!(text.len(), 64 | 80) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Reads the annotation `dev.sigstore.cosign/bundle`: an entry with the log's promise and without a proof.
///
/// # Errors
/// [`Code::SignatureInvalid`] for anything that is not exactly what cosign writes, [`Code::TooLarge`] over
/// [`MAX_ANNOTATION`].
pub fn parse_annotation(text: &str) -> Result<LogEntry> {
    let limits = Limits { max_bytes: MAX_ANNOTATION, max_depth: 4, max_members: 10 };
    let value = strict_json::parse(text.as_bytes(), limits).map_err(|e| match e.code() {
        Code::TooLarge => e.context("the annotation of the log entry"),
        _ => bad(e.message()),
    })?;
    promised_entry(&value)
}

/// Reads the same out of a document that was parsed strictly.
pub(crate) fn promised_entry(value: &Value) -> Result<LogEntry> {
    let object = exactly(value, &["SignedEntryTimestamp", "Payload"])?;
    let payload = exactly(member(object, "Payload")?, &["body", "integratedTime", "logIndex", "logID"])?;
    let promise = decoded(object, "SignedEntryTimestamp")?;
    entry(payload, Some(promise), None)
}

/// `entry` as cosign writes it into the annotation; `None` without a promise of the log.
pub fn annotation(entry: &LogEntry) -> Option<String> {
    let mut out = String::from("{\"SignedEntryTimestamp\":");
    go_json::push_string(&mut out, &base64::encode(entry.promise.as_deref()?));
    out.push_str(",\"Payload\":");
    // In cosign's order of members, which is not the canonical one that the log signs.
    out.push_str(&format!(
        "{{\"body\":\"{}\",\"integratedTime\":{},\"logIndex\":{},\"logID\":\"{}\"}}}}",
        base64::encode(&entry.body),
        entry.integrated_time,
        entry.index,
        hex::encode(&entry.log_id),
    ));
    Some(out)
}

/// What a log promises: the canonical JSON (RFC 8785) that it signs. All of it is ASCII without escapes.
pub fn promised(entry: &LogEntry) -> String {
    format!(
        "{{\"body\":\"{}\",\"integratedTime\":{},\"logID\":\"{}\",\"logIndex\":{}}}",
        base64::encode(&entry.body),
        entry.integrated_time,
        hex::encode(&entry.log_id),
        entry.index,
    )
}

/// Reads an answer of the log: entries by their names, or a list of such objects. Members that are not known may be new
/// ones of the log's and say nothing here.
///
/// # Errors
/// [`Code::Protocol`] when it is something else, [`Code::TooLarge`] over [`MAX_ENTRIES`].
pub fn parse_answer(bytes: &[u8], max_bytes: usize) -> Result<Vec<Logged>> {
    let wrong = |what: &str| Error::new(Code::Protocol, format!("the log's answer is not acceptable: {what}"));
    let limits = Limits { max_bytes, max_depth: 64, max_members: 100_000 };
    let value = strict_json::parse(bytes, limits).map_err(|e| wrong(e.message()))?;
    let objects: Vec<&Value> = match &value {
        Value::Array(list) => list.iter().collect(),
        other => vec![other],
    };
    let mut found = Vec::new();
    for object in objects {
        for (uuid, value) in object.as_object().ok_or_else(|| wrong("an entry is no object"))? {
            if found.len() >= MAX_ENTRIES {
                let what = format!("the log's answer has more than {MAX_ENTRIES} entries");
                return Err(Error::new(Code::TooLarge, what).with("limit", MAX_ENTRIES as u64));
            }
            if !is_uuid(uuid) {
                return Err(wrong("an entry has no UUID"));
            }
            let entry = answered(value).map_err(|e| wrong(e.message()))?;
            found.push(Logged { uuid: uuid.clone(), entry });
        }
    }
    Ok(found)
}

/// Reads the names that a log's index gives.
///
/// # Errors
/// [`Code::Protocol`] when it is no list of them, [`Code::TooLarge`] over [`MAX_UUIDS`].
pub fn parse_uuids(bytes: &[u8], max_bytes: usize) -> Result<Vec<String>> {
    let wrong = |what: &str| Error::new(Code::Protocol, format!("the answer of the log's index: {what}"));
    let limits = Limits { max_bytes, max_depth: 2, max_members: MAX_UUIDS };
    let value = strict_json::parse(bytes, limits).map_err(|e| wrong(e.message()))?;
    let list = value.as_array().ok_or_else(|| wrong("it is no list"))?;
    let uuid = |value: &Value| value.as_str().filter(|text| is_uuid(text)).map(str::to_owned);
    list.iter().map(|value| uuid(value).ok_or_else(|| wrong("it holds something that is no UUID"))).collect()
}

/// The kind and the version that an entry's body names.
pub fn kind(body: &[u8]) -> Result<(String, String)> {
    let value = parse_body(body)?;
    let text = |name: &str| {
        let text = value.get(name).and_then(Value::as_str);
        text.filter(|text| text.len() <= 40).map(str::to_owned).ok_or_else(|| bad(format!("its body has no {name}")))
    };
    Ok((text("kind")?, text("apiVersion")?))
}

/// An entry's body as JSON.
pub fn parse_body(body: &[u8]) -> Result<Value> {
    let limits = Limits { max_bytes: MAX_ANNOTATION, max_depth: 16, max_members: 1000 };
    strict_json::parse(body, limits).map_err(|e| bad(format!("its body: {}", e.message())))
}

fn answered(value: &Value) -> Result<LogEntry> {
    let object = value.as_object().ok_or_else(|| bad("it is no object"))?;
    // An entry that the log does not vouch for is one: without promise and proof it proves nothing.
    let verification = match object.get("verification") {
        None | Some(Value::Null) => &Map::new(),
        Some(value) => value.as_object().ok_or_else(|| bad("its verification is no object"))?,
    };
    let promise = match verification.get("signedEntryTimestamp") {
        None | Some(Value::Null) => None,
        Some(_) => Some(decoded(verification, "signedEntryTimestamp")?),
    };
    let proof = match verification.get("inclusionProof") {
        None | Some(Value::Null) => None,
        Some(value) => Some(proof(value)?),
    };
    entry(object, promise, proof)
}

fn proof(value: &Value) -> Result<InclusionProof> {
    let object = value.as_object().ok_or_else(|| bad("its proof is no object"))?;
    let hash = |value: &Value| {
        let bytes = value.as_str().and_then(|text| hex::decode(text, 32));
        bytes.ok_or_else(|| bad("a hash of its proof is not 64 hex digits"))
    };
    let hashes = member(object, "hashes")?.as_array().ok_or_else(|| bad("the hashes of its proof are no list"))?;
    if hashes.len() > MAX_HASHES {
        return Err(bad("its proof has more hashes than any tree is deep"));
    }
    Ok(InclusionProof {
        index: count(object, "logIndex")?,
        root: hash(member(object, "rootHash")?)?,
        tree_size: count(object, "treeSize")?,
        hashes: hashes.iter().map(hash).collect::<Result<_>>()?,
        checkpoint: object.get("checkpoint").and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}

/// The members that annotation and answer share.
fn entry(object: &Map<String, Value>, promise: Option<Vec<u8>>, proof: Option<InclusionProof>) -> Result<LogEntry> {
    let body = decoded(object, "body")?;
    let (kind, version) = kind(&body)?;
    let log_id = member(object, "logID")?.as_str().and_then(|text| hex::decode(text, 32));
    Ok(LogEntry {
        index: count(object, "logIndex")?,
        log_id: log_id.ok_or_else(|| bad("its logID is not 64 hex digits"))?,
        kind,
        version,
        integrated_time: count(object, "integratedTime")?,
        promise,
        proof,
        body,
    })
}

/// An object with these members and no others.
pub(crate) fn exactly<'a>(value: &'a Value, names: &[&str]) -> Result<&'a Map<String, Value>> {
    let object = value.as_object().ok_or_else(|| bad("an object is expected where there is none"))?;
    for name in names {
        member(object, name)?;
    }
    match object.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(bad(format!("unknown member {:?}", name.chars().take(60).collect::<String>()))),
        None => Ok(object),
    }
}

/// A member that must be there.
pub(crate) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Value> {
    object.get(name).filter(|value| !value.is_null()).ok_or_else(|| bad(format!("it has no {name}")))
}

/// Bytes in the one spelling of base64 that everybody writes, and at least one of them.
pub(crate) fn decoded(object: &Map<String, Value>, name: &str) -> Result<Vec<u8>> {
    let text = member(object, name)?.as_str().ok_or_else(|| bad(format!("its {name} is no text")))?;
    let bytes = base64::decode(text).ok().filter(|bytes| !bytes.is_empty() && base64::encode(bytes) == text);
    bytes.ok_or_else(|| bad(format!("its {name} is not base64")))
}

fn count(object: &Map<String, Value>, name: &str) -> Result<u64> {
    let number = member(object, name)?.as_u64().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| bad(format!("its {name} is not a whole number from 0")))
}

/// Proposes a signature of which the log sees only a hash.
pub fn hashedrekord(hash: Hash, digest: &[u8], signature: &[u8], key: &PublicKey) -> Value {
    json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": hash.name(), "value": hex::encode(digest)}},
            "signature": {"content": base64::encode(signature), "publicKey": {"content": pem(key)}},
        },
    })
}

/// Proposes a signature with what it signs, as in 2021: the log keeps the hash. Needed for Ed25519, which signs no hash.
pub fn rekord(content: &[u8], signature: &[u8], key: &PublicKey) -> Value {
    json!({
        "apiVersion": "0.0.1",
        "kind": "rekord",
        "spec": {
            "data": {"content": base64::encode(content)},
            "signature": {
                "content": base64::encode(signature),
                "format": "x509",
                "publicKey": {"content": pem(key)},
            },
        },
    })
}

/// Proposes an envelope: the log keeps its signatures, and the hashes of envelope and payload.
pub fn dsse(envelope: &Envelope, key: &PublicKey) -> Value {
    json!({
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "proposedContent": {"envelope": envelope.to_value().to_string(), "verifiers": [pem(key)]},
        },
    })
}

fn pem(key: &PublicKey) -> String {
    base64::encode(key.to_pem().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> LogEntry {
        let body = br#"{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{}}"#.to_vec();
        LogEntry {
            index: 7,
            log_id: vec![0xab; 32],
            kind: "hashedrekord".into(),
            version: "0.0.1".into(),
            integrated_time: 1_674_247_893,
            promise: Some(vec![1, 2, 3]),
            proof: None,
            body,
        }
    }

    #[test]
    fn the_annotation_comes_back_and_is_read_strictly() {
        let text = annotation(&some()).unwrap();
        assert!(text.starts_with(r#"{"SignedEntryTimestamp":"AQID","Payload":{"body":""#), "{text}");
        let tail = format!(r#"","integratedTime":1674247893,"logIndex":7,"logID":"{}"}}}}"#, "ab".repeat(32));
        assert!(text.ends_with(&tail), "{text}");
        assert_eq!(parse_annotation(&text).unwrap(), some());
        assert_eq!(annotation(&LogEntry { promise: None, ..some() }), None);
        for (from, to) in [
            ("\"logIndex\":7", "\"logIndex\":-1"),
            ("\"logIndex\":7", "\"logIndex\":\"7\""),
            ("\"logIndex\":7", "\"logIndex\":7.0"),
            ("\"logIndex\":7", "\"logIndex\":9223372036854775808"),
            ("\"logIndex\":7", "\"logIndex\":7,\"logIndex\":7"),
            ("\"logIndex\":7,", ""),
            ("\"logIndex\":7", "\"logindex\":7"),
            ("\"AQID\"", "\"\""),
            ("\"AQID\"", "\"AQI\""),
            ("\"AQID\"", "null"),
            ("\"AQID\"", "[1,2,3]"),
            ("AQID", "AQ\\nID"),
            ("abab", "ABAB"),
            ("abab", "ab"),
            ("{\"SignedEntryTimestamp\"", "{\"x\":1,\"SignedEntryTimestamp\""),
            ("{\"body\"", "{\"x\":1,\"body\""),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert_eq!(parse_annotation(&changed).unwrap_err().code(), Code::SignatureInvalid, "{from} {to}");
        }
        let long = format!("{{\"SignedEntryTimestamp\":\"{}\"}}", "A".repeat(MAX_ANNOTATION));
        assert_eq!(parse_annotation(&long).unwrap_err().code(), Code::TooLarge);
    }

    #[test]
    fn the_promise_is_canonical_json() {
        let body = base64::encode(&some().body);
        let id = "ab".repeat(32);
        let expected = format!(r#"{{"body":"{body}","integratedTime":1674247893,"logID":"{id}","logIndex":7}}"#);
        assert_eq!(promised(&some()), expected);
    }

    #[test]
    fn an_answer_is_entries_by_name() {
        let uuid = "00".repeat(40);
        let body = base64::encode(&some().body);
        let entry = json!({
            "body": body, "integratedTime": 5, "logID": "ab".repeat(32), "logIndex": 9, "new": {"member": 1},
            "verification": {
                "signedEntryTimestamp": "AQID",
                "inclusionProof": {"checkpoint": "c", "hashes": ["cd".repeat(32)], "logIndex": 1,
                    "rootHash": "ef".repeat(32), "treeSize": 2},
            },
        });
        let read = |value: &Value| parse_answer(value.to_string().as_bytes(), 1 << 20);
        let one = read(&json!({(uuid.as_str()): entry})).unwrap();
        assert_eq!(one[0].entry.proof.as_ref().unwrap().hashes, [[0xcd; 32]]);
        assert_eq!(read(&json!([{(uuid.as_str()): entry}])).unwrap(), one);
        assert_eq!(read(&json!([])).unwrap(), []);
        assert_eq!(read(&json!({})).unwrap(), []);
        let bare = json!({"body": body, "integratedTime": 5, "logID": "ab".repeat(32), "logIndex": 9});
        assert_eq!(read(&json!({(uuid.as_str()): bare})).unwrap()[0].entry.promise, None);
        let many: Vec<Value> = (0..=MAX_ENTRIES).map(|n| json!({format!("{n:064x}"): bare})).collect();
        assert_eq!(read(&json!(many)).unwrap_err().code(), Code::TooLarge);
        for wrong in [json!(1), json!(null), json!([1]), json!({"../x": bare}), json!({(uuid.as_str()): 1})] {
            assert_eq!(read(&wrong).unwrap_err().code(), Code::Protocol, "{wrong}");
        }
        for (pointer, value) in [
            ("/verification/inclusionProof/hashes", json!(null)),
            ("/verification/inclusionProof/hashes", json!(vec!["00".repeat(32); 65])),
            ("/verification/inclusionProof/hashes/0", json!("cd")),
            ("/verification/inclusionProof/rootHash", json!("")),
            ("/verification/inclusionProof/treeSize", json!(-1)),
            ("/verification/inclusionProof", json!(1)),
            ("/verification/signedEntryTimestamp", json!("!")),
            ("/verification", json!([])),
            ("/body", json!({"a": 1})),
            ("/body", json!("bm90IGpzb24=")),
            ("/integratedTime", json!(-5)),
            ("/logID", json!("ab")),
        ] {
            let mut changed = entry.clone();
            *changed.pointer_mut(pointer).unwrap() = value.clone();
            let answer = read(&json!({(uuid.as_str()): changed}));
            assert_eq!(answer.unwrap_err().code(), Code::Protocol, "{pointer} {value}");
        }
    }

    #[test]
    fn names_of_entries_are_hex() {
        let list = |text: &str| parse_uuids(text.as_bytes(), 1 << 20);
        let uuid = "0a".repeat(40);
        assert_eq!(list(&format!("[\"{uuid}\"]")).unwrap(), [uuid.as_str()]);
        for bad in ["{}", "null", "[1]", "[\"\"]", "[\"../../x\"]", &format!("[\"{}\"]", uuid.to_uppercase())] {
            assert_eq!(list(bad).unwrap_err().code(), Code::Protocol, "{bad}");
        }
    }
}
