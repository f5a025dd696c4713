//! What is merged: the content of a shared tag, the entries of its journal, and their union in deterministic bytes.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{EntryId, EntryName, Kind, Place, hex_time, parse_time};
use crate::bundle::{legacy, referrer};
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, Document, Index, Manifest, media_type};
use crate::store::StoredManifest;

/// Artifact type and configuration type of a journal entry where the registry keeps the list of referrers. Not cosign's
/// `…artifact.sig…`: cosign reads the last of those and nothing else.
pub const JOURNAL_TYPE: &str = referrer::JOURNAL;
/// The annotation of an entry: its time, eight hex digits.
pub const JOURNAL_TIME: &str = "dev.libcosign.journal";
/// The annotation of an entry among the referrers, which has no name of its own: the id of its signature, so that a list
/// shows which signatures are merged already. Recomputed when the entry is read.
pub const JOURNAL_ID: &str = "dev.libcosign.journal.id";
/// Bytes of a merged manifest or index: what registries accept.
pub const MAX_UNION: usize = 4 << 20;
/// cosign's media type of an attestation layer.
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
/// Bytes of an attestation, as bundles have them.
const MAX_ATTESTATION: u64 = 128 << 20;
/// Bytes of a simple-signing payload.
const MAX_PAYLOAD: u64 = 1 << 20;

/// The identity of a signature in a signature image: SHA-256 over media type, layer digest and the sorted annotations, each
/// with its length in front. It does not depend on who wrote the layer in which member order.
pub fn layer_identity(layer: &Descriptor) -> Digest {
    let mut text = Vec::new();
    let digest = layer.digest.to_string();
    let annotations = layer.annotations.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
    for part in [layer.media_type.as_str(), &digest].into_iter().chain(annotations) {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    Digest::sha256(&text)
}

/// The id of one item of a shared tag: a layer of a signature image, or an entry of an index (whose digest names it; what
/// else stands in the entry differs between writers, sigstore/cosign#4641).
pub fn item_id(kind: Kind, item: &Descriptor) -> EntryId {
    match kind {
        Kind::Image => EntryId::of(&layer_identity(item)),
        Kind::Index => EntryId::of(&item.digest),
    }
}

/// What a shared tag holds now.
// One lives in each machine: boxing would cost more than it saves.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone)]
pub enum Content {
    /// A signature image, or none yet.
    Image(Option<Manifest>),
    /// A fallback index, or none yet.
    Index(Option<Index>),
}

/// A union, ready to be stored.
#[derive(Debug, Clone)]
pub struct Union {
    /// The media type.
    pub media_type: String,
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// The configuration blob that has to be there before, in a signature image.
    pub config: Option<Vec<u8>>,
    /// What did not fit.
    pub left_out: Vec<EntryId>,
}

impl Content {
    /// Nothing.
    pub fn none(kind: Kind) -> Content {
        match kind {
            Kind::Image => Content::Image(None),
            Kind::Index => Content::Index(None),
        }
    }

    /// Reads what stands behind the tag of `place`.
    ///
    /// # Errors
    /// [`Code::Protocol`] and others when it is not what belongs there: a document of the other kind, or the subject
    /// itself, which GitLab answers for `sha256-<hex>` (oras-project/oras-go#1396). Writing there would destroy it.
    pub fn read(place: &Place, stored: Option<&StoredManifest>) -> Result<Content> {
        let Some(stored) = stored else { return Ok(Content::none(place.kind())) };
        let wrong = |what: &str| Error::new(Code::Protocol, format!("the tag {} holds {what}", place.tag()));
        if stored.digest == *place.subject() {
            return Err(wrong("the image itself"));
        }
        let document = Document::parse(&stored.bytes, Some(&stored.media_type));
        match (place.kind(), document.map_err(|e| e.context(format!("the tag {}", place.tag())))?) {
            (Kind::Image, Document::Manifest(manifest)) => {
                legacy::check_layer_count(manifest.layers.len())?;
                Ok(Content::Image(Some(manifest)))
            }
            (Kind::Index, Document::Index(index)) if index.media_type == media_type::OCI_INDEX => {
                Ok(Content::Index(Some(index)))
            }
            (Kind::Image, _) => Err(wrong("an index where a signature image belongs")),
            (Kind::Index, _) => Err(wrong("something that is not an OCI index")),
        }
    }

    /// The items, in order.
    pub fn items(&self) -> Vec<&Descriptor> {
        match self {
            Content::Image(image) => image.iter().flat_map(|image| &image.layers).collect(),
            Content::Index(index) => {
                index.iter().flat_map(|index| &index.manifests).map(|entry| &entry.descriptor).collect()
            }
        }
    }

    /// The ids of the items.
    pub fn ids(&self) -> BTreeSet<EntryId> {
        let kind = if matches!(self, Content::Image(_)) { Kind::Image } else { Kind::Index };
        self.items().into_iter().map(|item| item_id(kind, item)).collect()
    }

    /// This content with `own` and `others`: whoever merges the same gets the same bytes. New layers stand behind those that
    /// are there, sorted by id; entries of an index are sorted by digest.
    ///
    /// What is there stays, `own` comes before the others when there is not room for all.
    ///
    /// # Errors
    /// [`Code::TooLarge`] when not even `own` fits in 1,000 layers and 4 MiB.
    pub fn union(
        &self,
        own: Option<(EntryId, &Descriptor)>,
        others: &BTreeMap<EntryId, Descriptor>,
        docker: bool,
    ) -> Result<Union> {
        let here = self.ids();
        let mut added: BTreeMap<EntryId, Descriptor> = BTreeMap::new();
        let mut count = self.items().len();
        let mut size = self.build(&added, docker)?.bytes.len();
        let mut left_out = Vec::new();
        let own = own.map(|(id, item)| (id, item, true));
        for (id, item, must) in own.into_iter().chain(others.iter().map(|(id, item)| (*id, item, false))) {
            if here.contains(&id) || added.contains_key(&id) {
                continue;
            }
            let mut text = String::new();
            item.push_json(&mut text);
            let (new_count, new_size) = (count.saturating_add(1), size.saturating_add(text.len()).saturating_add(1));
            if new_count <= legacy::MAX_LAYERS && new_size <= MAX_UNION {
                (count, size) = (new_count, new_size);
                added.insert(id, item.clone());
            } else if must {
                let what = format!("{count} signatures in {size} bytes leave no room for another");
                return Err(Error::new(Code::TooLarge, what).with("limit", legacy::MAX_LAYERS as u64));
            } else {
                left_out.push(id);
            }
        }
        Ok(Union { left_out, ..self.build(&added, docker)? })
    }

    fn build(&self, added: &BTreeMap<EntryId, Descriptor>, docker: bool) -> Result<Union> {
        match self {
            Content::Image(image) => {
                let layers: Vec<Descriptor> = self.items().into_iter().chain(added.values()).cloned().collect();
                let image = legacy::with_layers(image.as_ref(), &layers, docker)?;
                Ok(Union {
                    media_type: image.media_type,
                    bytes: image.manifest,
                    config: Some(image.config),
                    left_out: Vec::new(),
                })
            }
            Content::Index(index) => {
                let index = referrer::with_entries(index.as_ref(), added.values())?;
                Ok(Union {
                    media_type: index.media_type.clone(),
                    bytes: index.to_json().into_bytes(),
                    config: None,
                    left_out: Vec::new(),
                })
            }
        }
    }
}

/// A journal entry: the manifest that holds one signature in a place of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: EntryName,
    /// The media type of the manifest.
    pub media_type: String,
    /// The exact bytes of the manifest.
    pub bytes: Vec<u8>,
    /// The digest of the manifest.
    pub digest: Digest,
    /// What it adds to the shared tag.
    pub item: Descriptor,
}

