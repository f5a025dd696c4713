//! Collecting the journal's garbage: entries that no signer merges any more and that the standard place holds.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;

use super::clean::{is_journal_manifest, listed_in};
use super::journal::{self, Content, Job, Listed, Machine, Outcome, Place};
use super::sweep::{Sweeper, Swept};
use super::tags::{Tags, local_time};
use super::{Protection, Referring, Store};
use crate::bundle::legacy;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::Result;

/// What a collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Entries that went, and entries that could not.
    pub swept: Swept,
    /// Entries that stay because the standard place has lost what they hold; a repair merges them.
    pub lost: usize,
    /// Places that were repaired, and how well they are stored now.
    pub repaired: Vec<(String, Protection)>,
    /// Images that were looked at.
    pub images: usize,
}

/// One journal and what its standard place holds.
struct Journal {
    place: Place,
    listed: Vec<Listed>,
    content: Option<Content>,
}

impl Tags {
    /// Collects the journals of `subject`, or with `whole` those of every image that has one here.
    pub(super) async fn collect_registry(
        &self,
        subject: Option<&Digest>,
        repair: bool,
        call: &Call,
    ) -> Result<Collected> {
        let (host, repository) = self.at();
        let mut collected = Collected::default();
        let prefix = match subject {
            Some(subject) => format!("{}.", Place::index(subject)?.tag()),
            None => "sha256-".to_owned(),
        };
        let list = self.transport.list_tags(host, repository, &prefix, None, call).await?;
        let now = list.as_ref().and_then(|list| list.date);
        let now = now.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok()).map(|since| since.as_secs());
        let now = now.unwrap_or_else(local_time);
        let names = list.map(|list| list.tags).unwrap_or_default();
        let subjects = match subject {
            Some(subject) => BTreeSet::from([subject.to_string()]),
            None => names.iter().filter_map(|tag| subject_of(tag)).map(|digest| digest.to_string()).collect(),
        };
        let mut swept = Swept::default();
        for subject in subjects {
            let subject = Digest::parse(&subject)?;
            collected.images = collected.images.saturating_add(1);
            let outcome = self.collect_one(&subject, &names, repair, now, &mut collected, &mut swept, call).await;
            swept.ended(outcome)?;
        }
        collected.swept = swept;
        Ok(collected)
    }

    #[allow(clippy::too_many_arguments)]
    async fn collect_one(
        &self,
        subject: &Digest,
        names: &[String],
        repair: bool,
        now: u64,
        collected: &mut Collected,
        swept: &mut Swept,
        call: &Call,
    ) -> Result<()> {
        let referring = self.referring(subject, call).await?;
        let mut journals = self.journals(subject, names, &referring, call).await?;
        if repair {
            for journal in &mut journals {
                self.repair(journal, &referring, collected, call).await?;
            }
        }
        let mut deletions = Vec::new();
        for journal in &journals {
            let (mut old, mut lost) =
                journal::to_collect(&journal.place, &journal.listed, journal.content.as_ref(), now);
            if lost > 0 && self.is_gone(subject, call).await? {
                // Nobody will ask for what belongs to an image that is not there.
                (old, lost) = journal::to_collect(&journal.place, &journal.listed, None, now);
            }
            collected.lost = collected.lost.saturating_add(lost);
            deletions.extend(old);
        }
        let leaving = deletions.iter().map(|deletion| deletion.reference.clone());
        let mut sweeper = Sweeper::new(self, leaving, call);
        sweeper.swept = std::mem::take(swept);
        let mut outcome = Ok(());
        for deletion in &deletions {
            outcome = match Digest::parse(&deletion.reference) {
                // A list of strangers may call anything an entry; only what says so itself goes by its digest.
                Ok(digest) => match self.get(&deletion.reference, call).await? {
                    Some(stored) if is_journal_manifest(&stored.bytes, &stored.media_type, subject).is_some() => {
                        sweeper.digest(self.pinned_signature(&digest), &digest).await.map(drop)
                    }
                    _ => Ok(()),
                },
                Err(_) => sweeper.tag(&deletion.reference, deletion.or_digest).await,
            };
            if outcome.is_err() {
                break;
            }
        }
        *swept = std::mem::take(&mut sweeper.swept);
        outcome
    }

    /// The journals of an image: beside each tag of signatures, and beside the fallback index.
    async fn journals(
        &self,
        subject: &Digest,
        names: &[String],
        referring: &Referring,
        call: &Call,
    ) -> Result<Vec<Journal>> {
        let suffixes = [legacy::SUFFIX, legacy::SUFFIX_2021, ".att"];
        let mut places = suffixes.iter().map(|suffix| Place::image(subject, suffix)).collect::<Result<Vec<_>>>()?;
        let by_list = journal::listed_referrers(&referring.journal);
        let with_api: BTreeMap<&str, &[Listed]> = BTreeMap::from([(legacy::SUFFIX, by_list.as_slice())]);
        let mut journals = Vec::new();
        for (place, suffix) in places.drain(..).zip(suffixes) {
            let mut listed = listed_in(&place, names);
            listed.extend(with_api.get(suffix).copied().unwrap_or_default().iter().cloned());
            if listed.is_empty() {
                continue;
            }
            let content = self.standing(&place, call).await?;
            journals.push(Journal { place, listed, content });
        }
        // Entries among the referrers do not say which tag they belong to: what any of the tags holds is in its place.
        if !by_list.is_empty() {
            self.sort_by_tag(&mut journals, subject, call).await?;
        }
        let place = Place::index(subject)?;
        let listed = listed_in(&place, names);
        if !listed.is_empty() {
            let content = referring.index.as_ref().map(|stored| Content::read(&place, Some(stored))).transpose()?;
            journals.push(Journal { place, listed, content });
        }
        Ok(journals)
    }

    /// Moves entries of the list of referrers to the place whose tag holds them.
    async fn sort_by_tag(&self, journals: &mut Vec<Journal>, subject: &Digest, call: &Call) -> Result<()> {
        let others = [legacy::SUFFIX_2021, ".att"];
        let places = others.iter().map(|suffix| Place::image(subject, suffix)).collect::<Result<Vec<_>>>()?;
        let contents = try_join_all(places.iter().map(|place| self.standing(place, call))).await?;
        for (place, content) in places.into_iter().zip(contents) {
            let Some(content) = content else { continue };
            let ids = content.ids();
            let mine =
                |listed: &Listed| listed.digest.is_some() && listed.name.is_some_and(|name| ids.contains(&name.id));
            let Some(first) = journals.first_mut() else { return Ok(()) };
            let (moved, stay) = std::mem::take(&mut first.listed).into_iter().partition(mine);
            first.listed = stay;
            match journals.iter_mut().find(|journal| journal.place == place) {
                Some(journal) => journal.listed.extend::<Vec<Listed>>(moved),
                None => journals.push(Journal { place, listed: moved, content: Some(content) }),
            }
        }
        Ok(())
    }

    /// What stands behind the tag of `place`; `None` when nothing does.
    async fn standing(&self, place: &Place, call: &Call) -> Result<Option<Content>> {
        let stored = self.get(place.tag(), call).await?;
        stored.map(|stored| Content::read(place, Some(&stored.into()))).transpose()
    }

    /// Merges what the tag has lost, of any age.
    async fn repair(
        &self,
        journal: &mut Journal,
        referring: &Referring,
        collected: &mut Collected,
        call: &Call,
    ) -> Result<()> {
        // Where the tag is gone, somebody cleaned it.
        let Some(content) = &journal.content else { return Ok(()) };
        let here = content.ids();
        if journal.listed.iter().all(|listed| listed.name.is_some_and(|name| here.contains(&name.id))) {
            return Ok(());
        }
        let capability = match referring.journal.is_empty() {
            true => journal::Capability::TagOnly,
            false => journal::Capability::Referrers,
        };
        let machine = Machine::new(journal.place.clone(), Job::Repair, capability, None)?;
        let protection = match self.drive_one(machine, call).await? {
            Outcome::Stored => Protection::Stored,
            Outcome::StoredUnprotected(why) => Protection::StoredUnprotected(why.to_string()),
            Outcome::JournalOnly(why) => Protection::JournalOnly(why.to_string()),
        };
        journal.content = self.standing(&journal.place, call).await?;
        if journal.content.as_ref().is_some_and(|now| now.ids() != here) {
            collected.repaired.push((self.signature_place(journal.place.tag()), protection));
        }
        Ok(())
    }

    /// Whether the image is no more. With a repository of their own, signatures of images elsewhere are beside each
    /// other, so that its absence here says nothing.
    async fn is_gone(&self, subject: &Digest, call: &Call) -> Result<bool> {
        if self.image_at() != self.at() && self.image.digest() != Some(subject) {
            return Ok(false);
        }
        let (host, repository) = self.image_at();
        Ok(self.transport.head_manifest(host, repository, &subject.to_string(), call).await?.is_none())
    }
}

/// The image that a tag such as `sha256-<hex>.sig` or one of its journal belongs to.
fn subject_of(tag: &str) -> Option<Digest> {
    let rest = tag.strip_prefix("sha256-")?;
    let (hex, after) = rest.split_at_checked(64)?;
    let known = after.is_empty() || after.starts_with('.');
    known.then(|| Digest::parse(&format!("sha256:{hex}")).ok()).flatten()
}
