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

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::names::{EntryId, EntryName, Kind, Place, parse_time};
use super::union::{Content, Entry, JOURNAL_ID, JOURNAL_TIME, JOURNAL_TYPE, Union, layer_config};
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::Descriptor;
use crate::store::StoredManifest;

/// Checks at most; progress needs a few.
pub const MAX_ROUNDS: usize = 32;
/// Waits at most before a writer repairs although smaller ids are missing, too.
pub const MAX_WAITS: usize = 3;
/// How often something that should be there by now is looked for.
const TRIES: usize = 3;
/// Entries asked for in one batch, and in all.
const FETCH_BATCH: usize = 64;
const MAX_FETCHED: usize = 1000;
/// Signers merge entries from this long ago …
pub const WINDOW_BACK: u64 = 24 * 60 * 60;
/// … to this far in the future, in seconds.
pub const WINDOW_AHEAD: u64 = 10 * 60;

/// Whether an entry of `time` is merged at `now`, both unix seconds by the registry's clock. Older ones may have been
/// cleaned from the tag on purpose and must not come back.
pub fn in_window(time: u32, now: u64) -> bool {
    let time = u64::from(time);
    time >= now.saturating_sub(WINDOW_BACK) && time <= now.saturating_add(WINDOW_AHEAD)
}

/// What a repository can do, as far as it is known. Cached by the caller, per repository and in memory only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Not asked yet: `GET /referrers` joins the first batch.
    Unknown,
    /// The registry keeps lists of referrers.
    Referrers,
    /// It has only tags.
    TagOnly,
}

/// One of the requests of a batch. They do not depend on each other: sent together, they cost one round trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// HEAD the image, for its descriptor. Answer: [`Answer::Subject`].
    HeadSubject,
    /// GET `/referrers/<subject>`, all pages, unfiltered. Answer: [`Answer::Referrers`].
    GetReferrers,
    /// GET the shared tag, whole, hashed; never HEAD. Answer: [`Answer::Manifest`].
    GetTag,
    /// PUT the shared tag. Never resent by the driver. Answer: [`Answer::Put`].
    PutTag {
        /// The media type.
        media_type: String,
        /// The exact bytes.
        bytes: Vec<u8>,
    },
    /// Upload a blob; content-addressed, so the driver may repeat it. Answer: [`Answer::Blob`].
    PutBlob {
        /// The exact bytes.
        bytes: Arc<[u8]>,
    },
    /// PUT a journal entry or a bundle's manifest. Its place is its own, so the driver may repeat it. Answer:
    /// [`Answer::Put`].
    PutJournal {
        /// The journal tag, or `None`: untagged, by digest.
        tag: Option<String>,
        /// The digest of the bytes.
        digest: Digest,
        /// The media type.
        media_type: String,
        /// The exact bytes.
        bytes: Vec<u8>,
    },
    /// List the journal's tags. Answer: [`Answer::Listing`].
    ListJournal {
        /// What the tags begin with; also the `last` of a list that begins right there.
        prefix: String,
        /// Without parameters: the whole list, for registries whose answer to the question was not good.
        whole: bool,
    },
    /// GET a journal entry. Answer: [`Answer::Manifest`].
    GetJournalEntry {
        /// A tag or a digest.
        reference: String,
    },
    /// Wait for this many round trips (as measured, jittered). Answer: [`Answer::Slept`].
    Sleep {
        /// How many.
        round_trips: u32,
    },
}

/// What came back for one request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The image's descriptor; `None` on 404.
    Subject(Option<Descriptor>),
    /// The list of referrers; `None` when the registry has no such API (404, 400, 405, 406, 501 or another content type).
    Referrers(Option<Vec<Descriptor>>),
    /// A manifest; `None` when the registry itself says that it is absent.
    Manifest(Option<StoredManifest>),
    /// The blob is there.
    Blob,
    /// How a PUT ended.
    Put(Put),
    /// The journal's tags.
    Listing(Listing),
    /// The time has passed.
    Slept,
    /// No usable answer, after the transport's own retries. For a PUT of the tag, use [`Answer::Put`].
    Failed(Error),
}

