//! Signatures in a registry: the tag `sha256-<hex>.sig` for cosign's legacy format, and for bundles the registry's list of
//! referrers or, where it keeps none, the index behind the tag `sha256-<hex>`.
//!
//! What is written goes through `lossless.rs`; through `plain.rs` when the caller wants no journal.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use super::journal::{self, Content, Entry, Kind, Place};
use super::{
    Added, Adding, BoxFuture, CleanKind, Collected, Image, Journalled, Listed, Referring, Store, StoredManifest, Swept,
    UNSIZED_MANIFEST, Young,
};
use crate::bundle::{legacy, referrer};
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, Document, RegistryRef};
use crate::registry::{FetchedManifest, Pieces, Referrers, Transport};

/// An image in a registry, and the signatures beside it.
#[derive(Debug, Clone)]
pub struct Tags {
    pub(super) transport: Arc<Transport>,
    pub(super) image: RegistryRef,
    // Where the signatures are; only the repository of it counts.
    pub(super) signatures: RegistryRef,
}

/// Now, in unix seconds.
pub(super) fn local_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl From<FetchedManifest> for StoredManifest {
    fn from(found: FetchedManifest) -> StoredManifest {
        StoredManifest { bytes: found.bytes, media_type: found.media_type, digest: found.digest }
    }
}

impl Tags {
    /// The place of `image`; nothing is asked yet.
    pub fn new(transport: Arc<Transport>, image: RegistryRef) -> Tags {
        Tags { transport, signatures: image.clone(), image }
    }

    /// The same with the signatures in a repository of their own.
    pub fn with_signatures(mut self, repository: Option<&RegistryRef>) -> Tags {
        if let Some(repository) = repository {
            if repository.registry() == self.image.registry() && repository.repository() != self.image.repository() {
                let (host, image) = (self.image.registry(), self.image.repository());
                self.transport.announce_together(host, repository.repository(), image);
            }
            self.signatures = repository.clone();
        }
        self
    }

    /// The host and the repository of the signatures, and of all that is known about them: referrers, journal, what the
    /// registry can do.
    pub(super) fn at(&self) -> (&str, &str) {
        (self.signatures.registry(), self.signatures.repository())
    }

    /// The host and the repository of the image: where its tag is resolved and its descriptor asked for.
    pub(super) fn image_at(&self) -> (&str, &str) {
        (self.image.registry(), self.image.repository())
    }

    /// The name of a tag beside the signatures.
    pub(super) fn signature_place(&self, tag: &str) -> String {
        format!("{}:{tag}", self.signatures.name())
    }

    pub(super) async fn get(&self, reference: &str, call: &Call) -> Result<Option<FetchedManifest>> {
        let (host, repository) = self.at();
        self.transport.get_manifest(host, repository, reference, call).await
    }

    async fn resolve(&self, call: &Call) -> Result<Image> {
        let identity = self.image.name();
        if let Some(digest) = self.image.digest() {
            return Ok(Image { digest: digest.clone(), descriptor: None, identity, needs_name: false, children: None });
        }
        let tag = self.image.tag().unwrap_or("latest");
        let (host, repository) = self.image_at();
        let Some(found) = self.transport.get_manifest(host, repository, tag, call).await? else {
            return Err(Error::new(
                Code::ImageNotFound,
                format!("{identity}:{tag} does not exist: the registry knows no such tag or repository"),
            )
            .with("reference", format!("{identity}:{tag}")));
        };
        let document = Document::parse(&found.bytes, Some(&found.media_type))
            .map_err(|error| error.context(format!("{identity}:{tag}")))?;
        let descriptor = Descriptor::new(document.media_type(), found.digest.clone(), found.bytes.len() as u64);
        Ok(Image {
            digest: found.digest,
            descriptor: Some(descriptor),
            identity,
            needs_name: false,
            children: Some(document.children()),
        })
    }

