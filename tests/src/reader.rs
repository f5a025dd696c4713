//! Whoever reads a registry without this library: what is signed, read from the in-process registry's own memory with a
//! JSON parser and a hash, in the standard places and in the journal.
//!
//! It also says whether what lies there is whole: every manifest that a tag or a list names, with each blob that it names,
//! under its digest and size. A signature that was stored by halves would break that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cosign_core::PublicKey;
use serde_json::Value;

use crate::registry::{Referrers, Registry, digest};

/// A signature as it lies there: what was signed, and the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `legacy` or `bundle`.
    pub format: &'static str,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Found {
    /// Whether `key` made it.
    pub fn is_by(&self, key: &PublicKey) -> bool {
        key.verify(&self.signed, &self.signature).is_ok()
    }
}

/// What is signed of one image.
#[derive(Debug, Default)]
pub struct Signatures {
    /// In the tag `.sig`, in the list of referrers or the index that stands for it.
    pub standard: Vec<Found>,
    /// In entries of the journal.
    pub journal: Vec<Found>,
    /// Manifests that an index names and that are not there.
    pub broken: Vec<String>,
}

impl Signatures {
    /// How many signatures of `format` in the standard places `key` made.
    pub fn count(&self, format: &str, key: &PublicKey) -> usize {
        self.standard.iter().filter(|found| found.format == format && found.is_by(key)).count()
    }

    /// Whether `key` has a signature of `format` in the standard places or in the journal.
    pub fn is_anywhere(&self, format: &str, key: &PublicKey) -> bool {
        self.standard.iter().chain(&self.journal).any(|found| found.format == format && found.is_by(key))
    }
}

fn text<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(json: &'a Value, name: &str) -> &'a [Value] {
    json.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

struct Reader<'a> {
    registry: &'a Registry,
    repository: &'a str,
}

impl Reader<'_> {
    /// A blob, which must be what its descriptor says.
    fn blob(&self, descriptor: &Value, of: &str) -> Vec<u8> {
        let named = text(descriptor, "/digest");
        let bytes = self.registry.blob(self.repository, named);
        let bytes = bytes.unwrap_or_else(|| panic!("{of} names the blob {named}, which is not there"));
        assert_eq!(digest(&bytes), named, "{of}");
        assert_eq!(Some(bytes.len() as u64), descriptor["size"].as_u64(), "{of}: size of {named}");
        bytes
    }

    /// A manifest with all its blobs.
    fn whole(&self, bytes: &[u8], of: &str) -> Value {
        let json: Value = serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{of}: {error}"));
        self.blob(&json["config"], of);
        for layer in list(&json, "layers") {
            self.blob(layer, of);
        }
        json
    }

    fn legacy(&self, manifest: &Value, of: &str) -> Vec<Found> {
        let layers = list(manifest, "layers").iter();
        let read = |layer: &Value| {
            let signature = text(layer, "/annotations/dev.cosignproject.cosign~1signature");
            let signature = STANDARD.decode(signature).unwrap_or_else(|error| panic!("{of}: {error}"));
            Found { format: "legacy", signed: self.blob(layer, of), signature }
        };
        layers.map(read).collect()
    }

    fn bundle(&self, manifest: &Value, subject: &str, of: &str) -> Option<Found> {
        if text(manifest, "/subject/digest") != subject {
            return None;
        }
        let layer = list(manifest, "layers").iter().find(|l| text(l, "/mediaType").contains("sigstore.bundle"))?;
        let bundle: Value = serde_json::from_slice(&self.blob(layer, of)).expect("a bundle");
        let payload = STANDARD.decode(text(&bundle, "/dsseEnvelope/payload")).expect("a payload");
        let signature = STANDARD.decode(text(&bundle, "/dsseEnvelope/signatures/0/sig")).expect("a signature");
        let kind = text(&bundle, "/dsseEnvelope/payloadType");
        let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
        signed.extend(payload);
        Some(Found { format: "bundle", signed, signature })
    }

    fn tagged(&self, tag: &str) -> Option<Vec<u8>> {
        self.registry.manifest(self.repository, tag).map(|(_, bytes)| bytes)
    }
}

/// Reads everything that is signed of `image` (`sha256:…`) in `repository`.
///
/// # Panics
/// When a blob that a manifest names is missing, or something is not what its descriptor says.
pub fn read(registry: &Registry, repository: &str, image: &str) -> Signatures {
    let reader = Reader { registry, repository };
    let mut found = Signatures::default();
    let base = image.replace(':', "-");
    let api = registry.switches().referrers == Referrers::On;

    let tag = format!("{base}.sig");
    if let Some(bytes) = reader.tagged(&tag) {
        found.standard.extend(reader.legacy(&reader.whole(&bytes, &tag), &tag));
    }
    if let Some(bytes) = reader.tagged(&base) {
        let index: Value = serde_json::from_slice(&bytes).expect("an index");
        for entry in list(&index, "manifests") {
            let named = text(entry, "/digest");
            let Some(manifest) = reader.tagged(named) else {
                found.broken.push(named.to_owned());
                continue;
            };
            assert_eq!(Some(manifest.len() as u64), entry["size"].as_u64(), "{base}: size of {named}");
            let bundle = reader.bundle(&reader.whole(&manifest, named), image, named);
            found.standard.extend(bundle.filter(|_| !api));
        }
    }
    for (named, _, bytes) in registry.manifests(repository) {
        let Ok(json) = serde_json::from_slice::<Value>(&bytes) else { continue };
        if text(&json, "/subject/digest") != image {
            continue;
        }
        let json = reader.whole(&bytes, &named);
        if text(&json, "/artifactType").contains("libcosign.journal") {
            found.journal.extend(reader.legacy(&json, &named));
        } else if api {
            found.standard.extend(reader.bundle(&json, image, &named));
        }
    }
    for tag in registry.tags(repository).iter().filter(|tag| tag.starts_with(&base)) {
        let rest = &tag[base.len()..];
        let bytes = reader.tagged(tag).expect("a tag names a manifest");
        if rest.starts_with(".sig.j") {
            found.journal.extend(reader.legacy(&reader.whole(&bytes, tag), tag));
        } else if rest.starts_with(".j") {
            found.journal.extend(reader.bundle(&reader.whole(&bytes, tag), image, tag));
        }
    }
    found
}
