//! The names of journal entries: one tag per signature, beside the tag that all signers share.
//!
//! `sha256-<hex>.sig.j<time>-<id>`: the unix time in eight hex digits, then the first sixteen hex digits of the identity.
//! The name alone says when an entry was made and which signature it holds, so one list of tags is the whole journal.

use std::fmt;

use crate::bundle::legacy;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};

/// A tag has at most this many characters (distribution-spec, "Pulling manifests").
pub const MAX_TAG: usize = 128;
/// What `.j<time>-<id>` adds to a tag.
const ENTRY_LENGTH: usize = 27;
/// Pages of one list of tags that are read.
pub const MAX_PAGES: usize = 32;
/// Entries of one list that are kept; a longer journal is reported as incomplete.
pub const MAX_LISTED: usize = 10_000;

/// What the shared tag holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A legacy signature image: one layer per signature (`.sig`, `.att`, `.cosign`).
    Image,
    /// The fallback index of the referrers API: one entry per bundle (distribution-spec, "Referrers Tag Schema").
    Index,
}

/// The first 64 bits of a signature's identity: enough to tell the signatures of one image apart. Who could forge a second
/// signature with the same ones has to be allowed to push, and could delete the first one as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(u64);

impl EntryId {
    /// The id of an identity: the leading 16 hex digits of its digest.
    pub fn of(identity: &Digest) -> EntryId {
        let head = identity.hex().get(..16).and_then(|head| u64::from_str_radix(head, 16).ok());
        // A parsed digest has at least 64 hex digits.
        EntryId(head.unwrap_or_default())
    }

    /// Parses exactly sixteen lower-case hex digits.
    pub fn parse(text: &str) -> Option<EntryId> {
        lower_hex(text, 16).and_then(|text| u64::from_str_radix(text, 16).ok()).map(EntryId)
    }

    /// A small number that differs between signers, for waiting.
    pub(super) fn small(self) -> usize {
        usize::try_from(self.0 % 4).unwrap_or_default()
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryId({self})")
    }
}

/// When an entry was made, and which signature it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName {
    /// Unix time in seconds, by the registry's clock.
    pub time: u32,
    /// The signature.
    pub id: EntryId,
}

/// The eight hex digits of a time.
pub(super) fn hex_time(time: u32) -> String {
    format!("{time:08x}")
}

/// The time of eight lower-case hex digits.
pub(super) fn parse_time(text: &str) -> Option<u32> {
    lower_hex(text, 8).and_then(|text| u32::from_str_radix(text, 16).ok())
}

fn lower_hex(text: &str, length: usize) -> Option<&str> {
    let good = text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    good.then_some(text)
}

/// A tag that many signers write, with the names of its journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    subject: Digest,
    kind: Kind,
    tag: String,
}

impl Place {
    /// The signature image of `subject` behind `suffix`: `.sig`, `.att`, `.cosign`, with a prefix of the caller's or not.
    ///
    /// # Errors
    /// [`Code::Argument`] when a journal tag would be longer than 128 characters or `suffix` cannot stand in a tag: found
    /// before anything is signed.
    pub fn image(subject: &Digest, suffix: &str) -> Result<Place> {
        Place::new(subject, suffix, Kind::Image)
    }

    /// The fallback index of `subject`: the tag `sha256-<hex>`.
    ///
    /// # Errors
    /// [`Code::Argument`] when a journal tag would be longer than 128 characters: sha512 subjects.
    pub fn index(subject: &Digest) -> Result<Place> {
        Place::new(subject, "", Kind::Index)
    }

    fn new(subject: &Digest, suffix: &str, kind: Kind) -> Result<Place> {
        let tag = legacy::tag(subject, suffix);
        if !suffix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
            return Err(Error::new(Code::Argument, format!("{suffix:?} cannot stand in a tag")));
        }
        let length = tag.len().saturating_add(ENTRY_LENGTH);
        if length > MAX_TAG {
            return Err(Error::new(
                Code::Argument,
                format!("the tag {tag} leaves no room for its journal: {length} characters, the limit is {MAX_TAG}"),
            ));
        }
        Ok(Place { subject: subject.clone(), kind, tag })
    }

    /// The image that is signed.
    pub fn subject(&self) -> &Digest {
        &self.subject
    }

    /// What the shared tag holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The tag that all signers share.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// What every journal tag of this place begins with; also the `last` of a list that begins right there.
    pub fn prefix(&self) -> String {
        format!("{}.j", self.tag)
    }

    /// The journal tag of `name`.
    pub fn entry_tag(&self, name: &EntryName) -> String {
        format!("{}.j{}-{}", self.tag, hex_time(name.time), name.id)
    }

    /// The name behind a journal tag of this place; `None` for every other tag.
    pub fn parse(&self, tag: &str) -> Option<EntryName> {
        let (time, id) = tag.strip_prefix(self.tag.as_str())?.strip_prefix(".j")?.split_once('-')?;
        Some(EntryName { time: parse_time(time)?, id: EntryId::parse(id)? })
    }
}

