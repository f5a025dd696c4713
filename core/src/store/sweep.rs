//! Taking away: one manifest after the other, and never one that somebody else still calls by another name.
//!
//! Registries differ: some delete tags and digests, Distribution 2.8 digests only, some nothing. To delete a digest takes
//! every name of it along, so what else bears its name is looked for first, and nothing that could be an image goes.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::tags::Tags;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::{Document, media_type};

/// Tags whose digest is looked up before a digest is deleted.
const MAX_NAMES: usize = 256;
/// cosign's media type of an attestation layer.
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
/// How the media types of file system layers begin.
const IMAGE_LAYERS: [&str; 2] = ["application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."];
/// Lookups under way together.
const AT_ONCE: usize = 16;

/// What was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Its name: `registry/repo:tag`, `registry/repo@sha256:…`, `oci:PATH:…`.
    pub place: String,
    /// Whether the manifest itself went, with every name of it, because the registry deletes no tags or it has none.
    pub by_digest: bool,
    /// What else is to be known of it.
    pub note: Option<String>,
}

/// What could not be taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub place: String,
    /// Why.
    pub reason: String,
}

/// What was taken away, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// In the order in which it went.
    pub removed: Vec<Removed>,
    /// What is still there.
    pub kept: Vec<Kept>,
}

impl Swept {
    /// `removed` as JSON.
    pub fn removed_json(&self) -> Value {
        let one = |r: &Removed| json!({"place": r.place, "by_digest": r.by_digest, "note": r.note});
        self.removed.iter().map(one).collect()
    }

    /// `kept` as JSON.
    pub fn kept_json(&self) -> Value {
        self.kept.iter().map(|k| json!({"place": k.place, "reason": k.reason})).collect()
    }

    /// The outcome of a sweep: one that failed on the way says what it had done.
    pub(super) fn ended<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| error.with("removed", self.removed_json()).with("kept", self.kept_json()))
    }

    pub(super) fn keep(&mut self, place: String, reason: impl Into<String>) {
        self.kept.push(Kept { place, reason: reason.into() });
    }

    pub(super) fn remove(&mut self, place: String, by_digest: bool, note: Option<String>) {
        self.removed.push(Removed { place, by_digest, note });
    }
}

/// The names of all manifests in a repository, as far as they could be learned.
struct Names {
    of: BTreeMap<String, Vec<String>>,
    unknown: Option<String>,
}

/// Deletes from the signatures' repository.
pub(super) struct Sweeper<'a> {
    tags: &'a Tags,
    call: &'a Call,
    /// Tags that are to go; they do not count as somebody's name for a digest.
    leaving: BTreeSet<String>,
    names: Option<Names>,
    // The registry was seen to delete no tags.
    no_tags: bool,
    pub(super) swept: Swept,
}

