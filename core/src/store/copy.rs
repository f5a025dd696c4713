//! Copying: what the destination of a copy takes, and how a registry takes it.
//!
//! Blobs that are there are not sent again, those of the same registry are mounted, large ones are never held whole.
//! Signatures are merged into what is there by the journal's machine, one by one, so that a copy and a signer at the same
//! time lose nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::clean::listed_in;
use super::journal::{
    self, Capability, Content, Entry, EntryId, Job, Kind, Listed, Machine, Outcome, Place, layer_config,
};
use super::tags::{Tags, local_time};
use super::{BoxFuture, Protection, Referring, Store, StoredManifest, Young};
use crate::bundle::legacy;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, media_type};
use crate::registry::{Mount, Referrers, limits};

/// The destination of a copy. Whoever calls it has copied the blobs of a manifest before the manifest.
pub trait Target: Send + Sync {
    /// What the destination's own name means now, if anything.
    fn existing<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Option<Digest>>>;

    /// Takes a blob over from `from`, beside its signatures; false when it was there.
    fn blob<'a>(&'a self, blob: &'a Descriptor, from: &'a dyn Store, call: &'a Call) -> BoxFuture<'a, Result<bool>>;

    /// Stores a manifest or index of the image, under the destination's own name if `named`.
    fn manifest<'a>(&'a self, manifest: &'a StoredManifest, named: bool, call: &'a Call) -> BoxFuture<'a, Result<()>>;

    /// Merges layers whose blobs are there into the signature image of `subject`; those that are new, with how well each
    /// is stored.
    fn layers<'a>(
        &'a self,
        subject: &'a Descriptor,
        suffix: &'a str,
        layers: &'a [Descriptor],
        from: &'a dyn Store,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Vec<Protection>>>;

    /// What hangs on `subject` already.
    fn referrers<'a>(&'a self, subject: &'a Digest, call: &'a Call) -> BoxFuture<'a, Result<Vec<Digest>>>;

    /// Hangs a manifest whose blobs are there on `subject`; `None` when it hung there before.
    fn referrer<'a>(
        &'a self,
        subject: &'a Descriptor,
        manifest: &'a StoredManifest,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Protection>>>;

    /// Stores an image that cannot be merged (`.sbom`) under the tag of `suffix`; false when the same was there. Another
    /// one there is only replaced with `force`.
    fn whole<'a>(
        &'a self,
        subject: &'a Descriptor,
        suffix: &'a str,
        manifest: &'a StoredManifest,
        force: bool,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<bool>>;

    /// The destination, pinned.
    fn pinned(&self, digest: &Digest) -> String;
}

/// What is said when something else is there and was not to be replaced.
pub(super) fn is_there(place: &str) -> Error {
    let what = format!("{place} is there already and is something else; replace it with force");
    Error::new(Code::FileExists, what).with("place", place)
}

/// A repository that is copied to.
pub struct RegistryTarget {
    tags: Tags,
}

impl RegistryTarget {
    /// The destination `tags`; nothing is asked yet.
    pub fn new(tags: Tags) -> RegistryTarget {
        let (host, repository) = tags.at();
        tags.transport.announce_push(host, repository);
        RegistryTarget { tags }
    }

    fn own_reference(&self) -> String {
        match (self.tags.image.digest(), self.tags.image.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        }
    }

    async fn take_blob(&self, blob: &Descriptor, from: &dyn Store, call: &Call) -> Result<bool> {
        let (host, repository) = self.tags.at();
        let transport = &self.tags.transport;
        let missing = || {
            let what = format!("the blob {} is missing at the source", blob.digest);
            Error::new(Code::Content, what)
        };
        let mut upload = None;
        match from.origin() {
            Some((source_host, source)) if source_host == host => {
                if source == repository {
                    return Ok(false);
                }
                match transport.mount_blob(host, repository, &blob.digest, source, call).await? {
                    Mount::Mounted => return Ok(true),
                    Mount::Upload(opened) => upload = Some(opened),
                }
            }
            _ => {
                if transport.has_blob(host, repository, &blob.digest, call).await? {
                    return Ok(false);
                }
            }
        }
        if blob.size <= limits::SINGLE_POST as u64 {
            let bytes = from.blob(blob, limits::SINGLE_POST as u64, call).await?.ok_or_else(missing)?;
            match upload {
                Some(upload) => transport.fill_upload(host, repository, upload, &blob.digest, &bytes, call).await?,
                None => transport.put_blob(host, repository, &blob.digest, &bytes, call).await?,
            }
            return Ok(true);
        }
        let open = || from.pieces(blob, call);
        match transport.put_blob_from(host, repository, &blob.digest, blob.size, upload, &open, call).await? {
            true => Ok(true),
            false => Err(missing()),
        }
    }

