//! How a bundle hangs on an image: a manifest whose one layer is the bundle and whose `subject` is the image, listed by
//! the referrers API or, where a registry has none, by the index behind the fallback tag `sha256-<hex>` (OCI
//! distribution-spec 1.1, "Referrers").
//!
//! The manifest is byte for byte what cosign 3.1 writes. Lists are not believed: cosign 3.1.1 writes the configuration's
//! type as `artifactType` into the fallback index, and some registries do so on their own, so whether something is a
//! bundle is seen in its manifest, never in its entry.

use std::collections::BTreeMap;

use super::sigstore::{MAX_BYTES, MEDIA_TYPE};
use crate::digest::Digest;
use crate::encoding::go_json;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, Document, Index, IndexEntry, Manifest, media_type};

/// The annotation that says what the bundle holds; cosign writes `dsse-envelope`.
pub const CONTENT: &str = "dev.sigstore.bundle.content";
/// The annotation that repeats the statement's predicate type. Unsigned.
pub const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// The annotation with the time of writing, RFC 3339 with seconds, UTC. Unsigned.
pub const CREATED: &str = "org.opencontainers.image.created";

/// The configuration of a bundle's manifest.
pub const CONFIG: &[u8] = b"{}";

/// The artifact type of this library's own journal entries, which are no bundles.
pub const JOURNAL: &str = "application/vnd.dev.libcosign.journal.v1+json";

/// A fallback index holds at most this many entries, and this many bundles of one image are read.
pub const MAX_REFERRERS: usize = 1000;

/// A bundle ready to be stored: two blobs and the manifest that ties them to the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleImage {
    /// The manifest, exact bytes; stored by its digest.
    pub manifest: Vec<u8>,
    /// The configuration blob, [`CONFIG`].
    pub config: Descriptor,
    /// The descriptor of the bundle's blob.
    pub layer: Descriptor,
    /// The entry of a list of referrers.
    pub entry: Descriptor,
}

/// The manifest that hangs `bundle` on `subject`.
///
/// `subject` has the media type, digest and size of the image's own manifest; `created` is the time in RFC 3339, such as
/// `2026-11-23T06:41:36Z`.
pub fn image(bundle: &[u8], predicate_type: &str, subject: &Descriptor, created: &str) -> BundleImage {
    let mut config = Descriptor::of(media_type::EMPTY, CONFIG);
    // Real cosign finds bundles to clean by the configuration's artifact type, and others by the manifest's.
    config.artifact_type = Some(MEDIA_TYPE.to_owned());
    let layer = Descriptor::of(MEDIA_TYPE, bundle);
    let annotations: BTreeMap<String, String> =
        [(CONTENT, "dsse-envelope"), (PREDICATE_TYPE, predicate_type), (CREATED, created)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let subject = Descriptor::new(&subject.media_type, subject.digest.clone(), subject.size);

    let mut out = format!("{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"config\":", media_type::OCI_MANIFEST);
    config.push_json(&mut out);
    out.push_str(",\"layers\":[");
    layer.push_json(&mut out);
    out.push_str("],\"annotations\":");
    go_json::push_string_map(&mut out, annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    out.push_str(",\"subject\":");
    subject.push_json(&mut out);
    out.push_str(&format!(",\"artifactType\":\"{MEDIA_TYPE}\"}}"));

    let manifest = out.into_bytes();
    let mut entry = Descriptor::of(media_type::OCI_MANIFEST, &manifest);
    entry.artifact_type = Some(MEDIA_TYPE.to_owned());
    entry.annotations = annotations;
    BundleImage { manifest, config, layer, entry }
}

/// Whether an entry of a list of referrers may be a bundle: any image manifest but this library's journal. Its artifact
/// type and annotations decide nothing else, since writers and registries get them wrong.
pub fn may_be_bundle(entry: &Descriptor) -> bool {
    let is_manifest = matches!(entry.media_type.as_str(), media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST | "");
    is_manifest && entry.artifact_type.as_deref() != Some(JOURNAL)
}

/// The layer that is the bundle, or `None` when the manifest is something else, such as an SBOM.
///
/// # Errors
/// [`Code::SignatureInvalid`] when it carries a bundle beside other layers, [`Code::TooLarge`] when the bundle is declared
/// larger than 4 MiB: such a signature is refused, not overlooked.
pub fn bundle_layer(manifest: &Manifest) -> Result<Option<&Descriptor>> {
    if manifest.artifact_type.as_deref() == Some(JOURNAL) || manifest.config.media_type == JOURNAL {
        return Ok(None);
    }
    let is_bundle = |layer: &&Descriptor| layer.media_type.starts_with(media_type::SIGSTORE_BUNDLE_PREFIX);
    let Some(layer) = manifest.layers.iter().find(is_bundle) else { return Ok(None) };
    if manifest.layers.len() > 1 {
        return Err(Error::new(
            Code::SignatureInvalid,
            format!("a bundle's manifest has one layer, this one has {}", manifest.layers.len()),
        ));
    }
    if layer.size > MAX_BYTES as u64 {
        return Err(Error::new(
            Code::TooLarge,
            format!("the bundle is declared with {} bytes, the limit is {MAX_BYTES}", layer.size),
        ));
    }
    Ok(Some(layer))
}

/// The fallback tag of `subject`: `sha256-<hex>`.
pub fn fallback_tag(subject: &Digest) -> String {
    format!("{}-{}", subject.algorithm_name(), subject.hex())
}

/// What stands behind a fallback tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// An index of referrers.
    Index(Index),
    /// No list: the subject itself, or something that is no index. GitLab's registry answers a tag of this form with the
    /// image of that digest. Reads as "none"; nothing can be written there.
    Alias,
}

/// Reads what a registry or layout has behind the fallback tag of `subject`.
///
/// # Errors
/// [`Code::Protocol`] when it is no manifest or index at all, [`Code::TooLarge`] for more than [`MAX_REFERRERS`] entries.
pub fn parse_fallback(bytes: &[u8], declared: Option<&str>, subject: &Digest) -> Result<Fallback> {
    if subject.matches(bytes) {
        return Ok(Fallback::Alias);
    }
    match Document::parse(bytes, declared)? {
        Document::Manifest(_) => Ok(Fallback::Alias),
        Document::Index(index) if index.manifests.len() > MAX_REFERRERS => Err(Error::new(
            Code::TooLarge,
            format!("the list of referrers has {} entries, the limit is {MAX_REFERRERS}", index.manifests.len()),
        )),
        Document::Index(index) => Ok(Fallback::Index(index)),
    }
}

/// `existing` with the entries of `added` that it has not, sorted by digest as go-containerregistry stores it, so that the
/// same entries are the same bytes whoever wrote them; every other entry and member as it was.
///
/// # Errors
/// [`Code::TooLarge`] over [`MAX_REFERRERS`] entries.
pub fn with_entries<'a>(existing: Option<&Index>, added: impl IntoIterator<Item = &'a Descriptor>) -> Result<Index> {
    let mut index = existing.cloned().unwrap_or_else(Index::empty);
    for entry in added {
        if !index.manifests.iter().any(|old| old.descriptor.digest == entry.digest) {
            index.manifests.push(IndexEntry::new(entry.clone()));
        }
    }
    let count = index.manifests.len();
    if count > MAX_REFERRERS {
        let what = format!("the list of referrers would have {count} entries, the limit is {MAX_REFERRERS}");
        return Err(Error::new(Code::TooLarge, what).with("limit", MAX_REFERRERS as u64));
    }
    index.manifests.sort_by_cached_key(|entry| entry.descriptor.digest.to_string());
    Ok(index)
}
