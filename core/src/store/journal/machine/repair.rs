//! 4. Repair: GET the missing entries, PUT tag := tag ∪ missing, check again.

use std::collections::{BTreeMap, BTreeSet};

use super::super::listed::Listed;
use super::super::names::EntryId;
use super::super::protocol::{Answer, Phase, Reason, Request, Step};
use super::super::union::{Entry, Union};
use super::{EntryState, Machine, State, TRIES};
use crate::error::{Code, Error};
use crate::oci::Descriptor;

impl Machine {
    pub(super) fn fetch(&mut self, wanted: Vec<Listed>) -> Step {
        let requests: Vec<Request> = wanted
            .iter()
            .filter_map(|listed| listed.reference(&self.place))
            .map(|reference| Request::GetJournalEntry { reference })
            .collect();
        if requests.len() != wanted.len() {
            return self.unexpected();
        }
        self.fetched = self.fetched.saturating_add(wanted.len());
        self.state = State::Fetching(wanted);
        self.ask(Phase::Repair, requests)
    }

    pub(super) fn fetched(&mut self, wanted: Vec<Listed>, answers: Vec<(Request, Answer)>) -> Step {
        let mut in_flight = false;
        for (listed, (_, answer)) in wanted.into_iter().zip(answers) {
            match answer {
                Answer::Manifest(Some(stored)) => {
                    let referrer = listed.digest.is_some();
                    match Entry::read(&self.place, listed.name, referrer, &stored) {
                        Ok(entry) => {
                            self.known.insert(listed, (entry.name, entry.item));
                        }
                        Err(error) => {
                            self.skipped.insert(listed, error);
                        }
                    }
                }
                Answer::Manifest(None) => {
                    // Listed before it is readable (Distribution 3.1): its writer has not finished, and will check.
                    let tries = self.absent.entry(listed.clone()).or_default();
                    *tries = tries.saturating_add(1);
                    if *tries >= TRIES {
                        self.skipped
                            .insert(listed, Error::new(Code::Protocol, "the journal entry is listed but absent"));
                    } else {
                        in_flight = true;
                    }
                }
                Answer::Failed(error) => {
                    let tries = self.absent.entry(listed.clone()).or_default();
                    *tries = tries.saturating_add(1);
                    if *tries >= TRIES {
                        self.degraded = Some(Reason::EntryUnread(error.clone()));
                        self.skipped.insert(listed, error);
                    } else {
                        in_flight = true;
                    }
                }
                _ => return self.unexpected(),
            }
        }
        if in_flight { self.sleep(1) } else { self.decide() }
    }

    pub(super) fn repair(&mut self, others: BTreeMap<EntryId, Descriptor>) -> Step {
        let before: BTreeSet<EntryId> = self.content.ids();
        let (put, union) = match self.put_union(others) {
            Ok(made) => made,
            Err(error) => {
                self.closed = Some(Reason::TagUnusable(error));
                return self.settle(Some(Reason::Full));
            }
        };
        let own_missing = self.own.as_ref().is_some_and(|own| !before.contains(&own.entry.name.id));
        if self.merging.is_empty() && !own_missing {
            // Nothing of it fits: writing the same again would not help anyone.
            return self.decide();
        }
        match &union.config {
            Some(config) => {
                let blob = Request::PutBlob { bytes: config.as_slice().into() };
                self.state = State::Uploading(union);
                self.ask(Phase::Repair, vec![blob])
            }
            None => {
                self.state = State::Repairing;
                self.ask(Phase::Repair, vec![put])
            }
        }
    }

    pub(super) fn uploaded(&mut self, union: Union, answers: Vec<(Request, Answer)>) -> Step {
        match answers.into_iter().next() {
            Some((_, Answer::Blob)) => {}
            Some((_, Answer::Failed(error))) if union.bytes.is_empty() => {
                // A duplicate's entry cannot be written.
                if let Some(own) = self.own.as_mut() {
                    own.state = EntryState::Refused(error);
                }
                return self.check();
            }
            Some((_, Answer::Failed(error))) => {
                self.closed = Some(Reason::TagRefused(error));
                return self.settle(None);
            }
            _ => return self.unexpected(),
        }
        if union.bytes.is_empty() {
            let Some(put) = self.put_entry() else { return self.unexpected() };
            self.state = State::Committing;
            return self.ask(Phase::Commit, vec![put]);
        }
        self.state = State::Repairing;
        self.ask(Phase::Repair, vec![Request::PutTag { media_type: union.media_type, bytes: union.bytes }])
    }
}
