//! The check of a signature's entry in a transparency log, the same for both formats.
//!
//! An entry stands beside the signature, or the log was asked for one. With a key a log is demanded only if the policy says
//! so; but what is there is judged as soon as the policy trusts any log, so that nobody's word is weaker than the evidence
//! at hand. An entry that was found in the log must prove that it is included; of several that were found, those of other
//! signatures say nothing.

use super::checks::Steps;
use super::policy::Policy;
use crate::bundle::rekor::Logged;
use crate::bundle::sigstore::LogEntry;
use crate::error::{Code, Error, Result};
use crate::trust::{self, LogProof, Subject};

/// What a transparency log was asked about one signature, and what it said.
#[derive(Debug, Clone)]
pub enum LogAnswer {
    /// It was not asked.
    NotAsked,
    /// These are the entries it has, in no order; perhaps none.
    Entries(Vec<Logged>),
    /// It could not be heard: nothing is known.
    Unread(Error),
}

/// Checks the entries beside the signature, `own`, or else those that were found.
pub(super) fn check(
    own: Result<Vec<LogEntry>>,
    subject: impl FnOnce() -> Subject,
    policy: &Policy,
    asked: &LogAnswer,
    steps: &mut Steps<'_>,
) -> Result<Option<LogProof>, ()> {
    let demanded = policy.requires_tlog();
    let trusts = !policy.trusted().logs().is_empty();
    let refused = |what: &str| Err(Error::new(Code::SignatureInvalid, what));
    let own = match own {
        // Nobody could say what it proves.
        Err(_) if !trusts && !demanded => {
            steps.skip("log", "no trusted root");
            return Ok(None);
        }
        own => own,
    };
    match own {
        Err(error) => steps.run("log", Err(error)),
        Ok(own) if !own.is_empty() => match (trusts, demanded) {
            (false, false) => {
                steps.skip("log", "no trusted root");
                Ok(None)
            }
            (false, true) => steps.run("log", refused("a log entry is demanded, and no log is trusted")),
            (true, false) if only_unread(&own, policy) => {
                steps.skip("log", "its entries are of a log of the second generation, which is not read yet");
                Ok(None)
            }
            (true, _) => steps.run("log", beside(&own, &subject(), policy)).map(Some),
        },
        Ok(_) if !demanded => {
            steps.skip("log", "the signature has none");
            Ok(None)
        }
        Ok(_) => match asked {
            LogAnswer::NotAsked => {
                steps.wanted = Some(subject());
                steps.run("log", refused("the signature has no log entry beside it, and no log was asked"))
            }
            LogAnswer::Unread(error) => steps.run("log", Err(error.clone())),
            LogAnswer::Entries(entries) => steps.run("log", found(entries, &subject(), policy)).map(Some),
        },
    }
}

/// The generation of the trusted log that an entry names.
fn generation(entry: &LogEntry, policy: &Policy) -> Option<u8> {
    let log = policy.trusted().logs().iter().find(|log| log.id == entry.log_id)?;
    Some(if log.is_second_generation() { 2 } else { 1 })
}

/// Whether trusted logs have made entries, and none that is read: they say nothing, as if they were not there. Which log
/// writes such entries the caller's trusted root says, not the entry.
fn only_unread(own: &[LogEntry], policy: &Policy) -> bool {
    let mut generations = own.iter().filter_map(|entry| generation(entry, policy)).peekable();
    generations.peek().is_some() && generations.all(|generation| generation == 2)
}

/// Entries that came with the signature: all that a trusted log has made must be good, and one of them at least.
fn beside(own: &[LogEntry], subject: &Subject, policy: &Policy) -> Result<LogProof> {
    let mut first = None;
    for entry in own.iter().filter(|entry| generation(entry, policy) == Some(1)) {
        let proof = trust::check_entry(entry, subject, policy.trusted())?;
        first.get_or_insert(proof);
    }
    first.ok_or_else(|| {
        Error::new(
            Code::SignatureInvalid,
            match only_unread(own, policy) {
                true => "the log entry is of a log of the second generation, which is not read yet",
                false => "the log entry was made by no log that is trusted",
            },
        )
    })
}

fn found(entries: &[Logged], subject: &Subject, policy: &Policy) -> Result<LogProof> {
    let mut refused = None;
    for logged in entries {
        match trust::check_included(logged, subject, policy.trusted()) {
            Ok(proof) => return Ok(proof),
            Err(error) => refused = Some(error),
        }
    }
    Err(match refused {
        None => Error::new(Code::SignatureInvalid, "the transparency log has no entry of this signature"),
        Some(error) => {
            let count = entries.len();
            error.context(format!("none of the {count} entries that the transparency log answers is good"))
        }
    })
}
