//! 3. Check: GET tag, list journal, and what to do about what is missing.

use std::collections::{BTreeMap, BTreeSet};

use super::super::job::Job;
use super::super::listed::{Listed, in_window, listed_referrers};
use super::super::names::{EntryId, EntryName};
use super::super::protocol::{Answer, Capability, Listing, Phase, Reason, Request, Step};
use super::super::union::{Content, Union, layer_config};
use super::{EntryState, FETCH_BATCH, MAX_FETCHED, MAX_ROUNDS, MAX_WAITS, Machine, State, TRIES};
use crate::error::{Code, Error};
use crate::oci::Descriptor;

impl Machine {
    pub(super) fn check(&mut self) -> Step {
        self.stages.rounds = self.stages.rounds.saturating_add(1);
        if self.stages.rounds > MAX_ROUNDS {
            return self.settle(Some(Reason::Rounds));
        }
        let mut requests = Vec::new();
        if !matches!(self.closed, Some(Reason::TagUnusable(_))) {
            requests.push(Request::GetTag);
        }
        if self.unlisted.is_none() {
            requests.push(self.list());
        }
        if requests.is_empty() {
            return self.settle(None);
        }
        self.state = State::Checking;
        self.ask(Phase::Check, requests)
    }

    fn list(&self) -> Request {
        if self.by_referrers() {
            Request::GetReferrers
        } else {
            Request::ListJournal { prefix: self.place.prefix(), whole: self.whole_list }
        }
    }

    pub(super) fn checked(&mut self, answers: Vec<(Request, Answer)>) -> Step {
        let mut relist = false;
        for (request, answer) in answers {
            match (request, answer) {
                (Request::GetTag, Answer::Manifest(found)) => match Content::read(&self.place, found.as_ref()) {
                    Ok(content) => self.content = content,
                    Err(error) => {
                        self.content = Content::none(self.place.kind());
                        self.closed = Some(Reason::TagUnusable(error));
                    }
                },
                (Request::GetReferrers, Answer::Referrers(Some(found))) => {
                    self.listed = listed_referrers(&found);
                    self.listed_at_all = true;
                }
                // What was known about the repository is not so: begin again, with tags.
                (Request::GetReferrers, Answer::Referrers(None)) if !self.restarted => return self.restart(),
                (Request::GetReferrers, Answer::Referrers(None)) => {
                    self.unlisted = Some(Reason::NotListed);
                }
                (Request::ListJournal { whole, .. }, Answer::Listing(listing)) => match listing {
                    Listing::Tags(tags, complete) => {
                        let names: BTreeSet<EntryName> = tags.iter().filter_map(|tag| self.place.parse(tag)).collect();
                        self.listed = names.into_iter().map(|name| Listed { name: Some(name), digest: None }).collect();
                        self.listed_at_all = true;
                        if !complete && self.degraded.is_none() {
                            self.degraded = Some(Reason::NotListed);
                        }
                    }
                    Listing::BadParameters(_) if !whole => relist = true,
                    Listing::BadParameters(error) | Listing::Forbidden(error) => {
                        self.unlisted = Some(Reason::ListingForbidden(error));
                    }
                },
                (Request::GetTag, Answer::Failed(error)) => {
                    self.failures = self.failures.saturating_add(1);
                    if self.failures >= TRIES {
                        return self.settle(Some(Reason::CheckFailed(error)));
                    }
                    return self.sleep(2);
                }
                (Request::ListJournal { .. } | Request::GetReferrers, Answer::Failed(error)) => {
                    self.failures = self.failures.saturating_add(1);
                    if self.failures < TRIES {
                        return self.sleep(2);
                    }
                    self.unlisted = Some(Reason::ListingFailed(error));
                }
                _ => return self.unexpected(),
            }
        }
        if relist {
            return self.list_whole();
        }
        self.decide()
    }

    fn list_whole(&mut self) -> Step {
        self.whole_list = true;
        self.state = State::Checking;
        let list = self.list();
        self.ask(Phase::Check, vec![list])
    }

    pub(super) fn restart(&mut self) -> Step {
        self.restarted = true;
        self.capability = Capability::TagOnly;
        self.own = None;
        self.unlisted = None;
        self.start()
    }