impl Entry {
    /// The entry of a layer. It refers to the configuration of an image with this layer alone ([`layer_config`]), so it does
    /// not depend on what else is there; with a `subject` it is a referrer, else it is stored under its tag.
    pub fn of_layer(layer: &Descriptor, time: u32, docker: bool, subject: Option<&Descriptor>) -> Entry {
        let layer = plain(layer);
        let name = EntryName { time, id: item_id(Kind::Image, &layer) };
        let config = layer_config(&layer);
        let (media_type, config_type) = match (subject, docker) {
            (Some(_), _) => (media_type::OCI_MANIFEST, JOURNAL_TYPE),
            (None, true) => (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG),
            (None, false) => (media_type::OCI_MANIFEST, media_type::OCI_CONFIG),
        };
        let mut annotations = BTreeMap::from([(JOURNAL_TIME.to_owned(), hex_time(time))]);
        if subject.is_some() {
            annotations.insert(JOURNAL_ID.to_owned(), name.id.to_string());
        }
        let config = Descriptor::of(config_type, &config);
        let kept = legacy::Kept {
            annotations: Some(&annotations),
            subject,
            artifact_type: subject.map(|_| JOURNAL_TYPE),
            rest: None,
        };
        let bytes = legacy::manifest(media_type, &config, std::slice::from_ref(&layer), &kept);
        Entry { name, media_type: media_type.to_owned(), digest: Digest::sha256(&bytes), bytes, item: layer }
    }

    /// The entry of a bundle: the bundle's own manifest, stored under a journal tag.
    ///
    /// # Errors
    /// [`Code::Protocol`] when `bytes` are not the manifest of one bundle of `place`'s subject.
    pub fn of_bundle(place: &Place, bytes: Vec<u8>, time: u32) -> Result<Entry> {
        let digest = Digest::sha256(&bytes);
        let item = bundle_item(place, &bytes, media_type::OCI_MANIFEST)?;
        let name = EntryName { time, id: EntryId::of(&digest) };
        Ok(Entry { name, media_type: media_type::OCI_MANIFEST.to_owned(), bytes, digest, item })
    }

