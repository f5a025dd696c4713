//! What the registry holds in memory, and what it held some requests ago.

use std::collections::{BTreeMap, HashMap};

use super::auth::Grant;
use super::faults::Rules;
use super::log::{Log, Seen};
use super::switches::{Switches, Unreadable};
use super::{digest, oci, pattern};

/// Repository and name, digest or tag.
pub(super) type Key = (String, String);

pub(super) fn key(repository: &str, name: &str) -> Key {
    (repository.to_owned(), name.to_owned())
}

#[derive(Clone)]
pub(super) struct Manifest {
    pub media_type: String,
    pub bytes: Vec<u8>,
    /// The number of the last request when it was stored; 0 for what the test itself put there.
    pub at: u64,
}

/// A tag that was set or, without digest, removed.
struct Event {
    at: u64,
    tag: Key,
    there: bool,
}

/// What a registry holds at one moment.
#[derive(Clone)]
pub struct Snapshot {
    blobs: HashMap<Key, Vec<u8>>,
    manifests: BTreeMap<Key, Manifest>,
    tags: BTreeMap<Key, String>,
}

/// A request that was answered before it had its effect.
struct Late {
    due: u64,
    seen: Seen,
}

#[derive(Default)]
pub(super) struct State {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    pub switches: Switches,
    pub blobs: HashMap<Key, Vec<u8>>,
    pub manifests: BTreeMap<Key, Manifest>,
    pub uploads: HashMap<String, Vec<u8>>,
    pub tokens: HashMap<String, Grant>,
    pub rules: Rules,
    pub log: Log,
    tags: BTreeMap<Key, String>,
    events: Vec<Event>,
    late: Vec<Late>,
    torn: Vec<Key>,
    reads: HashMap<Key, usize>,
    counter: u64,
}

impl State {
    pub fn new(url: String, switches: Switches) -> State {
        State { url, switches, ..State::default() }
    }