    pub(super) fn decide(&mut self) -> Step {
        let here = self.content.ids();
        let own = self.own.as_ref().map(|own| own.entry.name.id);
        let own_missing = own.filter(|id| !here.contains(id));
        self.stages.checked = own.is_some() && own_missing.is_none();
        if self.unlisted.is_none()
            && let Some(step) = self.look_for_own()
        {
            return step;
        }
        if self.closed.is_some() {
            return self.settle(None);
        }

        // What the journal claims and the tag has not. A name is only a claim until the entry is read.
        let mut missing: BTreeMap<EntryId, Listed> = BTreeMap::new();
        let mut unnamed = Vec::new();
        if self.listed_at_all {
            for listed in &self.listed {
                if self.skipped.contains_key(listed) {
                    continue;
                }
                let name = self.known.get(listed).map(|(name, _)| *name).or(listed.name);
                match name {
                    None => unnamed.push(listed.clone()),
                    Some(name) if here.contains(&name.id) || self.left_out.contains(&name.id) => {}
                    Some(name) if !self.merges(name.time) || own == Some(name.id) => {}
                    Some(name) => {
                        missing.entry(name.id).or_insert_with(|| listed.clone());
                    }
                }
            }
        }
        if missing.is_empty() && own_missing.is_none() && unnamed.is_empty() {
            return self.settle(None);
        }
        if let Some(step) = self.wait_for_smaller(&missing, own, own_missing) {
            return step;
        }
        let mut wanted = unnamed;
        wanted.extend(missing.values().filter(|listed| !self.known.contains_key(listed)).cloned());
        let budget = MAX_FETCHED.saturating_sub(self.fetched);
        if !wanted.is_empty() && budget == 0 {
            self.degraded = Some(Reason::Full);
            for listed in wanted {
                self.skipped.insert(listed, Error::new(Code::TooLarge, "more journal entries than are read"));
            }
            return self.decide();
        }
        wanted.truncate(FETCH_BATCH.min(budget));
        if !wanted.is_empty() {
            return self.fetch(wanted);
        }
        let others: BTreeMap<EntryId, Descriptor> = missing
            .values()
            .filter_map(|listed| self.known.get(listed))
            .map(|(name, item)| (name.id, item.clone()))
            .collect();
        self.repair(others)
    }

    /// Whether an entry of this time is merged. A repair merges all, unless the tag is gone: then it was cleaned.
    fn merges(&self, time: u32) -> bool {
        let all = matches!(self.job, Job::Repair) && !self.content.items().is_empty();
        all || in_window(time, self.now)
    }

    /// The canary. `None`: seen, or nothing more can be done about it.
    fn look_for_own(&mut self) -> Option<Step> {
        let own = self.own.as_ref()?;
        let name = own.entry.name;
        let seen = self.listed.iter().any(|listed| match (&own.state, &listed.digest, &listed.name) {
            // A duplicate's older entry serves as well, while others still merge it.
            (EntryState::NotWritten, _, Some(old)) => old.id == name.id && in_window(old.time, self.now),
            (_, Some(digest), _) => *digest == own.entry.digest,
            (_, None, listed) => *listed == Some(name),
        });
        let (state, puts) = (own.state.clone(), own.puts);
        if let Some(own) = self.own.as_mut() {
            own.seen = seen;
        }
        if seen {
            self.stages.journal = true;
            return None;
        }
        if !self.whole_list && !self.by_referrers() && !matches!(state, EntryState::Refused(_)) {
            return Some(self.list_whole());
        }
        match state {
            EntryState::NotWritten => {
                // A duplicate without an entry: written now, with the configuration it refers to.
                let config = self.own.as_ref().map(|own| layer_config(&own.entry.item))?;
                self.state = State::Uploading(Union {
                    media_type: String::new(),
                    bytes: Vec::new(),
                    config: None,
                    left_out: Vec::new(),
                });
                Some(self.ask(Phase::Commit, vec![Request::PutBlob { bytes: config.into() }]))
            }
            EntryState::Ambiguous(_) if puts < TRIES => {
                let put = self.put_entry()?;
                self.state = State::Committing;
                Some(self.ask(Phase::Commit, vec![put]))
            }
            EntryState::Stored if self.canary_tries < TRIES => {
                self.canary_tries = self.canary_tries.saturating_add(1);
                Some(self.sleep(2))
            }
            _ => None,
        }
    }

    /// Who has the smallest missing id repairs first; the others look again before they do the same.
    fn wait_for_smaller(
        &mut self,
        missing: &BTreeMap<EntryId, Listed>,
        own: Option<EntryId>,
        own_missing: Option<EntryId>,
    ) -> Option<Step> {
        let rank = match (own_missing, own) {
            (Some(own), _) => missing.keys().filter(|id| **id < own).count(),
            (None, Some(own)) => missing.len().saturating_add(own.small()),
            (None, None) => missing.len(),
        };
        let rank = rank.min(MAX_WAITS);
        if rank <= self.waited {
            return None;
        }
        self.waited = self.waited.saturating_add(1);
        Some(self.sleep(rank.saturating_mul(2)))
    }

    pub(super) fn sleep(&mut self, round_trips: usize) -> Step {
        self.state = State::Waiting;
        let round_trips = u32::try_from(round_trips).unwrap_or(2);
        self.ask(Phase::Wait, vec![Request::Sleep { round_trips }])
    }
}
