//! Signing without losing a signature, as a machine without input and output: it is told answers and says what to ask next.
//!
//! A tag is one register that the last writer wins, and no registry has a conditional PUT, so every signer leaves its
//! signature in a place of its own (the journal) and writes the union into the shared tag; then it reads both back, and
//! writes again until the tag holds everything that the journal lists. Whoever writes last has seen all entries of those
//! who finished before, so nothing they stored is missing. The rounds:
//!
//! 1. open: GET tag, upload blobs, what the registry can do;
//! 2. commit: PUT journal entry, PUT tag := tag ∪ own;
//! 3. check: GET tag, list journal; missing := (listed ∖ tag) ∪ (own ∖ tag); none missing: done;
//! 4. repair: GET the missing entries, PUT tag := tag ∪ missing, check again. Who has the smallest missing id begins, the
//!    others wait some round trips.
//!
//! `stored` is said only when the tag was read back and the list showed the own entry: a list that does not even show that
//! (stale, cached, cut off) proves nothing about the entries of others.

mod check;
mod commit;
mod open;
mod referrer;
mod repair;
mod settle;

use std::collections::{BTreeMap, BTreeSet};

use super::job::Job;
use super::listed::Listed;
use super::names::{EntryId, EntryName, Kind, Place};
use super::protocol::{Answer, Batch, Capability, Outcome, Phase, Reason, Reply, Request, Stages, Step};
use super::union::{Content, Entry, Union};
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::Descriptor;

/// Checks at most; progress needs a few.
pub const MAX_ROUNDS: usize = 32;
/// Waits at most before a writer repairs although smaller ids are missing, too.
pub const MAX_WAITS: usize = 3;
/// How often something that should be there by now is looked for.
const TRIES: usize = 3;
/// Entries asked for in one batch, and in all.
const FETCH_BATCH: usize = 64;
const MAX_FETCHED: usize = 1000;

#[derive(Debug, Clone)]
enum State {
    Opening,
    Preparing,
    Committing,
    CommittingTag,
    Checking,
    Waiting,
    Fetching(Vec<Listed>),
    Uploading(Union),
    Repairing,
    Untagged,
    Done,
}

#[derive(Debug, Clone)]
enum EntryState {
    NotWritten,
    Stored,
    Ambiguous(Error),
    Refused(Error),
}

#[derive(Debug, Clone)]
struct Own {
    entry: Entry,
    state: EntryState,
    puts: usize,
    /// It was sent without its journal tag.
    by_digest: bool,
    seen: bool,
}

/// One signing, from the first request to the outcome.
#[derive(Debug, Clone)]
pub struct Machine {
    place: Place,
    job: Job,
    capability: Capability,
    subject: Option<Descriptor>,
    subject_absent: bool,
    restarted: bool,

    state: State,
    asked: Vec<Request>,
    now: u64,
    dated: bool,
    content: Content,
    own: Option<Own>,
    stages: Stages,

    // The shared tag.
    ambiguous: Option<Error>,
    closed: Option<Reason>,
    unavailable: usize,
    merging: BTreeMap<EntryId, Digest>,
    tag_tried: bool,
    // The journal.
    whole_list: bool,
    unlisted: Option<Reason>,
    listed: Vec<Listed>,
    listed_at_all: bool,
    canary_tries: usize,
    known: BTreeMap<Listed, (EntryName, Descriptor)>,
    absent: BTreeMap<Listed, usize>,
    skipped: BTreeMap<Listed, Error>,
    left_out: BTreeSet<EntryId>,
    degraded: Option<Reason>,
    failures: usize,
    waited: usize,
    fetched: usize,
}