    async fn read_blob(&self, descriptor: &Descriptor, cap: u64, call: &Call) -> Result<Option<Vec<u8>>> {
        if descriptor.size > cap {
            let why = format!("blob {} declares {} bytes, the limit is {cap}", descriptor.digest, descriptor.size);
            return Err(Error::new(Code::TooLarge, format!("{}: {why}", self.signatures.name())).with("limit", cap));
        }
        let (host, repository) = self.at();
        self.transport.get_blob(host, repository, &descriptor.digest, descriptor.size, call).await
    }

    /// Bundles are found through the referrers API, or through the index behind the tag `sha256-<hex>` without it.
    async fn list(&self, subject: &Digest, call: &Call) -> Result<Referring> {
        let (host, repository) = self.at();
        let (listed, index) = match self.transport.referrers(host, repository, subject, None, call).await? {
            Referrers::Found(entries) => (entries, None),
            Referrers::NoApi => {
                let Some(found) = self.get(&referrer::fallback_tag(subject), call).await? else {
                    return Ok(Referring::default());
                };
                match referrer::parse_fallback(&found.bytes, Some(&found.media_type), subject)? {
                    referrer::Fallback::Index(index) => (index.manifests, Some(found.into())),
                    referrer::Fallback::Alias => return Ok(Referring::default()),
                }
            }
        };
        let mut referring = Referring { index, ..Referring::default() };
        for entry in listed {
            let known = |list: &[Descriptor]| list.iter().any(|old| old.digest == entry.descriptor.digest);
            if entry.descriptor.artifact_type.as_deref() == Some(journal::JOURNAL_TYPE) {
                referring.journal.push(entry.descriptor);
            } else if referrer::may_be_bundle(&entry.descriptor) && !known(&referring.entries) {
                referring.entries.push(entry.descriptor);
            }
        }
        Ok(referring)
    }

    /// Every tag that begins like the image's, and everything that refers to it.
    async fn list_everything(&self, subject: &Digest, call: &Call) -> Listed {
        let (host, repository) = self.at();
        let prefix = referrer::fallback_tag(subject);
        let tags = async {
            // What stands between the prefix and its tags in order is only what begins with both.
            let list = self.transport.list_tags(host, repository, &prefix, None, call).await?;
            let tags = list.map(|list| list.tags).unwrap_or_default();
            let mut suffixes: Vec<String> =
                tags.iter().filter_map(|tag| tag.strip_prefix(&prefix)).map(str::to_owned).collect();
            suffixes.sort_unstable();
            suffixes.dedup();
            Ok(suffixes)
        };
        let referrers = async {
            match self.transport.referrers(host, repository, subject, None, call).await? {
                Referrers::Found(entries) => Ok(("referrers", entries)),
                Referrers::NoApi => match self.get(&prefix, call).await? {
                    None => Ok(("fallback index", Vec::new())),
                    Some(found) => match referrer::parse_fallback(&found.bytes, Some(&found.media_type), subject)? {
                        referrer::Fallback::Index(index) => Ok(("fallback index", index.manifests)),
                        referrer::Fallback::Alias => Ok(("fallback index", Vec::new())),
                    },
                },
            }
        };
        let (suffixes, referrers) = futures_util::future::join(tags, referrers).await;
        let found_by = referrers.as_ref().map_or("referrers", |(found_by, _)| *found_by);
        let referrers = referrers.map(|(_, entries)| {
            let mut known = std::collections::HashSet::new();
            let entries = entries.into_iter().map(|entry| entry.descriptor);
            entries.filter(|entry| known.insert(entry.digest.clone())).collect()
        });
        Listed { suffixes, referrers, found_by }
    }

    async fn read_manifest(&self, descriptor: &Descriptor, call: &Call) -> Result<Option<StoredManifest>> {
        let (host, repository) = self.at();
        let reference = descriptor.digest.to_string();
        let cap = descriptor.size.max(UNSIZED_MANIFEST);
        Ok(self.transport.get_manifest_of(host, repository, &reference, cap, call).await?.map(Into::into))
    }