    async fn take_layers(
        &self,
        subject: &Descriptor,
        suffix: &str,
        layers: &[Descriptor],
        from: &dyn Store,
        call: &Call,
    ) -> Result<Vec<Protection>> {
        let place = Place::image(&subject.digest, suffix)?;
        let stored = self.tags.get(place.tag(), call).await?.map(StoredManifest::from);
        let here = Content::read(&place, stored.as_ref())?.ids();
        let mut added = Vec::new();
        for layer in layers.iter().filter(|layer| !here.contains(&journal::item_id(Kind::Image, layer))) {
            self.take_blob(layer, from, call).await?;
            // The machine uploads a payload and the configuration of an image with this layer alone. The blob is there.
            let payload = layer_config(layer).into();
            let job = Job::Layer { layer: layer.clone(), payload, docker: false, duplicate: None };
            added.push(self.merge(place.clone(), job, subject, call).await?);
        }
        Ok(added)
    }

    async fn merge(&self, place: Place, job: Job, subject: &Descriptor, call: &Call) -> Result<Protection> {
        let (host, repository) = self.tags.at();
        let capability = match self.tags.transport.has_referrers(host, repository) {
            Some(true) => Capability::Referrers,
            Some(false) => Capability::TagOnly,
            None => Capability::Unknown,
        };
        let machine = Machine::new(place, job, capability, Some(subject.clone()))?;
        Ok(match self.tags.drive_one(machine, call).await? {
            Outcome::Stored => Protection::Stored,
            Outcome::StoredUnprotected(why) => Protection::StoredUnprotected(why.to_string()),
            Outcome::JournalOnly(why) => Protection::JournalOnly(why.to_string()),
        })
    }

    async fn take_referrer(
        &self,
        subject: &Descriptor,
        stored: &StoredManifest,
        call: &Call,
    ) -> Result<Option<Protection>> {
        let place = Place::index(&subject.digest)?;
        let media_type = stored.media_type.as_str();
        if Entry::of_bundle(&place, stored.bytes.clone(), 0).is_ok() {
            let bytes = stored.bytes.clone();
            let manifest: journal::BundleManifest = Arc::new(move |_, _| bytes.clone());
            let job = Job::Bundle { blobs: Vec::new(), manifest };
            return self.merge(place, job, subject, call).await.map(Some);
        }
        // Not a bundle: an SBOM or something else. The registry keeps the list, or the list is written without a journal.
        let (host, repository) = self.tags.at();
        let transport = &self.tags.transport;
        let own = stored.digest.to_string();
        transport.put_manifest(host, repository, &own, media_type, &stored.bytes, call).await?.stored()?;
        if matches!(transport.referrers(host, repository, &subject.digest, None, call).await?, Referrers::Found(_)) {
            return Ok(Some(Protection::Stored));
        }
        let found = self.tags.get(place.tag(), call).await?.map(StoredManifest::from);
        let content = Content::read(&place, found.as_ref())?;
        let entry = referrer_entry(stored)?;
        let id = journal::item_id(Kind::Index, &entry);
        if content.ids().contains(&id) {
            return Ok(None);
        }
        let union = content.union(Some((id, &entry)), &Default::default(), false)?;
        let put = transport.put_manifest(host, repository, place.tag(), &union.media_type, &union.bytes, call);
        put.await?.stored()?;
        Ok(Some(Protection::StoredUnprotected("what is no bundle has no journal".to_owned())))
    }
}

/// The entry of a list for a manifest that refers to something.
pub(super) fn referrer_entry(stored: &StoredManifest) -> Result<Descriptor> {
    let declared = Some(stored.media_type.as_str()).filter(|declared| !declared.is_empty());
    let manifest = crate::oci::Manifest::parse(&stored.bytes, declared)?;
    let mut entry = Descriptor::new(&manifest.media_type, stored.digest.clone(), stored.bytes.len() as u64);
    entry.artifact_type = Some(manifest.artifact_type.unwrap_or(manifest.config.media_type));
    entry.annotations = manifest.annotations;
    Ok(entry)
}

impl Target for RegistryTarget {
    fn existing<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Option<Digest>>> {
        Box::pin(async move { Ok(self.tags.get(&self.own_reference(), call).await?.map(|found| found.digest)) })
    }