impl Machine {
    /// A machine that stores `job` at `place`. `subject` is the image's descriptor, when it is known from resolving a tag or
    /// from a parent index; it saves a request.
    ///
    /// # Errors
    /// [`Code::Internal`] when the job does not belong to the place: a bundle beside a `.sig` tag.
    pub fn new(place: Place, job: Job, capability: Capability, subject: Option<Descriptor>) -> Result<Machine> {
        let fits = match job {
            Job::Layer { .. } => place.kind() == Kind::Image,
            Job::Bundle { .. } => place.kind() == Kind::Index,
            Job::Repair => true,
        };
        if !fits {
            return Err(Error::new(Code::Internal, format!("the tag {} does not hold this format", place.tag())));
        }
        let content = Content::none(place.kind());
        Ok(Machine {
            place,
            job,
            capability,
            subject,
            subject_absent: false,
            restarted: false,
            state: State::Opening,
            asked: Vec::new(),
            now: 0,
            dated: false,
            content,
            own: None,
            stages: Stages::default(),
            ambiguous: None,
            closed: None,
            unavailable: 0,
            merging: BTreeMap::new(),
            tag_tried: false,
            whole_list: false,
            unlisted: None,
            listed: Vec::new(),
            listed_at_all: false,
            canary_tries: 0,
            known: BTreeMap::new(),
            absent: BTreeMap::new(),
            skipped: BTreeMap::new(),
            left_out: BTreeSet::new(),
            degraded: None,
            failures: 0,
            waited: 0,
            fetched: 0,
        })
    }

    /// The replies to the last batch, in its order. `local` is the caller's clock, unix seconds: used only where the
    /// registry names no time.
    pub fn resume(&mut self, replies: Vec<Reply>, local: u64) -> Step {
        if replies.len() != self.asked.len() {
            return self
                .fail(Error::new(Code::Internal, "the journal was given another number of answers than it asked"));
        }
        let asked = std::mem::take(&mut self.asked);
        match clock(&asked, &replies) {
            Some(date) => (self.now, self.dated) = (date, true),
            None if !self.dated => self.now = local,
            None => {}
        }
        let answers: Vec<(Request, Answer)> = asked.into_iter().zip(replies).map(|(q, r)| (q, r.answer)).collect();
        match std::mem::replace(&mut self.state, State::Done) {
            State::Opening => self.opened(answers),
            State::Preparing => self.prepared(answers),
            State::Committing => self.committed(answers),
            State::CommittingTag | State::Repairing => self.tag_written(answers),
            State::Checking => self.checked(answers),
            State::Waiting => self.check(),
            State::Fetching(wanted) => self.fetched(wanted, answers),
            State::Uploading(union) => self.uploaded(union, answers),
            State::Untagged => self.untagged(answers),
            State::Done => self.fail(Error::new(Code::Internal, "the journal is done and was asked to go on")),
        }
    }

    /// Ends the machine before its time: cancelled, or not enough time left to commit and check. Before the commit nothing
    /// is left behind.
    pub fn stop(&mut self, error: Error) -> Step {
        self.fail(error)
    }

    /// Where it stores.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Tells the image's descriptor, which another question has answered; it saves a request from now on.
    pub fn know_subject(&mut self, subject: &Descriptor) {
        self.subject.get_or_insert_with(|| subject.clone());
    }

    /// What was done so far.
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// What was learned about the repository.
    pub fn capability(&self) -> Capability {
        self.capability
    }

    /// The own journal entry, once there is one.
    pub fn entry(&self) -> Option<&Entry> {
        self.own.as_ref().map(|own| &own.entry)
    }

    /// Journal entries that were not merged because they are malformed, absent or refer to blobs that are not there.
    pub fn skipped(&self) -> impl Iterator<Item = (&Listed, &Error)> {
        self.skipped.iter()
    }

    /// Whether the place is a list that the registry keeps itself.
    fn by_referrers(&self) -> bool {
        self.capability == Capability::Referrers && !self.subject_absent
    }

    fn ask(&mut self, phase: Phase, requests: Vec<Request>) -> Step {
        self.asked = requests.clone();
        Step::Ask(Batch { phase, requests })
    }

    fn fail(&mut self, error: Error) -> Step {
        self.state = State::Done;
        Step::Done(Err(error))
    }

    fn done(&mut self, outcome: Outcome) -> Step {
        self.state = State::Done;
        Step::Done(Ok(outcome))
    }

    fn unexpected(&mut self) -> Step {
        self.fail(Error::new(Code::Internal, "the journal was given the answer to another question"))
    }
}

/// The registry's time: of the uploads if any, because their answers never come out of a cache.
fn clock(asked: &[Request], replies: &[Reply]) -> Option<u64> {
    let dates = |uploads: bool| {
        let pairs = asked.iter().zip(replies);
        let wanted = pairs.filter(move |(request, _)| {
            let upload =
                matches!(request, Request::PutBlob { .. } | Request::PutTag { .. } | Request::PutJournal { .. });
            !uploads || upload
        });
        wanted.filter_map(|(_, reply)| reply.date).max()
    };
    dates(true).or_else(|| dates(false))
}