/// Reads a list of tags page by page and keeps only the journal of one place.
///
/// A list may be unsorted, may ignore `last` and `n` (Distribution 2.8), and may repeat itself: pages are read to the end
/// unless one is strictly ascending and already past the prefix.
#[derive(Debug)]
pub struct Scan<'a> {
    place: &'a Place,
    prefix: String,
    names: Vec<EntryName>,
    pages: usize,
    complete: bool,
}

impl<'a> Scan<'a> {
    /// A list of which nothing was read yet.
    pub fn new(place: &'a Place) -> Scan<'a> {
        Scan { place, prefix: place.prefix(), names: Vec::new(), pages: 0, complete: false }
    }

    /// Takes one page; `more` says whether the answer names a next one. Returns whether that one is to be read.
    pub fn page<'t>(&mut self, tags: impl IntoIterator<Item = &'t str>, more: bool) -> bool {
        self.pages = self.pages.saturating_add(1);
        let mut last: Option<&str> = None;
        let mut ascending = true;
        for tag in tags {
            ascending &= last.is_none_or(|last| last < tag);
            last = Some(tag);
            if let Some(name) = self.place.parse(tag) {
                if self.names.len() >= MAX_LISTED {
                    return false;
                }
                self.names.push(name);
            }
        }
        let past = last.is_some_and(|last| last > self.prefix.as_str() && !last.starts_with(&self.prefix));
        self.complete = !more || (ascending && past);
        more && !self.complete && self.pages < MAX_PAGES
    }

    /// What was found, and whether the whole list was read.
    pub fn finish(mut self) -> (Vec<EntryName>, bool) {
        self.names.sort_unstable();
        self.names.dedup();
        (self.names, self.complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Digest {
        Digest::sha256(b"image")
    }

    #[test]
    fn names_are_read_back_and_nothing_else_is() {
        let sig = Place::image(&subject(), ".sig").unwrap();
        let index = Place::index(&subject()).unwrap();
        let name = EntryName { time: 0x6a00_00ff, id: EntryId::of(&Digest::sha256(b"s")) };
        let tag = sig.entry_tag(&name);
        assert_eq!(tag.len(), 102);
        assert_eq!(tag, format!("sha256-{}.sig.j6a0000ff-{}", subject().hex(), &Digest::sha256(b"s").hex()[..16]));
        assert_eq!(sig.parse(&tag), Some(name));
        assert_eq!(index.parse(&tag), None);
        assert_eq!(index.parse(&index.entry_tag(&name)), Some(name));
        assert_eq!(sig.parse(&index.entry_tag(&name)), None);
        for wrong in [
            tag.to_uppercase(),
            format!("{tag}0"),
            tag[..tag.len() - 1].to_owned(),
            tag.replace(".j6a", ".j+a"),
            tag.replace("ff-", "FF-"),
            sig.tag().to_owned(),
            sig.prefix(),
            String::new(),
        ] {
            assert_eq!(sig.parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn refuses_a_tag_that_leaves_no_room_for_its_journal() {
        assert!(Place::image(&subject(), &"x".repeat(30)).is_ok());
        assert_eq!(Place::image(&subject(), &"x".repeat(31)).unwrap_err().code(), Code::Argument);
        assert_eq!(Place::image(&subject(), "/../x").unwrap_err().code(), Code::Argument);
        let long = Digest::parse(&format!("sha512:{}", "0".repeat(128))).unwrap();
        assert_eq!(Place::index(&long).unwrap_err().code(), Code::Argument);
    }

    #[test]
    fn a_list_ends_early_only_on_a_sorted_page_past_the_prefix() {
        let place = Place::image(&subject(), ".sig").unwrap();
        let name = |time| EntryName { time, id: EntryId::of(&subject()) };
        let entry = |time| place.entry_tag(&name(time));
        let (one, two) = (entry(1), entry(2));

        let mut scan = Scan::new(&place);
        assert!(!scan.page([one.as_str(), two.as_str(), "z"], true), "sorted, past the prefix");
        assert_eq!(scan.finish(), (vec![name(1), name(2)], true));

        let mut scan = Scan::new(&place);
        assert!(scan.page(["z", one.as_str(), "zz"], true), "unsorted: goes on");
        assert!(scan.page([one.as_str()], true), "not past the prefix: goes on");
        assert!(!scan.page([two.as_str()], false));
        assert_eq!(scan.finish(), (vec![name(1), name(2)], true));

        let mut scan = Scan::new(&place);
        let mut pages = 0;
        while scan.page(["b", "a"], true) {
            pages += 1;
        }
        assert_eq!(pages + 1, MAX_PAGES);
        assert!(!scan.finish().1, "an endless list is not complete");
    }
}
