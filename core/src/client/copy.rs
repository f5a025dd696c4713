//! copy: an image with all that hangs on it, from registry or layout to registry or layout. Blobs first, then the image,
//! then what refers to it, its signatures last; they are merged into those that the destination has.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::Client;
use crate::bundle::legacy;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, Document, ImageRef, Manifest};
use crate::payload::statement;
use crate::store::journal::{Content, Kind, Place, item_id};
use crate::store::layout::LayoutTarget;
use crate::store::{
    Kept, Protection, Referring, RegistryTarget, Store, StoredManifest, Tags, Target, bundle_predicate,
};

/// Manifests of one image, children included.
const MAX_MANIFESTS: usize = 1000;
/// How deep indexes may stand in indexes.
const MAX_DEPTH: usize = 8;
/// Blobs that are copied together.
const AT_ONCE: usize = 4;

/// What hangs on an image, as cosign's `--only` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CopyKind {
    /// `sig`: signatures of both formats.
    Signatures,
    /// `att`: attestations of both formats.
    Attestations,
    /// `sbom`: the tag `.sbom`.
    Sboms,
}

impl CopyKind {
    /// `sig`, `att` or `sbom`.
    ///
    /// # Errors
    /// [`Code::Argument`] for any other.
    pub fn parse(name: &str) -> Result<CopyKind> {
        match name {
            "sig" => Ok(CopyKind::Signatures),
            "att" => Ok(CopyKind::Attestations),
            "sbom" => Ok(CopyKind::Sboms),
            other => {
                let shown: String = other.chars().take(40).collect();
                Err(Error::new(Code::Argument, format!("{shown:?} is not sig, att or sbom")))
            }
        }
    }
}

/// How to copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Copies only these; empty: the image and all that hangs on it.
    pub only: Vec<CopyKind>,
    /// Whether the destination's name may be taken from another image, and its SBOM replaced.
    pub force: bool,
    /// `os/architecture[/variant]`: of an index only the image for this platform, with what hangs on it.
    pub platform: Option<String>,
}

/// What a copy did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    digest: Digest,
    from: String,
    to: String,
    blobs_sent: usize,
    blobs_there: usize,
    manifests: usize,
    signatures: Vec<Protection>,
    left: Vec<Kept>,
}

impl Copied {
    /// The digest of what was copied.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The source, pinned by it.
    pub fn source(&self) -> &str {
        &self.from
    }

    /// The destination, pinned by it.
    pub fn destination(&self) -> &str {
        &self.to
    }

    /// Blobs that were sent or mounted.
    pub fn blobs_sent(&self) -> usize {
        self.blobs_sent
    }

    /// Blobs that were there.
    pub fn blobs_there(&self) -> usize {
        self.blobs_there
    }

    /// Signatures, attestations and others that the destination did not have, and how well each is stored.
    pub fn added(&self) -> &[Protection] {
        &self.signatures
    }

    /// What hangs on the source and was not copied, and why.
    pub fn left(&self) -> &[Kept] {
        &self.left
    }

    /// How well the least protected of what was added is stored.
    pub fn protection(&self) -> &Protection {
        let rank = |protection: &&Protection| match protection {
            Protection::Stored => 0,
            Protection::StoredUnprotected(_) => 1,
            Protection::JournalOnly(_) => 2,
        };
        self.signatures.iter().max_by_key(rank).unwrap_or(&Protection::Stored)
    }

    /// The result as one line of JSON.
    pub fn json(&self) -> String {
        let left: Vec<_> = self.left.iter().map(|one| json!({"place": one.place, "reason": one.reason})).collect();
        json!({
            "digest": self.digest.to_string(),
            "source": self.from,
            "destination": self.to,
            "manifests": self.manifests,
            "blobs_sent": self.blobs_sent,
            "blobs_there": self.blobs_there,
            "added": self.signatures.len(),
            "status": self.protection().name(),
            "reason": self.protection().reason(),
            "left": left,
        })
        .to_string()
    }
}

