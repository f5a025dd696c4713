//! Cleaning in a registry: all signatures, attestations or SBOMs of one image.
//!
//! Everything is read before anything goes, so that what cannot be read leaves the signatures as they are. Then the journal
//! goes first: a signer who is at work would bring back what only the tag has lost. Nothing is deleted because a list says
//! that it is a bundle; its manifest has to say so, and to refer to the image.

use futures_util::future::{try_join_all, try_join3};

use super::journal::{self, EntryId, Listed, Place};
use super::sweep::{Sweeper, Swept};
use super::tags::{Tags, refuses_lists};
use super::{Referring, Store};
use crate::bundle::{legacy, referrer};
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, Document, Manifest, media_type};
use crate::payload::statement;

/// What `clean` removes; cosign's `--type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CleanKind {
    /// Signatures, attestations and SBOMs, in every format.
    #[default]
    All,
    /// Signatures: the tags `.sig` and `.cosign`, and bundles that are signatures.
    Signatures,
    /// Attestations: the tag `.att`, and bundles that are attestations.
    Attestations,
    /// The bundles that refer to the image, signatures or attestations; no tags.
    Referrers,
    /// The tag `.sbom`.
    Sboms,
}

impl CleanKind {
    /// `all`, `signature`, `attestation`, `referrer` or `sbom`: what [`CleanKind::parse`] reads.
    pub fn name(self) -> &'static str {
        match self {
            CleanKind::All => "all",
            CleanKind::Signatures => "signature",
            CleanKind::Attestations => "attestation",
            CleanKind::Referrers => "referrer",
            CleanKind::Sboms => "sbom",
        }
    }

    /// Reads cosign's name of a kind.
    ///
    /// # Errors
    /// [`Code::Argument`] for any other.
    pub fn parse(name: &str) -> Result<CleanKind> {
        let all =
            [CleanKind::All, CleanKind::Signatures, CleanKind::Attestations, CleanKind::Referrers, CleanKind::Sboms];
        all.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            let what = format!("{shown:?} is not signature, attestation, referrer, sbom or all");
            Error::new(Code::Argument, what)
        })
    }

    /// The suffixes of the tags that go.
    pub(super) fn suffixes(self) -> &'static [&'static str] {
        match self {
            CleanKind::All => &[legacy::SUFFIX, legacy::SUFFIX_2021, ".att", ".sbom"],
            CleanKind::Signatures => &[legacy::SUFFIX, legacy::SUFFIX_2021],
            CleanKind::Attestations => &[".att"],
            CleanKind::Referrers => &[],
            CleanKind::Sboms => &[".sbom"],
        }
    }

    pub(super) fn has_bundles(self) -> bool {
        self != CleanKind::Sboms
    }

    /// Whether a bundle with this predicate type goes; an error says why that cannot be told.
    pub(super) fn takes(self, predicate_type: Option<&str>) -> Result<bool, &'static str> {
        match (self, predicate_type) {
            (CleanKind::All | CleanKind::Referrers, _) => Ok(true),
            (CleanKind::Sboms, _) => Ok(false),
            (CleanKind::Signatures, Some(kind)) => Ok(kind == statement::COSIGN_SIGN),
            (CleanKind::Attestations, Some(kind)) => Ok(kind != statement::COSIGN_SIGN),
            (_, None) => {
                Err("it does not say whether it is a signature or an attestation; it goes with referrer or all")
            }
        }
    }

    /// Whether a journal entry with a layer of this type goes.
    fn takes_layer(self, layer: &str) -> bool {
        match self {
            CleanKind::All => true,
            CleanKind::Signatures => layer == media_type::SIMPLE_SIGNING,
            CleanKind::Attestations => layer != media_type::SIMPLE_SIGNING,
            CleanKind::Referrers | CleanKind::Sboms => false,
        }
    }
}

/// What is to go, in the order in which it goes.
#[derive(Default)]
struct Plan {
    journal_tags: Vec<String>,
    journal_manifests: Vec<Digest>,
    tags: Vec<String>,
    index: Option<NewIndex>,
    bundles: Vec<Digest>,
}

/// What becomes of the fallback index.
enum NewIndex {
    Gone,
    Rest(Vec<u8>),
}

impl Tags {
    /// Removes what `kind` names from beside `subject`.
    pub(super) async fn clean_registry(&self, subject: &Digest, kind: CleanKind, call: &Call) -> Result<Swept> {
        let mut found = Swept::default();
        let plan = self.plan_clean(subject, kind, &mut found, call).await?;
        let leaving = plan.journal_tags.iter().chain(&plan.tags).cloned();
        let index = Place::index(subject)?.tag().to_owned();
        let own_index = plan.index.is_some().then(|| index.clone());
        let mut sweeper = Sweeper::new(self, leaving.chain(own_index), call);
        sweeper.swept = found;
        let outcome = self.follow(&plan, &index, &mut sweeper, call).await;
        let swept = std::mem::take(&mut sweeper.swept);
        swept.ended(outcome)?;
        Ok(swept)
    }