    /// The journal's entries that the standard places do not show.
    async fn journalled(
        &self,
        subject: &Digest,
        suffix: &str,
        tag: Option<&StoredManifest>,
        referring: Option<&Referring>,
        call: &Call,
    ) -> Result<Journalled> {
        let mut found = Journalled::default();
        let image = Place::image(subject, suffix)?;
        let mut wanted: Vec<(&Place, journal::Listed)> = Vec::new();
        let tag = tag.and_then(|tag| Content::read(&image, Some(tag)).ok());
        let by_api = referring.is_some_and(|referring| referring.index.is_none() && !referring.journal.is_empty());
        let now = local_time();
        let index = Place::index(subject)?;
        if by_api {
            let listed = journal::listed_referrers(referring.map(|r| r.journal.as_slice()).unwrap_or_default());
            let (listed, more) = journal::journal_to_read(&listed, tag.as_ref(), now);
            wanted.extend(listed.into_iter().map(|listed| (&image, listed)));
            note_more(&mut found, more);
        } else {
            // One list shows both: what begins with `sha256-<hex>.` in order.
            let (host, repository) = self.at();
            let prefix = format!("{}.", index.tag());
            let tags = match self.transport.list_tags(host, repository, &prefix, None, call).await {
                Ok(list) => list.map(|list| list.tags).unwrap_or_default(),
                Err(error) if refuses_lists(&error) => {
                    found.notes.push(format!("the journal is not readable: {error}"));
                    return Ok(found);
                }
                Err(error) => return Err(error),
            };
            for place in [&image, &index] {
                let content = match place.kind() {
                    Kind::Image => tag.clone(),
                    Kind::Index => referring
                        .and_then(|referring| referring.index.as_ref())
                        .and_then(|stored| Content::read(place, Some(stored)).ok()),
                };
                let names = tags.iter().filter_map(|tag| place.parse(tag));
                let listed: Vec<journal::Listed> =
                    names.map(|name| journal::Listed { name: Some(name), digest: None }).collect();
                let (listed, more) = journal::journal_to_read(&listed, content.as_ref(), now);
                wanted.extend(listed.into_iter().map(|listed| (place, listed)));
                note_more(&mut found, more);
            }
        }
        let reads = wanted.iter().map(|(place, listed)| async move {
            let reference = listed.reference(place)?;
            Some((reference.clone(), self.get(&reference, call).await))
        });
        for ((place, listed), read) in wanted.iter().zip(join_all(reads).await) {
            let Some((reference, read)) = read else { continue };
            let at = match &listed.digest {
                Some(digest) => self.pinned_signature(digest),
                None => format!("{}:{reference}", self.signatures.name()),
            };
            match read {
                Ok(Some(stored)) => {
                    // A malformed entry is nobody's signature; whoever may push can write one.
                    match Entry::read(place, listed.name, listed.digest.is_some(), &stored.into()) {
                        Ok(entry) if place.kind() == Kind::Image => found.layers.push((at, entry.item)),
                        Ok(entry) => found.bundles.push(entry.item),
                        Err(error) => found.notes.push(format!("{at} is no journal entry: {error}")),
                    }
                }
                // In flight, or cleaned meanwhile.
                Ok(None) => {}
                Err(error) => found.unread.push((at, error)),
            }
        }
        Ok(found)
    }

    async fn add_items(&self, adding: &[Adding<'_>], journal: bool, call: &Call) -> Vec<Result<Added>> {
        let (host, repository) = self.at();
        self.transport.announce_push(host, repository);
        match journal {
            true => self.add_lossless(adding, call).await,
            false => join_all(adding.iter().map(|adding| self.add_plainly(adding, call))).await,
        }
    }
}

/// Whether a registry refuses to list tags at all, which says nothing about signatures.
pub(super) fn refuses_lists(error: &Error) -> bool {
    matches!(error.status(), Some(401 | 403 | 404 | 405))
}

fn note_more(found: &mut Journalled, more: bool) {
    if more {
        found.notes.push("the journal holds more entries than are read".to_owned());
    }
}

impl Store for Tags {
    fn image<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Image>> {
        Box::pin(self.resolve(call))
    }