impl<'a> Sweeper<'a> {
    pub(super) fn new(tags: &'a Tags, leaving: impl IntoIterator<Item = String>, call: &'a Call) -> Sweeper<'a> {
        let leaving = leaving.into_iter().collect();
        Sweeper { tags, call, leaving, names: None, no_tags: false, swept: Swept::default() }
    }

    fn tag_place(&self, tag: &str) -> String {
        self.tags.signature_place(tag)
    }

    /// Removes a tag; where the registry deletes none, its manifest, if `or_digest` allows.
    pub(super) async fn tag(&mut self, tag: &str, or_digest: bool) -> Result<()> {
        let (host, repository) = self.tags.at();
        if !self.no_tags {
            match self.tags.transport.delete_manifest(host, repository, tag, self.call).await {
                Ok(true) => {
                    self.swept.remove(self.tag_place(tag), false, None);
                    return Ok(());
                }
                Ok(false) => return Ok(()),
                Err(error) if error.code() == Code::Unsupported => self.no_tags = true,
                Err(error) => return Err(error),
            }
        }
        if !or_digest {
            let why = "the registry deletes no tags, and deleting the manifest would delete the signature";
            self.swept.keep(self.tag_place(tag), why);
            return Ok(());
        }
        let Some(found) = self.tags.get(tag, self.call).await? else { return Ok(()) };
        let place = self.tag_place(tag);
        if !belongs(tag, &found.bytes, &found.media_type) {
            let why = "the registry deletes no tags, and the manifest behind this one is not what belongs there";
            self.swept.keep(place, why);
            return Ok(());
        }
        self.digest(place, &found.digest).await.map(drop)
    }

    /// Removes a manifest by its digest, unless it has names that are to stay. Whether it is gone.
    pub(super) async fn digest(&mut self, place: String, digest: &Digest) -> Result<bool> {
        let names = self.names().await?;
        let others: Vec<&str> = names.of.get(&digest.to_string()).into_iter().flatten().map(String::as_str).collect();
        if !others.is_empty() {
            let shown = others.iter().take(5).copied().collect::<Vec<_>>().join(", ");
            let why = format!("its manifest is also named {shown}; deleting it would take that along");
            self.swept.keep(place, why);
            return Ok(false);
        }
        let note = names.unknown.clone();
        let (host, repository) = self.tags.at();
        if self.tags.transport.delete_manifest(host, repository, &digest.to_string(), self.call).await? {
            self.swept.remove(place, true, note);
        }
        Ok(true)
    }

    /// What the tags of the repository name, but those that are to go.
    async fn names(&mut self) -> Result<&Names> {
        if self.names.is_none() {
            let names = self.read_names().await?;
            self.names = Some(names);
        }
        self.names.as_ref().ok_or_else(|| Error::new(Code::Internal, "names that were read are not there"))
    }

    async fn read_names(&self) -> Result<Names> {
        let (host, repository) = self.tags.at();
        let mut names = Names { of: BTreeMap::new(), unknown: None };
        let unknown = |why: &str| Some(format!("whether it had other names is not known: {why}"));
        let listed = match self.tags.transport.list_all_tags(host, repository, "", self.call).await {
            Ok(list) => list.map(|list| list.tags).unwrap_or_default(),
            Err(error) if super::tags::refuses_lists(&error) || error.code() == Code::TooLarge => {
                names.unknown = unknown(error.message());
                return Ok(names);
            }
            Err(error) => return Err(error),
        };
        let staying: Vec<String> = listed.into_iter().filter(|tag| !self.leaving.contains(tag)).collect();
        if staying.len() > MAX_NAMES {
            names.unknown = unknown(&format!("the repository has {} tags, {MAX_NAMES} are looked at", staying.len()));
        }
        let heads = staying.into_iter().take(MAX_NAMES).map(|tag| async move {
            let head = self.tags.transport.head_manifest(host, repository, &tag, self.call).await;
            (tag, head)
        });
        let mut heads = stream::iter(heads).buffered(AT_ONCE);
        while let Some((tag, head)) = heads.next().await {
            if let Some(head) = head? {
                names.of.entry(head.digest.to_string()).or_default().push(tag);
            }
        }
        Ok(names)
    }
}

/// Whether a manifest is what belongs behind `tag`: signatures, attestations, a bundle; behind `.sbom` anything that is no
/// image. Whoever may push can let a tag name something else, which is never deleted by its digest for that.
fn belongs(tag: &str, bytes: &[u8], media_type: &str) -> bool {
    let declared = Some(media_type).filter(|declared| !declared.is_empty());
    let Ok(Document::Manifest(manifest)) = Document::parse(bytes, declared) else { return false };
    let is_ours = |layer: &str| {
        matches!(layer, media_type::SIMPLE_SIGNING | DSSE) || layer.starts_with(media_type::SIGSTORE_BUNDLE_PREFIX)
    };
    let is_image = |layer: &str| IMAGE_LAYERS.iter().any(|prefix| layer.starts_with(prefix));
    let sbom = tag.ends_with(".sbom");
    manifest.layers.iter().map(|layer| layer.media_type.as_str()).all(|layer| match sbom {
        true => !layer.is_empty() && !is_image(layer),
        false => is_ours(layer),
    })
}