/// How a PUT of a manifest ended.
#[derive(Debug, Clone)]
pub enum Put {
    /// 201 or another success.
    Stored {
        /// The answer had `OCI-Subject`: the registry keeps the list of referrers itself.
        subject: bool,
    },
    /// No complete answer, 502 or 504: it may be stored already, later, or never.
    Ambiguous(Error),
    /// A complete answer that asks to come back: 429, 500, 503.
    Unavailable(Error),
    /// Refused because tags may not be overwritten (ECR `TAG_INVALID … immutable`, Harbor `PRECONDITION`, Quay 409
    /// `TAG_IMMUTABLE`).
    Immutable(Error),
    /// 400 `MANIFEST_BLOB_UNKNOWN`, with the digests it names.
    BlobUnknown(Vec<Digest>, Error),
    /// Refused for another reason: denied, quota, tag rules.
    Refused(Error),
}

/// What a list of tags said.
#[derive(Debug, Clone)]
pub enum Listing {
    /// The tags with the prefix, perhaps with others among them, and whether the list was read to its end.
    Tags(Vec<String>, bool),
    /// 400, 405, 413: perhaps it does not like the parameters.
    BadParameters(Error),
    /// 401, 403, 404: this registry does not list.
    Forbidden(Error),
}

/// An answer with the time at which the registry gave it.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The answer.
    pub answer: Answer,
    /// Its `Date` header, unix seconds.
    pub date: Option<u64>,
}

/// What the requests of a batch are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reads, and uploads of blobs nobody refers to. Stopping here leaves nothing behind.
    Prepare,
    /// The first writes that others see. Before this batch the time left must suffice for two round trips, else
    /// [`Machine::stop`]; after it, a cancel answers with [`Machine::stages`].
    Commit,
    /// Reads back.
    Check,
    /// Merges what is missing.
    Repair,
    /// Waits for others.
    Wait,
}

/// Requests to send together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What they are for.
    pub phase: Phase,
    /// The requests; the replies have the same order.
    pub requests: Vec<Request>,
}

/// What the machine wants next.
#[derive(Debug, Clone)]
pub enum Step {
    /// Send these and [`Machine::resume`] with the replies.
    Ask(Batch),
    /// The end.
    Done(Result<Outcome>),
}

/// How signing ended, when the signature is somewhere.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// In the shared place, read back, and protected against concurrent signers.
    Stored,
    /// In the shared place, but a concurrent or late writer may have overwritten it unseen.
    StoredUnprotected(Reason),
    /// Only in the journal: plain cosign does not see it.
    JournalOnly(Reason),
}

/// Why an outcome is not [`Outcome::Stored`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Reason {
    /// A PUT of the shared tag was not answered, so it may still take effect.
    AmbiguousPut(Error),
    /// The journal entry was refused.
    JournalRefused(Error),
    /// The registry does not list its tags.
    ListingForbidden(Error),
    /// The list could not be read.
    ListingFailed(Error),
    /// The list does not show the own entry: stale, cached or cut off.
    NotListed,
    /// The own entry lies outside the window in which others merge it: clocks disagree.
    Clock,
    /// Still not settled after [`MAX_ROUNDS`].
    Rounds,
    /// The tag could not be read back.
    CheckFailed(Error),
    /// An entry of the journal could not be read.
    EntryUnread(Error),
    /// There is not room for all entries.
    Full,
    /// Tags may not be overwritten here.
    Immutable(Error),
    /// The tag was refused.
    TagRefused(Error),
    /// The tag holds something that must not be overwritten.
    TagUnusable(Error),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, error) = match self {
            Reason::AmbiguousPut(e) => ("a write was not answered and may still take effect", Some(e)),
            Reason::JournalRefused(e) => ("the registry refused the journal entry", Some(e)),
            Reason::ListingForbidden(e) => ("the registry does not list its tags", Some(e)),
            Reason::ListingFailed(e) => ("the journal could not be listed", Some(e)),
            Reason::NotListed => ("the registry's list does not show what was just written", None),
            Reason::Clock => ("the registry's clocks disagree by more than the journal allows", None),
            Reason::Rounds => ("other signers kept overwriting", None),
            Reason::CheckFailed(e) => ("the signatures could not be read back", Some(e)),
            Reason::EntryUnread(e) => ("a journal entry could not be read", Some(e)),
            Reason::Full => ("not all signatures of the journal have room", None),
            Reason::Immutable(e) => ("tags may not be overwritten in this repository", Some(e)),
            Reason::TagRefused(e) => ("the registry refused the signature tag", Some(e)),
            Reason::TagUnusable(e) => ("the signature tag holds something else", Some(e)),
        };
        match error {
            Some(error) => write!(f, "{what}: {error}"),
            None => f.write_str(what),
        }
    }
}