    /// What it holds now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { blobs: self.blobs.clone(), manifests: self.manifests.clone(), tags: self.tags.clone() }
    }

    /// Holds that again, and nothing else: what is late never comes, uploads and tokens are forgotten.
    pub fn restore(&mut self, then: &Snapshot) {
        let Snapshot { blobs, manifests, tags } = then.clone();
        let (url, switches, log) = (self.url.clone(), self.switches.clone(), std::mem::take(&mut self.log));
        let (rules, counter) = (std::mem::take(&mut self.rules), self.counter);
        let events = tags.keys().map(|tag| Event { at: 0, tag: tag.clone(), there: true }).collect();
        *self = State { url, switches, log, rules, counter, blobs, manifests, tags, events, ..State::default() };
    }

    /// Notes a request, after what was due before it.
    pub fn arrive(&mut self, seen: &mut Seen) {
        self.log.arrive(seen);
        self.commit_until(seen.number);
    }

    /// Lets a request have its effect just before the request of this number.
    pub fn postpone(&mut self, due: u64, seen: Seen) {
        if let Some(tag) = oci::overwrites(&seen) {
            self.torn.push(tag);
        }
        self.late.push(Late { due, seen });
    }

    /// Commits what is due when the request of this number comes.
    pub fn commit_until(&mut self, number: u64) {
        let (due, rest) = std::mem::take(&mut self.late).into_iter().partition(|late| late.due <= number);
        self.late = rest;
        let due: Vec<Late> = due;
        for late in due {
            if let Some(tag) = oci::overwrites(&late.seen) {
                self.untear(&tag);
            }
            oci::perform(self, &late.seen);
        }
    }

    /// A PUT of this tag has begun and is not yet committed.
    pub fn tear(&mut self, tag: Key) {
        self.torn.push(tag);
    }

    /// It is.
    pub fn untear(&mut self, tag: &Key) {
        if let Some(at) = self.torn.iter().position(|torn| torn == tag) {
            self.torn.swap_remove(at);
        }
    }

    pub fn is_torn(&self, repository: &str, tag: &str) -> bool {
        self.torn.iter().any(|(of, name)| of == repository && name == tag)
    }

    /// Whether this read of a tag comes too early.
    pub fn too_early(&mut self, repository: &str, tag: &str) -> bool {
        let Some(Unreadable { tags, reads }) = self.switches.unreadable.clone() else { return false };
        if tag.contains(':') || !pattern::is(&tags, tag) {
            return false;
        }
        let seen = self.reads.entry(key(repository, tag)).or_default();
        *seen += 1;
        *seen <= reads
    }

    /// The digest behind a tag, or the digest itself.
    pub fn resolve(&self, repository: &str, reference: &str) -> Option<String> {
        if reference.contains(':') {
            return Some(reference.to_owned());
        }
        if self.switches.digest_alias
            && let Some(hex) = reference.strip_prefix("sha256-").filter(|hex| hex.len() == 64)
        {
            let aliased = format!("sha256:{hex}");
            if self.manifests.contains_key(&key(repository, &aliased)) {
                return Some(aliased);
            }
        }
        self.tags.get(&key(repository, reference)).cloned()
    }

    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        let digest = self.resolve(repository, reference)?;
        self.manifests
            .get(&(repository.to_owned(), digest))
            .map(|found| (found.media_type.clone(), found.bytes.clone()))
    }

    pub fn put_manifest(&mut self, repository: &str, media_type: &str, bytes: &[u8], at: u64) -> String {
        let digest = digest(bytes);
        let manifest = Manifest { media_type: media_type.to_owned(), bytes: bytes.to_vec(), at };
        self.manifests.entry(key(repository, &digest)).or_insert(manifest);
        digest
    }

    pub fn has_tag(&self, repository: &str, tag: &str) -> bool {
        self.tags.contains_key(&key(repository, tag))
    }

    pub fn set_tag(&mut self, repository: &str, tag: &str, digest: &str, at: u64) {
        self.tags.insert(key(repository, tag), digest.to_owned());
        self.events.push(Event { at, tag: key(repository, tag), there: true });
    }

    pub fn remove_tag(&mut self, repository: &str, tag: &str, at: u64) -> bool {
        self.events.push(Event { at, tag: key(repository, tag), there: false });
        self.tags.remove(&key(repository, tag)).is_some()
    }

    /// Removes a manifest and every tag of it.
    pub fn remove_manifest(&mut self, repository: &str, digest: &str, at: u64) -> bool {
        let is_of = |((of, _), behind): &(&Key, &String)| of == repository && *behind == digest;
        let tags: Vec<Key> = self.tags.iter().filter(is_of).map(|(tag, _)| tag.clone()).collect();
        for (_, tag) in tags {
            self.remove_tag(repository, &tag, at);
        }
        self.manifests.remove(&key(repository, digest)).is_some()
    }

    /// The tags of a repository, sorted.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        self.tags.keys().filter(|(of, _)| of == repository).map(|(_, tag)| tag.clone()).collect()
    }

    /// The tags as request `number` would have seen them had it come `stale` requests earlier.
    pub fn tags_as_of(&self, repository: &str, number: u64, stale: u64) -> Vec<String> {
        if stale == 0 {
            return self.tags(repository);
        }
        let mut tags = std::collections::BTreeSet::new();
        for event in self.events.iter().filter(|event| event.tag.0 == repository && was(event.at, number, stale)) {
            match event.there {
                true => tags.insert(event.tag.1.clone()),
                false => tags.remove(&event.tag.1),
            };
        }
        tags.into_iter().collect()
    }

    pub fn knows(&self, repository: &str) -> bool {
        self.tags.keys().any(|(of, _)| of == repository)
            || self.blobs.keys().any(|(of, _)| of == repository)
            || self.manifests.keys().any(|(of, _)| of == repository)
    }

    pub fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}

/// Whether something of the time `at` was there for request `number`, `stale` requests ago.
pub(super) fn was(at: u64, number: u64, stale: u64) -> bool {
    at == 0 || at + stale < number
}