/// One copy on its way.
struct Copier<'a> {
    /// Where the image is, and where its signatures are.
    image: &'a dyn Store,
    signatures: &'a dyn Store,
    target: &'a dyn Target,
    options: &'a CopyOptions,
    at_once: usize,
    call: &'a Call,
    done: Copied,
}

/// A manifest or index of the image.
struct Node {
    descriptor: Descriptor,
    stored: StoredManifest,
}

impl Client {
    /// Copies `from` to `to`, each in a registry or a layout: the image (an index with all its children), what refers to
    /// it, its attestations and SBOM, its signatures last.
    ///
    /// Signatures are merged into those at the destination, without a journal being copied: what a concurrent signer has
    /// overwritten at the source within the last day is copied with the rest. The destination keeps them beside the image
    /// even where this client's signatures have a repository of their own, which is read then, as in cosign.
    ///
    /// # Errors
    /// [`Code::ImageNotFound`], [`Code::FileExists`] when the destination's name means something else and is not to be
    /// replaced, [`Code::Argument`] for a platform that the image does not have, and the codes of both places. What was
    /// copied before the error stays, and is not sent again the next time.
    pub async fn copy(&self, from: &ImageRef, to: &ImageRef, options: &CopyOptions, call: &Call) -> Result<Copied> {
        call.check()?;
        let (image, signatures) = (self.plain_store(from)?, self.store(from, None)?);
        let root = root(from, image.as_ref(), options.platform.as_deref(), call).await?;
        let digest = root.descriptor.digest.clone();
        if to.digest().is_some_and(|wanted| *wanted != digest) {
            let what = format!("{to} names another digest than {}", image.pinned(&digest));
            return Err(Error::new(Code::Argument, what));
        }
        // A layout that is not to be touched is refused before it is made.
        self.plain_store(to)?;
        let target: Box<dyn Target> = match to {
            ImageRef::Registry(to) => Box::new(RegistryTarget::new(Tags::new(self.transport()?, to.clone()))),
            ImageRef::Layout(to) => Box::new(LayoutTarget::new(to.clone(), call).await?),
        };
        let done = Copied {
            from: image.pinned(&digest),
            to: target.pinned(&digest),
            digest,
            blobs_sent: 0,
            blobs_there: 0,
            manifests: 0,
            signatures: Vec::new(),
            left: Vec::new(),
        };
        let mut copier = Copier {
            image: image.as_ref(),
            signatures: signatures.as_ref(),
            target: target.as_ref(),
            options,
            at_once: if to.is_local() { 1 } else { AT_ONCE },
            call,
            done,
        };
        copier.run(root, to).await?;
        Ok(copier.done)
    }
}

/// What `from` names, or its child for `platform`.
async fn root(from: &ImageRef, store: &dyn Store, platform: Option<&str>, call: &Call) -> Result<Node> {
    let missing =
        || Error::new(Code::ImageNotFound, format!("{from} does not exist")).with("reference", from.to_string());
    let stored = match from {
        ImageRef::Registry(_) => store.itself(call).await?,
        ImageRef::Layout(_) => {
            let found = store.image(call).await?;
            let descriptor = found.descriptor.ok_or_else(missing)?;
            store.manifest(&descriptor, call).await?
        }
    };
    let root = Node::of(stored.ok_or_else(missing)?).map_err(|error| error.context(from))?;
    let Some(platform) = platform else { return Ok(root) };
    let Document::Index(index) = root.document()? else {
        return Err(Error::new(Code::Argument, format!("{from} is no index, so it has no platforms to choose from")));
    };
    let fits = |entry: &&Descriptor| platform_fits(entry, platform);
    let mut found = index.manifests.iter().map(|entry| &entry.descriptor).filter(fits);
    let child = found
        .next()
        .ok_or_else(|| Error::new(Code::Argument, format!("{from} has no image for the platform {platform:?}")))?;
    if found.any(|other| other.digest != child.digest) {
        let what = format!("{from} has several images for the platform {platform:?}: name the variant, too");
        return Err(Error::new(Code::Argument, what));
    }
    let stored = store.manifest(child, call).await?.ok_or_else(missing)?;
    Node::of(stored)
}