/// Recognises a signature that says the same already (cosign's `DupeDetector`).
pub type Duplicate = Arc<dyn Fn(&Descriptor) -> bool + Send + Sync>;
/// Writes a bundle's manifest, given the subject's descriptor and the registry's unix time.
pub type BundleManifest = Arc<dyn Fn(&Descriptor, u64) -> Vec<u8> + Send + Sync>;

/// What is to be stored.
// One lives in each machine: boxing would cost more than it saves.
#[allow(clippy::large_enum_variant)]
#[derive(Clone)]
pub enum Job {
    /// A layer of a legacy signature image.
    Layer {
        /// The layer.
        layer: Descriptor,
        /// Its blob.
        payload: Arc<[u8]>,
        /// Whether a new image has Docker media types.
        docker: bool,
        /// Recognises a layer that makes this one superfluous.
        duplicate: Option<Duplicate>,
    },
    /// A sigstore bundle.
    Bundle {
        /// The bundle and the configuration it refers to.
        blobs: Vec<Arc<[u8]>>,
        /// Its manifest.
        manifest: BundleManifest,
    },
    /// Nothing new: merge what the journal holds, of any age (`gc --repair`).
    Repair,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Job::Layer { layer, docker, .. } => {
                f.debug_struct("Layer").field("layer", layer).field("docker", docker).finish_non_exhaustive()
            }
            Job::Bundle { blobs, .. } => f.debug_struct("Bundle").field("blobs", &blobs.len()).finish_non_exhaustive(),
            Job::Repair => f.write_str("Repair"),
        }
    }
}

/// What was done so far: the answer to a cancel, and part of every result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stages {
    /// The blobs are uploaded.
    pub blobs: bool,
    /// The journal entry is there; with the referrers API and a bundle, its manifest.
    pub journal: bool,
    /// The shared tag was written with the signature in it.
    pub tag: bool,
    /// The shared tag was read back, with the signature in it.
    pub checked: bool,
    /// The signature was there before; nothing new was signed into the tag.
    pub duplicate: bool,
    /// Checks made.
    pub rounds: usize,
}

/// A journal entry as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name; among referrers as its annotations claim it.
    pub name: Option<EntryName>,
    /// Its digest, among referrers.
    pub digest: Option<Digest>,
}

impl Listed {
    /// What to GET.
    pub fn reference(&self, place: &Place) -> Option<String> {
        match (&self.digest, &self.name) {
            (Some(digest), _) => Some(digest.to_string()),
            (None, Some(name)) => Some(place.entry_tag(name)),
            (None, None) => None,
        }
    }
}

/// The journal entries of legacy signatures in a list of referrers.
pub fn listed_referrers(referrers: &[Descriptor]) -> Vec<Listed> {
    let entries = referrers.iter().filter(|entry| entry.artifact_type.as_deref() == Some(JOURNAL_TYPE));
    let claim = |entry: &Descriptor| {
        let time = entry.annotations.get(JOURNAL_TIME).and_then(|text| parse_time(text))?;
        let id = entry.annotations.get(JOURNAL_ID).and_then(|text| EntryId::parse(text))?;
        Some(EntryName { time, id })
    };
    let listed: BTreeSet<Listed> =
        entries.map(|entry| Listed { name: claim(entry), digest: Some(entry.digest.clone()) }).collect();
    listed.into_iter().collect()
}

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
    Ambiguous,
    Refused(Error),
}

#[derive(Debug, Clone)]
struct Own {
    entry: Entry,
    state: EntryState,
    puts: usize,
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

