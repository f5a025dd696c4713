//! Content descriptors (OCI image-spec, "Descriptor").

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::encoding::{base64, go_json};
use crate::error::{Code, Error, Result};

/// What names a blob or manifest: media type, digest, size, and what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The media type of the content.
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// Annotations; empty when there are none.
    pub annotations: BTreeMap<String, String>,
    /// The content itself, when it is carried inline (`data`), already checked against digest and size.
    pub data: Option<Vec<u8>>,
    /// Whether inline content was carried that is not what digest and size say. It is kept out of `data`; who needs the
    /// content must refuse the descriptor.
    pub bad_data: bool,
    /// The artifact type, where a list of referrers or an index gives one.
    pub artifact_type: Option<String>,
    /// Every other member, as read: `urls`, `platform`, and what this library does not know.
    pub(crate) rest: Map<String, Value>,
}

/// The members that have a field of their own.
const KNOWN: [&str; 6] = ["mediaType", "digest", "size", "annotations", "data", "artifactType"];

impl Descriptor {
    /// A descriptor without annotations.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: BTreeMap::new(),
            data: None,
            bad_data: false,
            artifact_type: None,
            rest: Map::new(),
        }
    }

    /// The descriptor of `bytes`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Descriptor::new(media_type, Digest::sha256(bytes), bytes.len() as u64)
    }

    /// Reads a descriptor; `place` names it in errors, such as `layer 3`.
    pub fn from_value(value: &Value, place: &str) -> Result<Self> {
        let bad = |what: &str| Error::new(Code::Protocol, format!("{place}: {what}"));
        let object = value.as_object().ok_or_else(|| bad("a descriptor must be an object"))?;
        let text = |key: &str| -> Result<Option<String>> {
            match object.get(key) {
                None => Ok(None),
                Some(Value::String(text)) => Ok(Some(text.clone())),
                Some(_) => Err(bad(&format!("{key} must be a string"))),
            }
        };
        let media_type = text("mediaType")?.unwrap_or_default();
        let digest = text("digest")?.ok_or_else(|| bad("no digest"))?;
        let digest = Digest::parse(&digest).map_err(|e| bad(e.message()))?;
        let size = object
            .get("size")
            .and_then(Value::as_u64)
            .filter(|size| *size <= i64::MAX as u64)
            .ok_or_else(|| bad("size must be a whole number that is not negative"))?;
        let annotations = string_map(object.get("annotations"), place)?;
        let mut rest: Map<String, Value> = object
            .iter()
            .filter(|(name, _)| !KNOWN.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let (mut data, mut bad_data) = (None, false);
        if let Some(encoded) = text("data")? {
            match base64::decode(&encoded).ok().filter(|data| data.len() as u64 == size && digest.matches(data)) {
                Some(content) => data = Some(content),
                None => {
                    bad_data = true;
                    rest.insert("data".into(), encoded.into());
                }
            }
        }
        let artifact_type = text("artifactType")?;
        Ok(Descriptor { media_type, digest, size, annotations, data, bad_data, artifact_type, rest })
    }

    /// Appends the descriptor in the member order of go-containerregistry, which cosign's bytes depend on.
    pub fn push_json(&self, out: &mut String) {
        out.push_str("{\"mediaType\":");
        go_json::push_string(out, &self.media_type);
        out.push_str(&format!(",\"size\":{},\"digest\":\"{}\"", self.size, self.digest));
        if let Some(data) = &self.data {
            out.push_str(",\"data\":");
            go_json::push_string(out, &base64::encode(data));
        }
        let mut rest: Vec<_> = self.rest.iter().collect();
        let mut other = |name: &str, out: &mut String| {
            if let Some(at) = rest.iter().position(|(key, _)| key.as_str() == name) {
                push_member(out, rest.remove(at));
            }
        };
        other("data", out);
        other("urls", out);
        if !self.annotations.is_empty() {
            out.push_str(",\"annotations\":");
            go_json::push_string_map(out, self.annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        }
        other("platform", out);
        if let Some(artifact_type) = &self.artifact_type {
            out.push_str(",\"artifactType\":");
            go_json::push_string(out, artifact_type);
        }
        for member in rest {
            push_member(out, member);
        }
        out.push('}');
    }
}

/// A further member of an object.
pub(crate) fn push_member(out: &mut String, (name, value): (&String, &Value)) {
    out.push(',');
    go_json::push_string(out, name);
    out.push(':');
    out.push_str(&value.to_string());
}

/// Reads an optional object of strings.
pub(super) fn string_map(value: Option<&Value>, place: &str) -> Result<BTreeMap<String, String>> {
    let bad = || Error::new(Code::Protocol, format!("{place}: annotations must be an object of strings"));
    match value {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(members)) => {
            members.iter().map(|(key, value)| Ok((key.clone(), value.as_str().ok_or_else(bad)?.to_owned()))).collect()
        }
        Some(_) => Err(bad()),
    }
}