/// Whether an index's entry is for `os/architecture[/variant]`.
fn platform_fits(entry: &Descriptor, platform: &str) -> bool {
    let Some(serde_json::Value::Object(of)) = entry.rest.get("platform") else { return false };
    let text = |name: &str| of.get(name).and_then(serde_json::Value::as_str);
    let mut wanted = platform.split('/');
    let (os, architecture, variant, more) = (wanted.next(), wanted.next(), wanted.next(), wanted.next());
    more.is_none()
        && architecture.is_some()
        && text("os") == os
        && text("architecture") == architecture
        && (variant.is_none() || text("variant") == variant)
}

impl Node {
    fn of(stored: StoredManifest) -> Result<Node> {
        let declared = Some(stored.media_type.as_str()).filter(|declared| !declared.is_empty());
        let document = Document::parse(&stored.bytes, declared)?;
        let media_type = document.media_type().to_owned();
        let descriptor = Descriptor::new(&media_type, stored.digest.clone(), stored.bytes.len() as u64);
        Ok(Node { descriptor, stored: StoredManifest { media_type, ..stored } })
    }

    fn document(&self) -> Result<Document> {
        Document::parse(&self.stored.bytes, Some(&self.stored.media_type))
    }
}

impl Copier<'_> {
    async fn run(&mut self, root: Node, to: &ImageRef) -> Result<()> {
        let whole = self.options.only.is_empty();
        let mut there = false;
        if whole {
            match self.target.existing(self.call).await? {
                Some(digest) if digest == root.descriptor.digest => there = true,
                Some(_) if !self.options.force => {
                    let what = format!("{to} is there already and is another image; replace it with force");
                    return Err(Error::new(Code::FileExists, what).with("place", to.to_string()));
                }
                _ => {}
            }
        }
        let nodes = self.tree(root).await?;
        self.done.manifests = nodes.len();
        if whole && !there {
            for node in &nodes {
                if let Document::Manifest(manifest) = node.document()? {
                    self.blobs(&manifest, true).await?;
                }
            }
            // Children before those who name them: the root is the last.
            for (n, node) in nodes.iter().enumerate() {
                let named = n.saturating_add(1) == nodes.len();
                self.target.manifest(&node.stored, named, self.call).await?;
            }
        }
        let mut found = Vec::new();
        for node in &nodes {
            let referring = self.referring(&node.descriptor.digest).await?;
            found.push(self.attached(node, referring).await?);
        }
        for (node, attached) in nodes.iter().zip(&found) {
            if attached.referrers.is_empty() {
                continue;
            }
            let there = self.target.referrers(&node.descriptor.digest, self.call).await?;
            for stored in attached.referrers.iter().filter(|stored| !there.contains(&stored.digest)) {
                self.referrer(node, stored).await?;
            }
        }
        for (node, attached) in nodes.iter().zip(&found) {
            if let Some(stored) = &attached.sbom {
                self.sbom(node, stored).await?;
            }
        }
        for suffix in [".att", legacy::SUFFIX_2021, legacy::SUFFIX] {
            for (node, attached) in nodes.iter().zip(&found) {
                let layers: Vec<Descriptor> =
                    attached.layers.iter().filter(|(of, _)| of == suffix).map(|(_, layer)| layer.clone()).collect();
                if !layers.is_empty() {
                    let (subject, from) = (&node.descriptor, self.signatures);
                    let added = self.target.layers(subject, suffix, &layers, from, self.call).await?;
                    self.done.signatures.extend(added);
                }
            }
        }
        Ok(())
    }

    /// The root and all below it, children first.
    async fn tree(&self, root: Node) -> Result<Vec<Node>> {
        let mut seen = BTreeSet::from([root.descriptor.digest.to_string()]);
        let mut nodes = vec![root];
        let (mut from, mut depth) = (0, 0);
        // Breadth first; reversed, every child stands before its parent.
        while from < nodes.len() {
            let level = nodes.len();
            let mut children = Vec::new();
            for node in nodes.iter().take(level).skip(from) {
                if let Document::Index(index) = node.document()? {
                    let new = index.manifests.into_iter().map(|entry| entry.descriptor);
                    children.extend(new.filter(|child| seen.insert(child.digest.to_string())));
                }
            }
            depth += 1;
            if nodes.len().saturating_add(children.len()) > MAX_MANIFESTS || depth > MAX_DEPTH {
                let what = format!("the image has more than {MAX_MANIFESTS} manifests, or indexes {MAX_DEPTH} deep");
                return Err(Error::new(Code::TooLarge, what).with("limit", MAX_MANIFESTS as u64));
            }
            from = level;
            for child in children {
                let Some(stored) = self.image.manifest(&child, self.call).await? else {
                    let what = format!("{} is named by the index and missing", self.image.pinned(&child.digest));
                    return Err(Error::new(Code::Content, what));
                };
                nodes.push(Node::of(stored)?);
            }
        }
        nodes.reverse();
        Ok(nodes)
    }

    /// The blobs of a manifest of the image, or of what hangs on it.
    async fn blobs(&mut self, manifest: &Manifest, of_image: bool) -> Result<()> {
        let from = if of_image { self.image } else { self.signatures };
        let mut seen = BTreeSet::new();
        let all = std::iter::once(&manifest.config).chain(&manifest.layers);
        let wanted: Vec<&Descriptor> =
            all.filter(|blob| !is_foreign(blob) && seen.insert(blob.digest.to_string())).collect();
        let copies: Vec<_> = wanted.into_iter().map(|blob| self.target.blob(blob, from, self.call)).collect();
        let sent: Vec<bool> = stream::iter(copies).buffer_unordered(self.at_once).try_collect().await?;
        let new = sent.iter().filter(|sent| **sent).count();
        self.done.blobs_sent = self.done.blobs_sent.saturating_add(new);
        self.done.blobs_there = self.done.blobs_there.saturating_add(sent.len().saturating_sub(new));
        Ok(())
    }

    fn wants(&self, kind: CopyKind) -> bool {
        self.options.only.is_empty() || self.options.only.contains(&kind)
    }

    async fn referring(&self, subject: &Digest) -> Result<Referring> {
        if self.options.only == [CopyKind::Sboms] {
            return Ok(Referring::default());
        }
        self.signatures.referring(subject, self.call).await
    }

    /// What hangs on a node: read before anything of it is written.
    async fn attached(&mut self, node: &Node, referring: Referring) -> Result<Attached> {
        let subject = &node.descriptor.digest;
        let mut attached = Attached::default();
        let mut suffixes = Vec::new();
        if self.wants(CopyKind::Signatures) {
            suffixes.extend([legacy::SUFFIX, legacy::SUFFIX_2021]);
        }
        if self.wants(CopyKind::Attestations) {
            suffixes.push(".att");
        }
        for suffix in suffixes.iter().copied() {
            let Some(stored) = self.signatures.signature_image(subject, suffix, self.call).await? else { continue };
            let place = self.signatures.signature_reference(subject, suffix);
            match Content::read(&Place::image(subject, suffix)?, Some(&stored)) {
                Ok(content) => {
                    attached.layers.extend(content.items().into_iter().map(|item| (suffix.to_owned(), item.clone())));
                }
                Err(error) => self.left(place, &error),
            }
        }
        let young = match suffixes.is_empty() {
            true => Default::default(),
            false => {
                let layers = attached.layers.iter().map(|(_, layer)| item_id(Kind::Image, layer));
                let bundles = referring.entries.iter().map(|entry| item_id(Kind::Index, entry));
                let known = layers.chain(bundles).collect();
                self.signatures.young_journal(subject, &suffixes, &referring, &known, self.call).await?
            }
        };
        attached.layers.extend(young.layers);
        let mut entries = referring.entries;
        entries.extend(young.bundles);
        let mut seen = BTreeSet::new();
        for entry in entries.iter().filter(|entry| seen.insert(entry.digest.to_string())) {
            let Some(stored) = self.signatures.manifest(entry, self.call).await? else { continue };
            if self.wants_referrer(&stored, subject) {
                attached.referrers.push(stored);
            }
        }
        if self.wants(CopyKind::Sboms) {
            attached.sbom = self.signatures.signature_image(subject, ".sbom", self.call).await?;
        }
        Ok(attached)
    }

    fn wants_referrer(&self, stored: &StoredManifest, subject: &Digest) -> bool {
        let refers = || {
            let declared = Some(stored.media_type.as_str()).filter(|declared| !declared.is_empty());
            let manifest = Manifest::parse(&stored.bytes, declared).ok();
            manifest.and_then(|manifest| manifest.subject).is_some_and(|of| of.digest == *subject)
        };
        match bundle_predicate(&stored.bytes, &stored.media_type, subject) {
            // Something else that refers to the image, such as an SBOM.
            None => self.options.only.is_empty() && refers(),
            Some(kind) if kind.as_deref() == Some(statement::COSIGN_SIGN) => self.wants(CopyKind::Signatures),
            Some(_) => self.wants(CopyKind::Attestations),
        }
    }

    async fn referrer(&mut self, node: &Node, stored: &StoredManifest) -> Result<()> {
        let declared = Some(stored.media_type.as_str()).filter(|declared| !declared.is_empty());
        let manifest = Manifest::parse(&stored.bytes, declared)?;
        self.blobs(&manifest, false).await?;
        let stored = StoredManifest { media_type: manifest.media_type, ..stored.clone() };
        let added = self.target.referrer(&node.descriptor, &stored, self.call).await?;
        self.done.signatures.extend(added);
        Ok(())
    }

    async fn sbom(&mut self, node: &Node, stored: &StoredManifest) -> Result<()> {
        let place = self.signatures.signature_reference(&node.descriptor.digest, ".sbom");
        let declared = Some(stored.media_type.as_str()).filter(|declared| !declared.is_empty());
        let manifest = match Manifest::parse(&stored.bytes, declared) {
            Ok(manifest) if stored.digest != node.descriptor.digest => manifest,
            Ok(_) => return Ok(()),
            Err(error) => {
                self.left(place, &error);
                return Ok(());
            }
        };
        self.blobs(&manifest, false).await?;
        let stored = StoredManifest { media_type: manifest.media_type, ..stored.clone() };
        match self.target.whole(&node.descriptor, ".sbom", &stored, self.options.force, self.call).await {
            Ok(true) => self.done.signatures.push(Protection::Stored),
            Ok(false) => {}
            Err(error) if error.code() == Code::FileExists => self.left(place, &error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn left(&mut self, place: String, why: &Error) {
        self.done.left.push(Kept { place, reason: why.message().to_owned() });
    }
}

/// What hangs on a manifest.
#[derive(Default)]
struct Attached {
    layers: Vec<(String, Descriptor)>,
    referrers: Vec<StoredManifest>,
    sbom: Option<StoredManifest>,
}

/// Whether a layer is kept elsewhere by its maker's wish (Windows base layers), and not by registries.
fn is_foreign(blob: &Descriptor) -> bool {
    let kept_elsewhere = ["nondistributable", "foreign"].iter().any(|word| blob.media_type.contains(word));
    kept_elsewhere && blob.rest.contains_key("urls")
}
