//! What the machine asks and what it is told: the words between it and whoever drives it.

use std::fmt;
use std::sync::Arc;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::oci::Descriptor;
use crate::store::StoredManifest;

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
    /// [`Machine::stop`](super::Machine::stop); after it, a cancel answers with [`Machine::stages`](super::Machine::stages).
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
    /// Send these and [`Machine::resume`](super::Machine::resume) with the replies.
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
    /// Still not settled after [`MAX_ROUNDS`](super::MAX_ROUNDS).
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
