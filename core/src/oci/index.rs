//! Image indexes, kept so that an `index.json` written back loses no member that this library does not know.

use serde_json::{Map, Value};

use super::descriptor::Descriptor;
use crate::error::{Code, Error, Result};

/// An index of manifests: OCI index, Docker manifest list, or a layout's `index.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its media type.
    pub media_type: String,
    /// The entries, in order.
    pub manifests: Vec<IndexEntry>,
    /// Every member but `manifests`, as read.
    pub(crate) rest: Map<String, Value>,
}

/// One entry of an index: the parsed descriptor and the object it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The descriptor.
    pub descriptor: Descriptor,
    raw: Map<String, Value>,
}

impl IndexEntry {
    /// A new entry.
    pub fn new(descriptor: Descriptor) -> IndexEntry {
        let mut raw = Map::new();
        raw.insert("mediaType".into(), descriptor.media_type.clone().into());
        raw.insert("size".into(), descriptor.size.into());
        raw.insert("digest".into(), descriptor.digest.to_string().into());
        let artifact_type = descriptor.artifact_type.clone();
        let mut entry = IndexEntry { descriptor, raw };
        entry.write_annotations();
        if let Some(artifact_type) = artifact_type {
            entry.raw.insert("artifactType".into(), artifact_type.into());
        }
        entry
    }

    /// The annotation `key`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.descriptor.annotations.get(key).map(String::as_str)
    }

    /// Sets the annotation `key`; every other member stays as read.
    pub fn set_annotation(&mut self, key: &str, value: &str) {
        self.descriptor.annotations.insert(key.to_owned(), value.to_owned());
        self.write_annotations();
    }

    fn write_annotations(&mut self) {
        let members = self.descriptor.annotations.iter().map(|(k, v)| (k.clone(), Value::String(v.clone())));
        let members: Map<String, Value> = members.collect();
        if !members.is_empty() {
            self.raw.insert("annotations".into(), Value::Object(members));
        }
    }
}

impl Index {
    /// An OCI index without entries.
    pub fn empty() -> Index {
        let mut rest = Map::new();
        rest.insert("schemaVersion".into(), 2.into());
        rest.insert("mediaType".into(), super::media_type::OCI_INDEX.into());
        Index { media_type: super::media_type::OCI_INDEX.to_owned(), manifests: Vec::new(), rest }
    }

    pub(super) fn from_object(mut object: Map<String, Value>, media_type: &str) -> Result<Index> {
        let bad = |what: String| Error::new(Code::Protocol, what);
        let manifests = match object.shift_remove("manifests") {
            Some(Value::Array(manifests)) => manifests,
            Some(Value::Null) | None => Vec::new(),
            Some(_) => return Err(bad("the index's manifests are not a list".into())),
        };
        let manifests = manifests
            .into_iter()
            .enumerate()
            .map(|(n, entry)| {
                let descriptor = Descriptor::from_value(&entry, &format!("index entry {n}"))?;
                let Value::Object(raw) = entry else { return Err(bad(format!("index entry {n} is no object"))) };
                Ok(IndexEntry { descriptor, raw })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Index { media_type: media_type.to_owned(), manifests, rest: object })
    }

    /// Lets the entry `at`, and every other entry of the same content and names, be one entry of the new content: what it
    /// says beside `descriptor` stays. Copies left behind would differ from it from then on.
    #[cfg(feature = "client")]
    pub(crate) fn replace_entry(&mut self, at: usize, descriptor: Descriptor) {
        let Some(old) = self.manifests.get(at).map(|entry| entry.descriptor.clone()) else { return };
        let named = ["kind", "org.opencontainers.image.ref.name"];
        let same = |other: &Descriptor| {
            other.digest == old.digest
                && named.iter().all(|name| other.annotations.get(*name) == old.annotations.get(*name))
        };
        let mut n = 0;
        self.manifests.retain(|entry| {
            n += 1;
            n - 1 == at || !same(&entry.descriptor)
        });
        // What was removed before it has moved it down.
        if let Some(entry) = self.manifests.iter_mut().find(|entry| same(&entry.descriptor)) {
            entry.raw.insert("mediaType".into(), descriptor.media_type.clone().into());
            entry.raw.insert("size".into(), descriptor.size.into());
            entry.raw.insert("digest".into(), descriptor.digest.to_string().into());
            entry.raw.shift_remove("data");
            let mut annotations = std::mem::take(&mut entry.descriptor.annotations);
            annotations.extend(descriptor.annotations.clone());
            entry.descriptor = Descriptor { annotations, ..descriptor };
            entry.write_annotations();
        }
    }

    /// The index as JSON, members in the order read, `manifests` last.
    pub fn to_json(&self) -> String {
        let mut object = self.rest.clone();
        let entries = self.manifests.iter().map(|entry| Value::Object(entry.raw.clone())).collect();
        object.insert("manifests".into(), Value::Array(entries));
        Value::Object(object).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Document;

    #[test]
    fn numbers_of_others_are_written_back_as_they_were() {
        let text = r#"{"schemaVersion":2,"n":[123456789012345670000.0,1.2345678901123457e20,5e-324],"manifests":[]}"#;
        let Ok(Document::Index(index)) = Document::parse(text.as_bytes(), None) else { panic!("an index") };
        let Ok(Document::Index(again)) = Document::parse(index.to_json().as_bytes(), None) else { panic!("an index") };
        assert_eq!(again, index);
        assert!(
            index.to_json().contains("1.2345678901123457e20") || index.to_json().contains("1.2345678901123457e+20")
        );
    }
}
