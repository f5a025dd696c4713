//! The in-toto statement: the claim "this predicate holds for these subjects" (in-toto attestation framework, Statement
//! v1 and v0.1).
//!
//! cosign 3 signs an image by a statement whose predicate type is [`COSIGN_SIGN`], whose one subject is the image's
//! digest, and whose subject's annotations are those of `-a`. Any other predicate type is an attestation: it says
//! something about the image, often on behalf of a build, and is no signature of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::digest::Digest;
use crate::encoding::proto_json;
use crate::encoding::strict_json::{self, Limits};
use crate::error::{Code, Error, Result};

/// `_type` of what `cosign sign` writes.
pub const TYPE_V1: &str = "https://in-toto.io/Statement/v1";
/// `_type` of what `cosign attest` writes.
pub const TYPE_V01: &str = "https://in-toto.io/Statement/v0.1";
/// The predicate type of an image signature.
pub const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// A statement names at most this many subjects (sigstore-go's limit).
pub const MAX_SUBJECTS: usize = 1024;
/// A subject has at most this many digests (sigstore-go's limit).
pub const MAX_DIGESTS: usize = 32;

/// A parsed statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// What it is about; at least one.
    pub subjects: Vec<Subject>,
    /// What kind of claim it is, a URI.
    pub predicate_type: String,
    /// The claim; `null` when there is none.
    pub predicate: Value,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// A name for people, empty when there is none; nobody checks it.
    pub name: String,
    /// Algorithm to lower-case hex; at least one.
    pub digests: BTreeMap<String, String>,
    /// Texts where cosign wrote them, any JSON from others.
    pub annotations: BTreeMap<String, Value>,
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::PayloadMismatch, format!("the signed statement is not acceptable: {}", what.into()))
}

/// The statement by which cosign 3 signs the image `digest`: its members, their order, and no white space.
pub fn write_signature(digest: &Digest, annotations: &BTreeMap<String, String>) -> Vec<u8> {
    // serde_json escapes exactly what Go's protojson does: quotes, backslashes and control characters.
    json!({
        "_type": TYPE_V1,
        "subject": [{"digest": {(digest.algorithm_name()): digest.hex()}, "annotations": annotations}],
        "predicateType": COSIGN_SIGN,
        "predicate": {},
    })
    .to_string()
    .into_bytes()
}

impl Statement {
    /// Parses a payload of type [`super::dsse::IN_TOTO`] whose signature was already verified over exactly these bytes.
    ///
    /// # Errors
    /// [`Code::PayloadMismatch`] for anything but one statement: members twice or unknown beside the predicate, another
    /// `_type`, no subject, a subject without digest, a digest that has not the length of its algorithm.
    pub fn parse(bytes: &[u8]) -> Result<Statement> {
        // The envelope around it was capped before; members are counted because a predicate may be an SBOM.
        let limits = Limits { max_bytes: usize::MAX, max_depth: 64, max_members: 4_000_000 };
        let value = strict_json::parse(bytes, limits).map_err(|e| bad(e.message()))?;
        let object = proto_json::object(&value, &["_type", "subject", "predicateType", "predicate"]).map_err(bad)?;
        match proto_json::text(object, "_type").map_err(bad)? {
            Some(TYPE_V1 | TYPE_V01) => {}
            other => {
                let shown: String = other.unwrap_or("none").chars().take(80).collect();
                return Err(bad(format!("its _type is {shown:?}, expected {TYPE_V1:?}")));
            }
        }
        let subjects = proto_json::list(object, "subject").map_err(bad)?;
        if subjects.is_empty() || subjects.len() > MAX_SUBJECTS {
            return Err(bad(format!("it has {} subjects, expected 1 to {MAX_SUBJECTS}", subjects.len())));
        }
        let predicate_type = proto_json::text(object, "predicateType").map_err(bad)?.unwrap_or_default();
        if predicate_type.is_empty() {
            return Err(bad("it has no predicateType"));
        }
        Ok(Statement {
            subjects: subjects.iter().map(Subject::from_value).collect::<Result<_>>()?,
            predicate_type: predicate_type.to_owned(),
            predicate: object.get("predicate").cloned().unwrap_or_default(),
        })
    }

    /// The subjects that are `digest`.
    pub fn subjects_of<'a>(&'a self, digest: &'a Digest) -> impl Iterator<Item = &'a Subject> {
        let is_it =
            |subject: &&Subject| subject.digests.get(digest.algorithm_name()).is_some_and(|hex| hex == digest.hex());
        self.subjects.iter().filter(is_it)
    }
}

impl Subject {
    fn from_value(value: &Value) -> Result<Subject> {
        let known = ["name", "uri", "digest", "content", "downloadLocation", "mediaType", "annotations"];
        let object = proto_json::object(value, &known).map_err(bad)?;
        let map = |name| -> Result<Option<&Map<String, Value>>> {
            let map = proto_json::member(object, name);
            map.map(|map| map.as_object().ok_or_else(|| bad(format!("{name:?} is not an object")))).transpose()
        };
        let digests = map("digest")?.filter(|digests| !digests.is_empty());
        let digests = digests.ok_or_else(|| bad("a subject has no digest"))?;
        if digests.len() > MAX_DIGESTS {
            return Err(bad(format!("a subject has {} digests, the limit is {MAX_DIGESTS}", digests.len())));
        }
        let digests = digests.iter().map(|(algorithm, hex)| {
            let hex = hex.as_str().filter(|hex| is_digest(algorithm, hex));
            let hex = hex.ok_or_else(|| bad(format!("a subject's {:.20} digest is malformed", algorithm)))?;
            Ok((algorithm.clone(), hex.to_owned()))
        });
        Ok(Subject {
            name: proto_json::text(object, "name").map_err(bad)?.unwrap_or_default().to_owned(),
            digests: digests.collect::<Result<_>>()?,
            annotations: map("annotations")?.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
        })
    }
}

/// Whether `hex` can be a digest by `algorithm`: of the algorithms that are compared, only those of the right length.
fn is_digest(algorithm: &str, hex: &str) -> bool {
    match algorithm {
        "sha256" | "sha512" => Digest::parse(&format!("{algorithm}:{hex}")).is_ok(),
        "sha384" => hex.len() == 96 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        _ => true,
    }
}
