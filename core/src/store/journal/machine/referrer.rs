//! A bundle where the registry keeps the list: one PUT, and a look only if the answer does not vouch for it.

use super::super::protocol::{Answer, Outcome, Phase, Put, Reason, Request, Step};
use super::{EntryState, Machine, State, TRIES};

impl Machine {
    pub(super) fn untagged(&mut self, answers: Vec<(Request, Answer)>) -> Step {
        let Some(own) = self.own.as_mut() else { return self.unexpected() };
        match answers.into_iter().next() {
            Some((Request::PutJournal { .. }, Answer::Put(Put::Stored { subject }))) => {
                own.state = EntryState::Stored;
                self.stages.journal = true;
                if subject {
                    return self.done(Outcome::Stored);
                }
            }
            Some((
                Request::PutJournal { .. },
                Answer::Put(Put::Ambiguous(e) | Put::Unavailable(e)) | Answer::Failed(e),
            )) => {
                own.state = EntryState::Ambiguous(e.clone());
                self.ambiguous = Some(e);
            }
            Some((
                Request::PutJournal { .. },
                Answer::Put(Put::Refused(e) | Put::Immutable(e) | Put::BlobUnknown(_, e)),
            )) => {
                return self.fail(e);
            }
            Some((Request::GetReferrers, Answer::Referrers(Some(found)))) => {
                if found.iter().any(|entry| entry.digest == own.entry.digest) {
                    self.stages.journal = true;
                    self.stages.checked = true;
                    return self.done(Outcome::Stored);
                }
            }
            Some((Request::GetReferrers, Answer::Referrers(None))) if !self.restarted => return self.restart(),
            Some((Request::GetReferrers, Answer::Failed(_) | Answer::Referrers(None)) | (Request::Sleep { .. }, _)) => {
            }
            _ => return self.unexpected(),
        }
        let stored = matches!(own.state, EntryState::Stored);
        if self.stages.rounds >= TRIES {
            return match self.ambiguous.take() {
                Some(error) if !stored => self.fail(error),
                _ => self.done(Outcome::StoredUnprotected(Reason::NotListed)),
            };
        }
        self.stages.rounds = self.stages.rounds.saturating_add(1);
        self.state = State::Untagged;
        self.ask(Phase::Check, vec![Request::GetReferrers])
    }
}
