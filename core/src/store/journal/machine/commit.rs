//! 2. Commit: PUT journal entry, PUT tag := tag ∪ own. From here on others see what was done.

use std::collections::{BTreeMap, BTreeSet};

use super::super::listed::Listed;
use super::super::names::{EntryId, Kind};
use super::super::protocol::{Answer, Phase, Put, Reason, Request, Step};
use super::super::union::Union;
use super::{EntryState, Machine, State, TRIES};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::oci::Descriptor;

impl Machine {
    pub(super) fn commit(&mut self) -> Step {
        let Some(put) = self.put_entry() else { return self.unexpected() };
        if self.place.kind() == Kind::Index {
            // The index refers to the entry, which must be there before.
            self.state = if self.by_referrers() { State::Untagged } else { State::Committing };
            return self.ask(Phase::Commit, vec![put]);
        }
        match self.put_union(BTreeMap::new()) {
            Ok((tag, _)) => {
                self.state = State::Committing;
                self.ask(Phase::Commit, vec![put, tag])
            }
            Err(error) => self.fail(error),
        }
    }

    /// The PUT of the own entry. A bundle whose journal tag is refused is stored by its digest: the index needs it.
    pub(super) fn put_entry(&mut self) -> Option<Request> {
        let untagged = self.by_referrers();
        let own = self.own.as_mut()?;
        own.puts = own.puts.saturating_add(1);
        let refused = matches!(own.state, EntryState::Refused(_));
        own.by_digest = refused;
        let entry = &own.entry;
        Some(Request::PutJournal {
            tag: (!untagged && !refused).then(|| self.place.entry_tag(&entry.name)),
            digest: entry.digest.clone(),
            media_type: entry.media_type.clone(),
            bytes: entry.bytes.clone(),
        })
    }

    /// The PUT of the tag with the own signature and `others`, and the union it writes.
    pub(super) fn put_union(&mut self, others: BTreeMap<EntryId, Descriptor>) -> Result<(Request, Union)> {
        let own = self.own.as_ref().map(|own| (own.entry.name.id, &own.entry.item));
        let union = self.content.union(own, &others, self.docker())?;
        self.left_out.extend(&union.left_out);
        let merged = others.into_iter().filter(|(id, _)| !union.left_out.contains(id));
        self.merging = merged.map(|(id, item)| (id, item.digest)).collect();
        self.tag_tried = true;
        Ok((Request::PutTag { media_type: union.media_type.clone(), bytes: union.bytes.clone() }, union))
    }

    pub(super) fn committed(&mut self, answers: Vec<(Request, Answer)>) -> Step {
        let mut tag = None;
        for (request, answer) in answers {
            match (request, answer) {
                (Request::PutJournal { tag, .. }, answer) => {
                    if let Err(step) = self.entry_written(tag.is_some(), answer) {
                        return *step;
                    }
                }
                (Request::PutTag { .. }, answer) => tag = Some(answer),
                _ => return self.unexpected(),
            }
        }
        match tag {
            Some(answer) => self.tag_answered(answer),
            None => self.after_entry(),
        }
    }

    /// After the entry alone was written: a bundle's first commit, a repetition, or a duplicate's entry.
    fn after_entry(&mut self) -> Step {
        // Once the tag was tried, only a check may lead to it again.
        if self.place.kind() == Kind::Image || self.tag_tried || self.closed.is_some() {
            return self.check();
        }
        let again = self.own.as_mut().is_some_and(|own| match &own.state {
            EntryState::Refused(_) => !own.by_digest,
            EntryState::Ambiguous(error) => {
                // The index must not name what nobody knows to be there: under its digest it is stored, or that is the end.
                if own.puts >= TRIES {
                    own.state = EntryState::Refused(error.clone());
                }
                true
            }
            _ => false,
        });
        if again {
            let Some(put) = self.put_entry() else { return self.unexpected() };
            self.state = State::Committing;
            return self.ask(Phase::Commit, vec![put]);
        }
        match self.put_union(BTreeMap::new()) {
            Ok((tag, _)) => {
                self.state = State::CommittingTag;
                self.ask(Phase::Commit, vec![tag])
            }
            Err(error) => {
                self.closed = Some(Reason::TagUnusable(error));
                self.check()
            }
        }
    }

    fn entry_written(&mut self, tagged: bool, answer: Answer) -> Result<(), Box<Step>> {
        let referrers = self.by_referrers();
        let bundle = self.place.kind() == Kind::Index;
        let Some(own) = self.own.as_mut() else { return Err(Box::new(self.unexpected())) };
        match answer {
            Answer::Put(Put::Stored { .. }) if tagged || referrers => {
                own.state = EntryState::Stored;
                self.stages.journal = true;
            }
            // A bundle's manifest by its digest, because its journal tag was refused: still without protection.
            Answer::Put(Put::Stored { .. }) => {}
            Answer::Put(Put::Ambiguous(e) | Put::Unavailable(e)) | Answer::Failed(e) if tagged || referrers => {
                own.state = EntryState::Ambiguous(e);
            }
            Answer::Put(Put::Refused(e) | Put::Immutable(e) | Put::BlobUnknown(_, e)) => {
                if bundle && !tagged {
                    return Err(Box::new(self.fail(e)));
                }
                own.state = EntryState::Refused(e);
            }
            Answer::Put(Put::Ambiguous(e) | Put::Unavailable(e)) | Answer::Failed(e) => {
                return Err(Box::new(self.fail(e)));
            }
            _ => return Err(Box::new(self.unexpected())),
        }
        Ok(())
    }

    pub(super) fn tag_written(&mut self, answers: Vec<(Request, Answer)>) -> Step {
        match answers.into_iter().next() {
            Some((Request::PutTag { .. }, answer)) => self.tag_answered(answer),
            _ => self.unexpected(),
        }
    }

    /// Whatever the answer: the next thing is to look.
    fn tag_answered(&mut self, answer: Answer) -> Step {
        match answer {
            Answer::Put(Put::Stored { .. }) => {
                self.stages.tag = true;
                self.unavailable = 0;
                self.waited = 0;
            }
            Answer::Put(Put::Ambiguous(error)) | Answer::Failed(error) => self.ambiguous = Some(error),
            Answer::Put(Put::Unavailable(error)) => {
                self.unavailable = self.unavailable.saturating_add(1);
                if self.unavailable >= TRIES {
                    self.closed = Some(Reason::TagRefused(error));
                } else {
                    return self.sleep(2);
                }
            }
            Answer::Put(Put::Immutable(error)) => self.closed = Some(Reason::Immutable(error)),
            Answer::Put(Put::BlobUnknown(blobs, error)) => self.drop_merged(&blobs, error),
            Answer::Put(Put::Refused(error)) => self.closed = Some(Reason::TagRefused(error)),
            _ => return self.unexpected(),
        }
        self.check()
    }

    /// The union refers to blobs that are not there: without the entries that brought them in.
    fn drop_merged(&mut self, blobs: &[Digest], error: Error) {
        let named: BTreeSet<EntryId> =
            self.merging.iter().filter(|(_, digest)| blobs.contains(digest)).map(|(id, _)| *id).collect();
        let bad = if named.is_empty() { self.merging.keys().copied().collect() } else { named };
        if bad.is_empty() {
            self.closed = Some(Reason::TagRefused(error));
            return;
        }
        let refs: Vec<Listed> = self
            .known
            .iter()
            .filter(|(_, (name, _))| bad.contains(&name.id))
            .map(|(listed, _)| listed.clone())
            .collect();
        for listed in refs {
            self.known.remove(&listed);
            self.skipped.insert(listed, error.clone());
        }
    }
}
