//! The journal as a list shows it: which entries there are, and which of them signers still merge.

use std::collections::BTreeSet;

use super::names::{EntryId, EntryName, Place, parse_time};
use super::union::{JOURNAL_ID, JOURNAL_TIME, JOURNAL_TYPE};
use crate::digest::Digest;
use crate::oci::Descriptor;

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
