//! Image manifests, and telling a manifest from an index (CVE-2021-41190: no document may be both).

use std::collections::BTreeMap;

use serde_json::Value;

use super::descriptor::{Descriptor, string_map};
use super::media_type;
use crate::encoding::strict_json::{self, Limits};
use crate::error::{Code, Error, Result};

/// Manifests and indexes are at most 4 MiB (what registries accept), 32 deep, 20,000 members: twice what a thousand
/// signatures or referrers have. A member takes up to 200 bytes of memory, and the document is a stranger's.
pub const DOCUMENT_LIMITS: Limits = Limits { max_bytes: 4 << 20, max_depth: 32, max_members: 20_000 };

/// The `index.json` of a layout may have more: one entry for each image that somebody keeps there.
pub const LAYOUT_LIMITS: Limits = Limits { max_members: 200_000, ..DOCUMENT_LIMITS };

/// A document that a digest may name: an image manifest or an index.
// One lives at a time, on the stack of its reader: boxing would cost more than it saves.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// An image manifest.
    Manifest(Manifest),
    /// An index of manifests.
    Index(super::Index),
}

/// An image manifest: OCI or Docker schema 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its own media type, from the document or, where that has none, from the place it was read.
    pub media_type: String,
    /// The artifact type, if it has one.
    pub artifact_type: Option<String>,
    /// The configuration blob.
    pub config: Descriptor,
    /// The layers, in order.
    pub layers: Vec<Descriptor>,
    /// What the manifest refers to, if anything.
    pub subject: Option<Descriptor>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Every other member, as read.
    pub(crate) rest: serde_json::Map<String, Value>,
}

/// The members of a manifest that have a field of their own, or always the same value.
const KNOWN: [&str; 7] = ["schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"];

impl Document {
    /// The document's own media type.
    pub fn media_type(&self) -> &str {
        match self {
            Document::Manifest(manifest) => &manifest.media_type,
            Document::Index(index) => &index.media_type,
        }
    }

    /// What an index leads to; nothing for a manifest.
    pub fn children(self) -> Vec<Descriptor> {
        match self {
            Document::Manifest(_) => Vec::new(),
            Document::Index(index) => index.manifests.into_iter().map(|entry| entry.descriptor).collect(),
        }
    }

    /// Parses a manifest or index. `declared` is the media type the place gave for it (a `Content-Type` without
    /// parameters, or a descriptor's `mediaType`); a document that says otherwise is an error.
    pub fn parse(bytes: &[u8], declared: Option<&str>) -> Result<Document> {
        Document::parse_within(bytes, declared, DOCUMENT_LIMITS)
    }

    /// The same with limits of one's own.
    pub fn parse_within(bytes: &[u8], declared: Option<&str>, limits: Limits) -> Result<Document> {
        let bad = |what: String| Error::new(Code::Protocol, what);
        let value = strict_json::parse(bytes, limits).map_err(|e| {
            if e.code() == Code::TooLarge { e } else { bad(format!("the manifest is {}", e.message())) }
        })?;
        let Value::Object(object) = value else { return Err(bad("a manifest must be a JSON object".into())) };
        if object.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
            return Err(bad("the manifest's schemaVersion is not 2".into()));
        }
        let own = match object.get("mediaType") {
            None => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => return Err(bad("the manifest's mediaType is not a string".into())),
        };
        let declared = declared.filter(|declared| !declared.is_empty());
        if let (Some(own), Some(declared)) = (&own, declared)
            && own != declared
        {
            return Err(bad(format!("the manifest calls itself {own:?} but was served as {declared:?}")));
        }
        let has_manifests = object.contains_key("manifests");
        let has_layers = object.contains_key("layers") || object.contains_key("config");
        // Both may leave their type out (image-spec); the place does not tell it for a blob that is read by its digest.
        let unsaid = if has_manifests && !has_layers { media_type::OCI_INDEX } else { media_type::OCI_MANIFEST };
        let media_type = own.as_deref().or(declared).unwrap_or(unsaid);
        match media_type {
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST if !has_manifests => {
                Manifest::from_object(object, media_type).map(Document::Manifest)
            }
            media_type::OCI_INDEX | media_type::DOCKER_MANIFEST_LIST if !has_layers => {
                super::Index::from_object(object, media_type).map(Document::Index)
            }
            media_type::OCI_MANIFEST
            | media_type::DOCKER_MANIFEST
            | media_type::OCI_INDEX
            | media_type::DOCKER_MANIFEST_LIST => {
                Err(bad(format!("the document called {media_type} has members of a manifest and of an index")))
            }
            other => Err(bad(format!("{other:?} is neither an image manifest nor an index"))),
        }
    }
}