    fn itself<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Option<StoredManifest>>> {
        Box::pin(async move {
            let (host, repository) = self.image_at();
            let reference = match (self.image.digest(), self.image.tag()) {
                (Some(digest), _) => digest.to_string(),
                (None, tag) => tag.unwrap_or("latest").to_owned(),
            };
            Ok(self.transport.get_manifest(host, repository, &reference, call).await?.map(Into::into))
        })
    }

    fn document<'a>(&'a self, digest: &'a Digest, call: &'a Call) -> BoxFuture<'a, Result<Option<StoredManifest>>> {
        Box::pin(async move {
            let (host, repository) = self.image_at();
            let found = self.transport.get_manifest(host, repository, &digest.to_string(), call).await?;
            Ok(found.map(Into::into))
        })
    }

    fn signature_image<'a>(
        &'a self,
        subject: &'a Digest,
        suffix: &'a str,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<StoredManifest>>> {
        Box::pin(async move { Ok(self.get(&legacy::tag(subject, suffix), call).await?.map(Into::into)) })
    }

    fn referring<'a>(&'a self, subject: &'a Digest, call: &'a Call) -> BoxFuture<'a, Result<Referring>> {
        Box::pin(self.list(subject, call))
    }

    fn listed<'a>(&'a self, subject: &'a Digest, call: &'a Call) -> BoxFuture<'a, Listed> {
        Box::pin(self.list_everything(subject, call))
    }

    fn journal<'a>(
        &'a self,
        subject: &'a Digest,
        suffix: &'a str,
        tag: Option<&'a StoredManifest>,
        referring: Option<&'a Referring>,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Journalled>> {
        Box::pin(self.journalled(subject, suffix, tag, referring, call))
    }

    fn manifest<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<StoredManifest>>> {
        Box::pin(self.read_manifest(descriptor, call))
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        cap: u64,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(self.read_blob(descriptor, cap, call))
    }

    fn add_all<'a>(
        &'a self,
        adding: &'a [Adding<'a>],
        journal: bool,
        call: &'a Call,
    ) -> BoxFuture<'a, Vec<Result<Added>>> {
        Box::pin(self.add_items(adding, journal, call))
    }

    fn pieces<'a>(&'a self, descriptor: &'a Descriptor, call: &'a Call) -> BoxFuture<'a, Result<Option<Pieces>>> {
        Box::pin(async move {
            let (host, repository) = self.at();
            self.transport.open_blob(host, repository, &descriptor.digest, descriptor.size, call).await
        })
    }

    fn origin(&self) -> Option<(&str, &str)> {
        Some(self.at())
    }

    fn young_journal<'a>(
        &'a self,
        subject: &'a Digest,
        suffixes: &'a [&'a str],
        referring: &'a Referring,
        known: &'a BTreeSet<journal::EntryId>,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Young>> {
        Box::pin(self.young(subject, suffixes, referring, known, call))
    }

    fn clean<'a>(&'a self, subject: &'a Digest, kind: CleanKind, call: &'a Call) -> BoxFuture<'a, Result<Swept>> {
        Box::pin(self.clean_registry(subject, kind, call))
    }

    fn collect<'a>(
        &'a self,
        subject: Option<&'a Digest>,
        repair: bool,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Collected>> {
        Box::pin(self.collect_registry(subject, repair, call))
    }

    fn signature_reference(&self, subject: &Digest, suffix: &str) -> String {
        self.signature_place(&legacy::tag(subject, suffix))
    }

    fn pinned(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.image.name())
    }

    fn pinned_signature(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.signatures.name())
    }
}