    async fn follow(&self, plan: &Plan, index: &str, sweeper: &mut Sweeper<'_>, call: &Call) -> Result<()> {
        for tag in &plan.journal_tags {
            sweeper.tag(tag, true).await?;
        }
        for digest in &plan.journal_manifests {
            sweeper.digest(self.pinned_signature(digest), digest).await?;
        }
        for tag in &plan.tags {
            sweeper.tag(tag, true).await?;
        }
        match &plan.index {
            None => {}
            Some(NewIndex::Gone) => self.remove_index(index, sweeper, call).await?,
            Some(NewIndex::Rest(bytes)) => {
                let (host, repository) = self.at();
                let put = self.transport.put_manifest(host, repository, index, media_type::OCI_INDEX, bytes, call);
                put.await?.stored()?;
            }
        }
        for digest in &plan.bundles {
            match sweeper.digest(self.pinned_signature(digest), digest).await {
                Ok(_) => {}
                // Out of the index, it is a manifest that nothing leads to.
                Err(error) if error.code() == Code::Unsupported && plan.index.is_some() => {
                    let note = "it is out of the list; its manifest stays, because the registry deletes none by digest";
                    sweeper.swept.remove(self.pinned_signature(digest), false, Some(note.to_owned()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The index has entries of this image alone, so deleting it by its digest takes nobody else's.
    async fn remove_index(&self, index: &str, sweeper: &mut Sweeper<'_>, call: &Call) -> Result<()> {
        let (host, repository) = self.at();
        match self.transport.delete_manifest(host, repository, index, call).await {
            Ok(true) => sweeper.swept.remove(self.signature_place(index), false, None),
            Ok(false) => {}
            Err(error) if error.code() == Code::Unsupported => {
                let Some(now) = self.get(index, call).await? else { return Ok(()) };
                sweeper.digest(self.signature_place(index), &now.digest).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads all that is there. What is found and must stay goes into `found`.
    async fn plan_clean(&self, subject: &Digest, kind: CleanKind, found: &mut Swept, call: &Call) -> Result<Plan> {
        let mut plan = Plan::default();
        let index = Place::index(subject)?;
        let places = kind.suffixes().iter().map(|suffix| Place::image(subject, suffix)).collect::<Result<Vec<_>>>()?;
        let reads = places.iter().map(|place| self.get(place.tag(), call));
        let referring =
            async { if kind.has_bundles() { self.referring(subject, call).await } else { Ok(Referring::default()) } };
        let (stored, referring, names) =
            try_join3(try_join_all(reads), referring, self.own_names(&index, call)).await?;
        let names = names.unwrap_or_else(|refused| {
            let (host, repository) = self.at();
            if kind.has_bundles() && self.transport.has_referrers(host, repository) != Some(true) {
                let why = format!("the journal cannot be listed: {refused}; what it holds may come back");
                found.keep(self.signature_place(&format!("{}*", index.prefix())), why);
            }
            Vec::new()
        });
        for (place, stored) in places.iter().zip(stored) {
            let listed: Vec<Listed> = listed_in(place, &names);
            let mut deletions: Vec<String> =
                journal::to_clean(place, &listed).into_iter().map(|deletion| deletion.reference).collect();
            let tag = deletions.pop();
            plan.journal_tags.append(&mut deletions);
            let Some(stored) = stored else { continue };
            // Such a tag never names the image, on any registry but one that answers wrongly.
            if stored.digest == *subject {
                found.keep(self.signature_place(place.tag()), "it names the image itself");
            } else {
                plan.tags.extend(tag);
            }
        }
        if kind.has_bundles() {
            self.plan_journal(subject, kind, &referring, &mut plan, call).await?;
            self.plan_bundles(subject, kind, &referring, &names, &mut plan, found, call).await?;
        }
        Ok(plan)
    }

    /// The journal's entries in the registry's own list of referrers.
    async fn plan_journal(
        &self,
        subject: &Digest,
        kind: CleanKind,
        referring: &Referring,
        plan: &mut Plan,
        call: &Call,
    ) -> Result<()> {
        let reads = referring.journal.iter().map(|entry| self.manifest(entry, call));
        for (entry, stored) in referring.journal.iter().zip(try_join_all(reads).await?) {
            let Some(stored) = stored else { continue };
            let Some(manifest) = is_journal_manifest(&stored.bytes, &stored.media_type, subject) else { continue };
            let wanted = |layer: &Descriptor| kind.takes_layer(&layer.media_type);
            if manifest.layers.first().map_or(kind == CleanKind::All, wanted) {
                plan.journal_manifests.push(entry.digest.clone());
            }
        }
        Ok(())
    }

    /// The bundles, their journal tags, and what remains of the fallback index.
    #[allow(clippy::too_many_arguments)]
    async fn plan_bundles(
        &self,
        subject: &Digest,
        kind: CleanKind,
        referring: &Referring,
        names: &[String],
        plan: &mut Plan,
        found: &mut Swept,
        call: &Call,
    ) -> Result<()> {
        let index = Place::index(subject)?;
        let listed = listed_in(&index, names);
        let reads = referring.entries.iter().map(|entry| self.manifest(entry, call));
        let mut staying: Vec<EntryId> = Vec::new();
        for (entry, stored) in referring.entries.iter().zip(try_join_all(reads).await?) {
            let Some(stored) = stored else { continue };
            match predicate_of(&stored.bytes, &stored.media_type, subject).map(|kind_of| kind.takes(kind_of.as_deref()))
            {
                // Something else that refers to the image.
                None | Some(Ok(false)) => staying.push(EntryId::of(&entry.digest)),
                Some(Ok(true)) => plan.bundles.push(entry.digest.clone()),
                Some(Err(why)) => {
                    staying.push(EntryId::of(&entry.digest));
                    found.keep(self.pinned_signature(&entry.digest), why);
                }
            }
        }
        // An entry of a bundle that the index has lost is read for its kind.
        for entry in listed {
            let (Some(name), Some(tag)) = (entry.name, entry.reference(&index)) else { continue };
            let goes = match () {
                () if plan.bundles.iter().any(|digest| EntryId::of(digest) == name.id) => true,
                () if staying.contains(&name.id) => false,
                () if kind.takes(None) == Ok(true) => true,
                () => match self.get(&tag, call).await? {
                    Some(stored) => predicate_of(&stored.bytes, &stored.media_type, subject)
                        .is_some_and(|kind_of| kind.takes(kind_of.as_deref()) == Ok(true)),
                    None => false,
                },
            };
            if goes {
                plan.journal_tags.push(tag);
            }
        }
        let Some(stored) = referring.index.as_ref().filter(|_| !plan.bundles.is_empty()) else { return Ok(()) };
        let Ok(Document::Index(mut rest)) = Document::parse(&stored.bytes, Some(&stored.media_type)) else {
            return Ok(());
        };
        rest.manifests.retain(|entry| !plan.bundles.contains(&entry.descriptor.digest));
        plan.index = Some(match rest.manifests.is_empty() {
            true => NewIndex::Gone,
            false => NewIndex::Rest(rest.to_json().into_bytes()),
        });
        Ok(())
    }

    /// The tags that begin with `sha256-<hex>.`; the inner error is a registry that does not list.
    pub(super) async fn own_names(&self, index: &Place, call: &Call) -> Result<Result<Vec<String>>> {
        let (host, repository) = self.at();
        let prefix = format!("{}.", index.tag());
        match self.transport.list_tags(host, repository, &prefix, None, call).await {
            Ok(list) => Ok(Ok(list.map(|list| list.tags).unwrap_or_default())),
            Err(error) if refuses_lists(&error) => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }
}

/// The journal of `place` among `names`.
pub(super) fn listed_in(place: &Place, names: &[String]) -> Vec<Listed> {
    let names = names.iter().filter_map(|tag| place.parse(tag));
    names.map(|name| Listed { name: Some(name), digest: None }).collect()
}

/// The predicate type that a bundle's manifest says; `None` when it is no bundle of `subject`.
pub fn predicate_of(bytes: &[u8], declared: &str, subject: &Digest) -> Option<Option<String>> {
    let declared = Some(declared).filter(|declared| !declared.is_empty());
    let manifest = Manifest::parse(bytes, declared).ok()?;
    if manifest.subject.as_ref().is_none_or(|of| of.digest != *subject) {
        return None;
    }
    // A malformed bundle is one, too.
    match referrer::bundle_layer(&manifest) {
        Ok(None) => None,
        Ok(Some(_)) | Err(_) => Some(manifest.annotations.get(referrer::PREDICATE_TYPE).cloned()),
    }
}

/// The manifest of a journal entry of `subject` in a list of referrers.
pub(super) fn is_journal_manifest(bytes: &[u8], declared: &str, subject: &Digest) -> Option<Manifest> {
    let manifest = Manifest::parse(bytes, Some(declared)).ok()?;
    let refers = manifest.subject.as_ref().is_some_and(|of| of.digest == *subject);
    (refers && manifest.artifact_type.as_deref() == Some(journal::JOURNAL_TYPE)).then_some(manifest)
}
