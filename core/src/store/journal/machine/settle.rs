//! The end: how well the signature is stored, and why not better.

use super::super::listed::in_window;
use super::super::protocol::{Outcome, Reason, Step};
use super::{EntryState, Machine};
use crate::error::{Code, Error};

impl Machine {
    pub(super) fn settle(&mut self, reason: Option<Reason>) -> Step {
        let Some(own) = self.own.clone() else { return self.settle_repair(reason) };
        let in_tag = self.stages.checked;
        let in_journal = own.seen || matches!(own.state, EntryState::Stored);
        if !in_tag && let Some(closed) = self.closed.take() {
            return match closed {
                closed if in_journal => self.done(Outcome::JournalOnly(closed)),
                Reason::Immutable(e) | Reason::TagRefused(e) | Reason::TagUnusable(e) => self.fail(e),
                _ => self.unexpected(),
            };
        }
        // The tag could not be read back, or others won every round.
        if !in_tag {
            return match reason {
                Some(Reason::CheckFailed(error)) if !self.stages.tag && !in_journal => self.fail(error),
                Some(reason @ Reason::CheckFailed(_)) if self.stages.tag => {
                    self.done(Outcome::StoredUnprotected(reason))
                }
                Some(reason) if in_journal => self.done(Outcome::JournalOnly(reason)),
                Some(reason) => self.fail(Error::new(Code::Conflict, format!("the signature is not stored: {reason}"))),
                None => self.unexpected(),
            };
        }
        // Closed by an error that is not immutability, or after an own write: entries of others may stay missing.
        let closed = self.closed.take().filter(|closed| self.stages.tag || !matches!(closed, Reason::Immutable(_)));
        let refused = match own.state {
            EntryState::Refused(error) => Some(Reason::JournalRefused(error)),
            _ => None,
        };
        let outside = !self.stages.duplicate && !in_window(own.entry.name.time, self.now);
        let why = self
            .ambiguous
            .take()
            .map(Reason::AmbiguousPut)
            .or(refused)
            .or_else(|| self.unlisted.take())
            .or((!own.seen).then_some(Reason::NotListed))
            .or(outside.then_some(Reason::Clock))
            .or(reason)
            .or_else(|| self.degraded.take())
            .or((!self.left_out.is_empty()).then_some(Reason::Full))
            .or(closed);
        match why {
            None => self.done(Outcome::Stored),
            Some(reason) => self.done(Outcome::StoredUnprotected(reason)),
        }
    }

    /// A repair has nothing of its own to lose: either everything was merged and read back, or it says why not.
    fn settle_repair(&mut self, reason: Option<Reason>) -> Step {
        let why = self
            .ambiguous
            .take()
            .map(Reason::AmbiguousPut)
            .or_else(|| self.unlisted.take())
            .or(reason)
            .or_else(|| self.closed.take())
            .or_else(|| self.degraded.take())
            .or((!self.left_out.is_empty()).then_some(Reason::Full));
        match why {
            None => self.done(Outcome::Stored),
            Some(reason) => self.done(Outcome::StoredUnprotected(reason)),
        }
    }
}