impl Manifest {
    /// Parses a document that must be an image manifest.
    pub fn parse(bytes: &[u8], declared: Option<&str>) -> Result<Manifest> {
        match Document::parse(bytes, declared)? {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) => Err(Error::new(Code::Protocol, "expected an image manifest, found an index")),
        }
    }

    // What was read is moved, not copied: a manifest may be large and is not trusted.
    fn from_object(mut object: serde_json::Map<String, Value>, media_type: &str) -> Result<Manifest> {
        let bad = |what: &str| Error::new(Code::Protocol, what.to_owned());
        let config = object.get("config").ok_or_else(|| bad("the manifest has no config"))?;
        let config = Descriptor::from_value(config, "config")?;
        let layers = match object.get_mut("layers") {
            None => Vec::new(),
            Some(Value::Array(layers)) => std::mem::take(layers),
            Some(_) => return Err(bad("the manifest's layers are not a list")),
        };
        let layers = layers
            .into_iter()
            .enumerate()
            .map(|(n, layer)| Descriptor::from_value(&layer, &format!("layer {n}")))
            .collect::<Result<Vec<_>>>()?;
        let subject = match object.get("subject") {
            None | Some(Value::Null) => None,
            Some(subject) => Some(Descriptor::from_value(subject, "subject")?),
        };
        // Anything else would be lost when the manifest is written back.
        let artifact_type = match object.get("artifactType") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => return Err(bad("the manifest's artifactType is not a string")),
        };
        Ok(Manifest {
            media_type: media_type.to_owned(),
            artifact_type,
            config,
            layers,
            subject,
            annotations: string_map(object.get("annotations"), "manifest")?,
            rest: object.into_iter().filter(|(name, _)| !KNOWN.contains(&name.as_str())).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn refuses_a_document_that_is_manifest_and_index() {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x","size":0,"digest":"{D}"}},"layers":[],"manifests":[]}}"#
        );
        for declared in [None, Some(media_type::OCI_MANIFEST), Some(media_type::OCI_INDEX)] {
            assert_eq!(Document::parse(text.as_bytes(), declared).unwrap_err().code(), Code::Protocol);
        }
    }

    #[test]
    fn refuses_a_media_type_that_differs_from_the_served_one() {
        let text = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::OCI_INDEX);
        assert!(Document::parse(text.as_bytes(), Some(media_type::OCI_INDEX)).is_ok());
        assert!(Document::parse(text.as_bytes(), Some(media_type::OCI_MANIFEST)).is_err());
    }

    #[test]
    fn refuses_sizes_that_are_no_sizes() {
        for size in ["-1", "9223372036854775808", "1.5", "\"1\""] {
            let text = format!(
                r#"{{"schemaVersion":2,"config":{{"mediaType":"x","size":{size},"digest":"{D}"}},"layers":[]}}"#
            );
            assert!(Document::parse(text.as_bytes(), None).is_err(), "{size}");
        }
    }

    #[test]
    fn refuses_an_artifact_type_that_is_no_text() {
        let text = |artifact_type: &str| {
            format!(
                r#"{{"schemaVersion":2,"config":{{"mediaType":"x","size":0,"digest":"{D}"}},"artifactType":{artifact_type}}}"#
            )
        };
        assert!(Document::parse(text("5").as_bytes(), None).is_err());
        assert_eq!(Manifest::parse(text("null").as_bytes(), None).unwrap().artifact_type, None);
        assert_eq!(Manifest::parse(text("\"a\"").as_bytes(), None).unwrap().artifact_type.as_deref(), Some("a"));
    }

    #[test]
    fn inline_data_that_is_not_the_content_is_marked_and_kept_apart() {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x","size":1,"digest":"{D}","data":"QQ=="}},"layers":[]}}"#
        );
        let config = Manifest::parse(text.as_bytes(), None).unwrap().config;
        assert_eq!((config.data.as_deref(), config.bad_data), (None, true));
    }
}