    fn blob<'a>(&'a self, blob: &'a Descriptor, from: &'a dyn Store, call: &'a Call) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.take_blob(blob, from, call))
    }

    fn manifest<'a>(&'a self, manifest: &'a StoredManifest, named: bool, call: &'a Call) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (host, repository) = self.tags.at();
            let reference = if named { self.own_reference() } else { manifest.digest.to_string() };
            let (media_type, bytes) = (&manifest.media_type, &manifest.bytes);
            let put = self.tags.transport.put_manifest(host, repository, &reference, media_type, bytes, call);
            put.await?.stored().map(drop)
        })
    }

    fn layers<'a>(
        &'a self,
        subject: &'a Descriptor,
        suffix: &'a str,
        layers: &'a [Descriptor],
        from: &'a dyn Store,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Vec<Protection>>> {
        Box::pin(self.take_layers(subject, suffix, layers, from, call))
    }

    fn referrers<'a>(&'a self, subject: &'a Digest, call: &'a Call) -> BoxFuture<'a, Result<Vec<Digest>>> {
        Box::pin(async move {
            let there = self.tags.referring(subject, call).await?;
            Ok(there.entries.into_iter().map(|entry| entry.digest).collect())
        })
    }

    fn referrer<'a>(
        &'a self,
        subject: &'a Descriptor,
        manifest: &'a StoredManifest,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Protection>>> {
        Box::pin(self.take_referrer(subject, manifest, call))
    }

    fn whole<'a>(
        &'a self,
        subject: &'a Descriptor,
        suffix: &'a str,
        manifest: &'a StoredManifest,
        force: bool,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let tag = legacy::tag(&subject.digest, suffix);
            match self.tags.get(&tag, call).await? {
                Some(there) if there.digest == manifest.digest => return Ok(false),
                Some(_) if !force => return Err(is_there(&self.tags.signature_place(&tag))),
                _ => {}
            }
            let (host, repository) = self.tags.at();
            let (media_type, bytes) = (&manifest.media_type, &manifest.bytes);
            let put = self.tags.transport.put_manifest(host, repository, &tag, media_type, bytes, call);
            put.await?.stored().map(|_| true)
        })
    }

    fn pinned(&self, digest: &Digest) -> String {
        Store::pinned(&self.tags, digest)
    }
}

impl Tags {
    /// The journal's young entries that the standard places do not show.
    pub(super) async fn young(
        &self,
        subject: &Digest,
        suffixes: &[&str],
        referring: &Referring,
        known: &BTreeSet<EntryId>,
        call: &Call,
    ) -> Result<Young> {
        let index = Place::index(subject)?;
        // Where tags are not listed, nobody merges from there.
        let names = self.own_names(&index, call).await?.unwrap_or_default();
        let by_list = journal::listed_referrers(&referring.journal);
        let mut wanted: Vec<(Place, &str, Listed)> = Vec::new();
        for suffix in suffixes.iter().copied() {
            let place = Place::image(subject, suffix)?;
            wanted.extend(listed_in(&place, &names).into_iter().map(|listed| (place.clone(), suffix, listed)));
            // A list does not say which tag an entry belongs to.
            if suffix != legacy::SUFFIX_2021 {
                wanted.extend(by_list.iter().map(|listed| (place.clone(), suffix, listed.clone())));
            }
        }
        wanted.extend(listed_in(&index, &names).into_iter().map(|listed| (index.clone(), "", listed)));
        let now = local_time();
        let is_young = |listed: &Listed| {
            listed.name.is_some_and(|name| journal::in_window(name.time, now) && !known.contains(&name.id))
        };
        wanted.retain(|(_, _, listed)| is_young(listed));
        let reads = wanted.iter().map(|(place, _, listed)| async move {
            match listed.reference(place) {
                Some(reference) => self.get(&reference, call).await,
                None => Ok(None),
            }
        });
        let mut young = Young::default();
        for ((place, suffix, listed), stored) in wanted.iter().zip(try_join_all(reads).await?) {
            let Some(stored) = stored.map(StoredManifest::from) else { continue };
            // What is malformed is nobody's signature.
            let Ok(entry) = Entry::read(place, listed.name, listed.digest.is_some(), &stored) else { continue };
            match place.kind() {
                Kind::Index => young.bundles.push(entry.item),
                // Nor does it tell signatures from attestations; their layers do.
                Kind::Image if (entry.item.media_type == media_type::SIMPLE_SIGNING) == (*suffix != ".att") => {
                    young.layers.push(((*suffix).to_owned(), entry.item));
                }
                Kind::Image => {}
            }
        }
        Ok(young)
    }
}
