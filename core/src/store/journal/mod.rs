//! The journal: why no signature is lost when many sign one image at once.
//!
//! [`Machine`] stores one signature without input or output, [`Together`] several at once; [`Place`] and [`Scan`] are the names it uses; [`Content`] and
//! [`Entry`] are the bytes. What verifying reads and what cleaning deletes follow from the same names and stand here.

mod job;
mod listed;
mod machine;
mod names;
mod protocol;
mod together;
mod union;

use std::collections::BTreeSet;

use crate::bundle::legacy;
use crate::oci::Descriptor;

pub use job::{BundleManifest, Duplicate, Job};
pub use listed::{Listed, WINDOW_AHEAD, WINDOW_BACK, in_window, listed_referrers};
pub use machine::{MAX_ROUNDS, MAX_WAITS, Machine};
pub use names::{EntryId, EntryName, Kind, MAX_LISTED, MAX_PAGES, MAX_TAG, Place, Scan};
pub use protocol::{Answer, Batch, Capability, Listing, Outcome, Phase, Put, Reason, Reply, Request, Stages, Step};
pub use together::{JointBatch, Together};
pub use union::{
    Content, Entry, JOURNAL_ID, JOURNAL_TIME, JOURNAL_TYPE, MAX_UNION, Union, item_id, layer_config, layer_identity,
};

/// The entries that `verify` reads after the shared tag, and whether there were more than it may read.
///
/// While the tag is there, entries of every age: what is not in the tag was overwritten. When it is absent, only those
/// that a signer would still merge: someone may have cleaned the others away on purpose. Signatures that the tag shows
/// already are left out, and both share the budget of 1,000 signatures.
pub fn journal_to_read(listed: &[Listed], tag: Option<&Content>, now: u64) -> (Vec<Listed>, bool) {
    let here = tag.map(Content::ids).unwrap_or_default();
    let budget = legacy::MAX_LAYERS.saturating_sub(tag.map_or(0, |tag| tag.items().len()));
    let mut seen = BTreeSet::new();
    let mut wanted = Vec::new();
    for entry in listed {
        if let Some(name) = entry.name {
            // Two entries of one id differ in time; a malformed one must not hide the other, so names are told apart.
            if here.contains(&name.id) || (tag.is_none() && !in_window(name.time, now)) || !seen.insert(entry) {
                continue;
            }
        }
        if wanted.len() >= budget {
            return (wanted, true);
        }
        wanted.push(entry.clone());
    }
    (wanted, false)
}

/// Something to delete, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The tag, or the digest of a referrer.
    pub reference: String,
    /// Whether the manifest itself may be deleted where the registry deletes no tags (Distribution 2.8): nothing else has
    /// this digest.
    pub or_digest: bool,
}

/// What `clean` deletes: the journal first, then the tag. The other way round, a signer in between would bring the
/// signatures back.
pub fn to_clean(place: &Place, listed: &[Listed]) -> Vec<Deletion> {
    let entries = listed.iter().filter_map(|entry| entry.reference(place));
    let tag = std::iter::once(place.tag().to_owned());
    // A bundle's manifest is the signature, and that is to go.
    entries.chain(tag).map(|reference| Deletion { reference, or_digest: true }).collect()
}

/// What `gc` deletes: entries that no signer merges any more and that the tag holds, or that were cleaned with it; and
/// how many old ones it keeps because the tag lost them (`gc --repair` merges those). The journal tag of a bundle is
/// never deleted by digest: on Distribution 2.8 that deletes the signature.
pub fn to_collect(place: &Place, listed: &[Listed], tag: Option<&Content>, now: u64) -> (Vec<Deletion>, usize) {
    let here = tag.map(Content::ids).unwrap_or_default();
    let or_digest = place.kind() == Kind::Image;
    let mut deletions = Vec::new();
    let mut lost: usize = 0;
    for entry in listed {
        let Some(name) = entry.name else { continue };
        if u64::from(name.time) >= now.saturating_sub(WINDOW_BACK) {
            continue;
        }
        if tag.is_some() && !here.contains(&name.id) {
            lost = lost.saturating_add(1);
        } else if let Some(reference) = entry.reference(place) {
            deletions.push(Deletion { reference, or_digest });
        }
    }
    (deletions, lost)
}

/// Whether `item`, found in an index of referrers or a fallback index, is a journal entry: bundle readers skip those.
pub fn is_journal_entry(item: &Descriptor) -> bool {
    item.artifact_type.as_deref() == Some(JOURNAL_TYPE)
}