    /// The first batch.
    pub fn start(&mut self) -> Step {
        self.state = State::Opening;
        let mut requests = Vec::new();
        let bundle = matches!(self.job, Job::Bundle { .. });
        if !(bundle && self.capability == Capability::Referrers) {
            requests.push(Request::GetTag);
        }
        match &self.job {
            Job::Layer { layer, payload, .. } => {
                // The configuration of an image with this layer alone: right for a first signature, and for the entry.
                requests.push(Request::PutBlob { bytes: Arc::clone(payload) });
                requests.push(Request::PutBlob { bytes: layer_config(layer).into() });
            }
            Job::Bundle { blobs, .. } => {
                requests.extend(blobs.iter().map(|bytes| Request::PutBlob { bytes: Arc::clone(bytes) }));
            }
            Job::Repair => {}
        }
        let refers = bundle || (self.capability == Capability::Referrers && !matches!(self.job, Job::Repair));
        if refers && self.subject.is_none() {
            requests.push(Request::HeadSubject);
        }
        if self.capability == Capability::Unknown {
            requests.push(Request::GetReferrers);
        }
        self.ask(Phase::Prepare, requests)
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

    // 1. Open.

    fn opened(&mut self, answers: Vec<(Request, Answer)>) -> Step {
        let mut stored = None;
        for (request, answer) in answers {
            match (request, answer) {
                (_, Answer::Failed(error)) => return self.fail(error),
                (Request::GetTag, Answer::Manifest(found)) => stored = found,
                (Request::PutBlob { .. }, Answer::Blob) => {}
                (Request::HeadSubject, Answer::Subject(found)) => self.learn_subject(found),
                (Request::GetReferrers, Answer::Referrers(found)) => {
                    let api = if found.is_some() { Capability::Referrers } else { Capability::TagOnly };
                    self.capability = api;
                }
                _ => return self.unexpected(),
            }
        }
        self.stages.blobs = true;
        match Content::read(&self.place, stored.as_ref()) {
            Ok(content) => self.content = content,
            // A bundle has a place beside the index; a `.sig` that is something else is the owner's to look at.
            Err(error) if matches!(self.job, Job::Bundle { .. }) => self.closed = Some(Reason::TagUnusable(error)),
            Err(error) => return self.fail(error),
        }
        self.prepare()
    }

    fn learn_subject(&mut self, found: Option<Descriptor>) {
        self.subject_absent = found.is_none();
        self.subject = found;
    }

    /// Everything between the first answers and the commit: the entry, and the blobs that depend on what is there.
    fn prepare(&mut self) -> Step {
        let mut requests = Vec::new();
        match self.job.clone() {
            Job::Repair => return self.check(),
            Job::Bundle { manifest, .. } => {
                let Some(subject) = self.subject.clone() else {
                    let what =
                        format!("the image {} does not exist, so no bundle can refer to it", self.place.subject());
                    return self.fail(Error::new(Code::ImageNotFound, what));
                };
                let bytes = manifest(&subject, self.now);
                match Entry::of_bundle(&self.place, bytes, self.time()) {
                    Ok(entry) => self.adopt(entry),
                    Err(error) => return self.fail(error.context("the new bundle")),
                }
            }
            Job::Layer { layer, docker, .. } => {
                let known = self.content.items().into_iter().find(|old| self.same(old, &layer)).cloned();
                self.stages.duplicate = known.is_some();
                if self.capability == Capability::Referrers && self.subject.is_none() && !self.subject_absent {
                    requests.push(Request::HeadSubject);
                } else {
                    self.adopt_layer(known.as_ref().unwrap_or(&layer), docker);
                }
                if !self.stages.duplicate {
                    let own = (super::item_id(Kind::Image, &layer), &layer);
                    match self.content.union(Some(own), &BTreeMap::new(), docker) {
                        Err(error) => return self.fail(error.context(format!("the tag {}", self.place.tag()))),
                        Ok(Union { config: Some(config), .. }) if config != layer_config(&layer) => {
                            requests.push(Request::PutBlob { bytes: config.into() });
                        }
                        Ok(_) => {}
                    }
                }
            }
        }
        if requests.is_empty() {
            return self.prepared(Vec::new());
        }
        self.state = State::Preparing;
        self.ask(Phase::Prepare, requests)
    }

    fn prepared(&mut self, answers: Vec<(Request, Answer)>) -> Step {
        for (request, answer) in answers {
            match (request, answer) {
                (_, Answer::Failed(error)) => return self.fail(error),
                (Request::PutBlob { .. }, Answer::Blob) => {}
                (Request::HeadSubject, Answer::Subject(found)) => self.learn_subject(found),
                _ => return self.unexpected(),
            }
        }
        if self.own.is_none()
            && let Job::Layer { layer, docker, .. } = self.job.clone()
        {
            let known = self.content.items().into_iter().find(|old| self.same(old, &layer)).cloned();
            self.adopt_layer(known.as_ref().unwrap_or(&layer), docker);
        }
        // A duplicate is in the tag already; whether its entry is in the journal, the check will tell.
        if self.stages.duplicate { self.check() } else { self.commit() }
    }

    fn same(&self, old: &Descriptor, new: &Descriptor) -> bool {
        let duplicate = match &self.job {
            Job::Layer { duplicate, .. } => duplicate.as_ref().is_some_and(|same| same(old)),
            _ => false,
        };
        duplicate || super::layer_identity(old) == super::layer_identity(new)
    }

    fn adopt_layer(&mut self, layer: &Descriptor, docker: bool) {
        let subject = self.subject.as_ref().filter(|_| self.by_referrers());
        let entry = Entry::of_layer(layer, self.time(), docker, subject);
        self.adopt(entry);
    }

    fn adopt(&mut self, entry: Entry) {
        self.own = Some(Own { entry, state: EntryState::NotWritten, puts: 0, seen: false });
    }

    fn time(&self) -> u32 {
        u32::try_from(self.now).unwrap_or(u32::MAX)
    }

    fn docker(&self) -> bool {
        matches!(self.job, Job::Layer { docker: true, .. })
    }

    // 2. Commit.

    fn commit(&mut self) -> Step {
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
    fn put_entry(&mut self) -> Option<Request> {
        let untagged = self.by_referrers();
        let own = self.own.as_mut()?;
        own.puts = own.puts.saturating_add(1);
        let refused = matches!(own.state, EntryState::Refused(_));
        let entry = &own.entry;
        Some(Request::PutJournal {
            tag: (!untagged && !refused).then(|| self.place.entry_tag(&entry.name)),
            digest: entry.digest.clone(),
            media_type: entry.media_type.clone(),
            bytes: entry.bytes.clone(),
        })
    }

    /// The PUT of the tag with the own signature and `others`, and the union it writes.
    fn put_union(&mut self, others: BTreeMap<EntryId, Descriptor>) -> Result<(Request, Union)> {
        let own = self.own.as_ref().map(|own| (own.entry.name.id, &own.entry.item));
        let union = self.content.union(own, &others, self.docker())?;
        self.left_out.extend(&union.left_out);
        let merged = others.into_iter().filter(|(id, _)| !union.left_out.contains(id));
        self.merging = merged.map(|(id, item)| (id, item.digest)).collect();
        self.tag_tried = true;
        Ok((Request::PutTag { media_type: union.media_type.clone(), bytes: union.bytes.clone() }, union))
    }

    fn committed(&mut self, answers: Vec<(Request, Answer)>) -> Step {
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
        let again = self.own.as_ref().is_some_and(|own| match own.state {
            EntryState::Refused(_) => own.puts < 2,
            EntryState::Ambiguous => own.puts < TRIES,
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
            Answer::Put(Put::Ambiguous(_) | Put::Unavailable(_)) | Answer::Failed(_) if tagged || referrers => {
                own.state = EntryState::Ambiguous;
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

    fn tag_written(&mut self, answers: Vec<(Request, Answer)>) -> Step {
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

    // 3. Check.

    fn check(&mut self) -> Step {
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

    fn checked(&mut self, answers: Vec<(Request, Answer)>) -> Step {
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

    fn restart(&mut self) -> Step {
        self.restarted = true;
        self.capability = Capability::TagOnly;
        self.own = None;
        self.unlisted = None;
        self.start()
    }

    fn decide(&mut self) -> Step {
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
            EntryState::Ambiguous if puts < TRIES => {
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

    fn sleep(&mut self, round_trips: usize) -> Step {
        self.state = State::Waiting;
        let round_trips = u32::try_from(round_trips).unwrap_or(2);
        self.ask(Phase::Wait, vec![Request::Sleep { round_trips }])
    }

    // 4. Repair.

    fn fetch(&mut self, wanted: Vec<Listed>) -> Step {
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

    fn fetched(&mut self, wanted: Vec<Listed>, answers: Vec<(Request, Answer)>) -> Step {
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

    fn repair(&mut self, others: BTreeMap<EntryId, Descriptor>) -> Step {
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

    fn uploaded(&mut self, union: Union, answers: Vec<(Request, Answer)>) -> Step {
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

    // A bundle where the registry keeps the list: one PUT, and a look only if the answer does not vouch for it.

    fn untagged(&mut self, answers: Vec<(Request, Answer)>) -> Step {
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
                own.state = EntryState::Ambiguous;
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

    // The end.

    fn settle(&mut self, reason: Option<Reason>) -> Step {
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