    /// Reads an entry that someone else wrote. Whoever may push can write anything here, so it must say of itself exactly
    /// what its name says, and hold exactly one signature; `name` is what the list called it, if it did.
    ///
    /// # Errors
    /// [`Code::Protocol`], [`Code::Content`] or [`Code::TooLarge`]; such an entry is skipped and named.
    pub fn read(place: &Place, name: Option<EntryName>, referrer: bool, stored: &StoredManifest) -> Result<Entry> {
        let bad = |what: &str| Error::new(Code::Protocol, format!("the journal entry {what}"));
        let entry = match place.kind() {
            Kind::Index => {
                let name = name.ok_or_else(|| bad("has no name"))?;
                let item = bundle_item(place, &stored.bytes, &stored.media_type)?;
                let id = EntryId::of(&item.digest);
                Entry {
                    name: EntryName { time: name.time, id },
                    media_type: item.media_type.clone(),
                    bytes: stored.bytes.clone(),
                    digest: item.digest.clone(),
                    item,
                }
            }
            Kind::Image => {
                let manifest = Manifest::parse(&stored.bytes, Some(&stored.media_type))?;
                let [layer] = manifest.layers.as_slice() else { return Err(bad("does not have exactly one layer")) };
                let layer = plain(layer);
                check_layer(&layer)?;
                let time = manifest.annotations.get(JOURNAL_TIME).and_then(|text| parse_time(text));
                let time = time.ok_or_else(|| bad("does not say when it was made"))?;
                if referrer {
                    let types = [manifest.artifact_type.as_deref(), Some(manifest.config.media_type.as_str())];
                    if types != [Some(JOURNAL_TYPE); 2] {
                        return Err(bad("is of another type"));
                    }
                    if manifest.subject.as_ref().map(|subject| &subject.digest) != Some(place.subject()) {
                        return Err(bad("refers to another image"));
                    }
                }
                Entry {
                    name: EntryName { time, id: item_id(Kind::Image, &layer) },
                    media_type: manifest.media_type,
                    bytes: stored.bytes.clone(),
                    digest: Digest::sha256(&stored.bytes),
                    item: layer,
                }
            }
        };
        match name {
            Some(name) if name != entry.name => Err(bad("holds another signature or time than its name says")),
            _ => Ok(entry),
        }
    }
}

/// The configuration blob of an image with this layer alone: what a journal entry refers to.
pub fn layer_config(layer: &Descriptor) -> Vec<u8> {
    legacy::config(std::slice::from_ref(layer))
}

/// What identifies a layer, and no more: inline data and foreign members of an entry do not get into the shared tag.
fn plain(layer: &Descriptor) -> Descriptor {
    let mut plain = Descriptor::new(&layer.media_type, layer.digest.clone(), layer.size);
    plain.annotations.clone_from(&layer.annotations);
    plain
}

/// The caps and checks of `.sig` and `.att`, for a layer that only claims to belong there.
fn check_layer(layer: &Descriptor) -> Result<()> {
    let cap = match layer.media_type.as_str() {
        media_type::SIMPLE_SIGNING => MAX_PAYLOAD,
        DSSE => MAX_ATTESTATION,
        other => return Err(Error::new(Code::Protocol, format!("the journal entry holds a layer of type {other:?}"))),
    };
    if layer.size > cap {
        let what = format!("the journal entry's layer declares {} bytes, the limit is {cap}", layer.size);
        return Err(Error::new(Code::TooLarge, what).with("limit", cap));
    }
    if !layer.annotations.contains_key(legacy::SIGNATURE) {
        return Err(Error::new(Code::Protocol, "the journal entry's layer carries no signature"));
    }
    Ok(())
}

/// The index entry of a bundle's manifest, as a registry with the referrers API would list it.
fn bundle_item(place: &Place, bytes: &[u8], declared: &str) -> Result<Descriptor> {
    let bad = |what: &str| Error::new(Code::Protocol, format!("the bundle's manifest {what}"));
    let manifest = Manifest::parse(bytes, Some(declared))?;
    if manifest.subject.as_ref().map(|subject| &subject.digest) != Some(place.subject()) {
        return Err(bad("refers to another image"));
    }
    let [layer] = manifest.layers.as_slice() else { return Err(bad("does not have exactly one layer")) };
    if !layer.media_type.starts_with(media_type::SIGSTORE_BUNDLE_PREFIX) || layer.size > MAX_ATTESTATION {
        return Err(bad("does not hold a bundle"));
    }
    let mut item = Descriptor::of(&manifest.media_type, bytes);
    item.artifact_type = Some(manifest.artifact_type.unwrap_or_else(|| manifest.config.media_type.clone()));
    item.annotations = manifest.annotations;
    Ok(item)
}
