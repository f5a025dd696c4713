//! Lossless signing in a model: every interleaving of two and three writers, random ones of sixteen, and a registry that
//! commits late, lists stale, forgets, forbids and lies.
//!
//! The model's registry is one last-write-wins register per tag. A naive writer (read, append, write, as cosign does) runs
//! in the same model and must lose; so must writers with one rule taken away. Otherwise these tests could not fail.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};

use cosign_core::bundle::legacy::{self, NewSignature};
use cosign_core::oci::{Descriptor, Manifest, media_type};
use cosign_core::store::StoredManifest;
use cosign_core::store::journal::{
    Answer, Batch, Capability, Content, Deletion, Entry, EntryId, EntryName, JOURNAL_TYPE, Job, Kind, Listed, Listing,
    Machine, Outcome, Phase, Place, Put, Reason, Reply, Request, Step, item_id, journal_to_read, layer_config,
    to_clean, to_collect,
};
use cosign_core::{Code, Digest, Error};

const NOW: u64 = 0x6a00_0000;
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

fn subject() -> Digest {
    Digest::sha256(b"image")
}

fn subject_descriptor() -> Descriptor {
    Descriptor::new(media_type::OCI_MANIFEST, subject(), 499)
}

fn sig() -> Place {
    Place::image(&subject(), ".sig").unwrap()
}

fn signature(n: usize) -> NewSignature {
    NewSignature {
        payload: format!("payload {n}").into_bytes(),
        signature: vec![n as u8; 8],
        ..NewSignature::default()
    }
}

fn layer(n: usize) -> Descriptor {
    legacy::layer(&signature(n))
}

fn layer_id(n: usize) -> EntryId {
    item_id(Kind::Image, &layer(n))
}

fn layer_job(n: usize) -> Job {
    Job::Layer { layer: layer(n), payload: signature(n).payload.into(), docker: false, duplicate: None }
}

fn bundle_manifest(n: usize, subject: &Descriptor) -> Vec<u8> {
    let blob = format!("bundle {n}");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":"{}"}},"layers":[{{"mediaType":"{BUNDLE}","size":{},"digest":"{}"}}],"subject":{{"mediaType":"{}","size":{},"digest":"{}"}},"artifactType":"{BUNDLE}"}}"#,
        media_type::OCI_MANIFEST,
        Digest::sha256(b"{}"),
        blob.len(),
        Digest::sha256(blob.as_bytes()),
        subject.media_type,
        subject.size,
        subject.digest,
    )
    .into_bytes()
}

fn bundle_job(n: usize) -> Job {
    let blobs = vec![format!("bundle {n}").into_bytes().into(), b"{}".to_vec().into()];
    Job::Bundle { blobs, manifest: std::sync::Arc::new(move |subject, _| bundle_manifest(n, subject)) }
}

fn bundle_id(n: usize) -> EntryId {
    EntryId::of(&Digest::sha256(&bundle_manifest(n, &subject_descriptor())))
}

fn stored(media_type: &str, bytes: &[u8]) -> StoredManifest {
    StoredManifest { bytes: bytes.to_vec(), media_type: media_type.to_owned(), digest: Digest::sha256(bytes) }
}

fn error() -> Error {
    Error::new(Code::Network, "as the test wants it")
}

// The registry.

/// Numbers for strings and manifests, so that states of the model are small.
#[derive(Default)]
struct Interner {
    contents: Vec<StoredManifest>,
    content_numbers: HashMap<Digest, u32>,
    names: Vec<String>,
    name_numbers: HashMap<String, u32>,
}

impl Interner {
    fn content(&mut self, media_type: &str, bytes: &[u8]) -> u32 {
        let manifest = stored(media_type, bytes);
        let next = self.contents.len() as u32;
        let number = *self.content_numbers.entry(manifest.digest.clone()).or_insert(next);
        if number == next {
            self.contents.push(manifest);
        }
        number
    }

    fn name(&mut self, name: &str) -> u32 {
        let next = self.names.len() as u32;
        let number = *self.name_numbers.entry(name.to_owned()).or_insert(next);
        if number == next {
            self.names.push(name.to_owned());
        }
        number
    }
}

/// A register per tag. Everything else that a registry does is a switch of the [`World`].
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Registry {
    tag: Option<u32>,
    /// Journal tags and digests, with their content.
    entries: BTreeMap<u32, u32>,
    /// PUTs of the tag without an answer, which may still be committed.
    late: Vec<u32>,
}

/// An answer, small enough to be part of a state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reaction {
    Manifest(Option<u32>),
    Names(Vec<u32>),
    Referrers(Vec<u32>),
    Done,
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Refusal {
    Ambiguous,
    Immutable,
    Forbidden,
    Failed,
}

/// What the registry is like.
#[derive(Clone, Copy, Default)]
struct Switches {
    api: bool,
    no_oci_subject: bool,
    image_absent: bool,
    immutable: bool,
    list_forbidden: bool,
    list_needs_no_parameters: bool,
    journal_refused: bool,
}

/// What the adversary may do in one exploration, how often.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Budget {
    crashes: u8,
    ambiguous: u8,
    stale: u8,
    /// The first writer's lists never show its own entry.
    always_stale: bool,
    failures: u8,
    /// How often another writer may interrupt one that could go on; none: always.
    interruptions: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mutation {
    /// The check believes that the tag is what was written (a HEAD that answers from a cache).
    NoRead,
    /// The list is believed whether or not it shows the own entry.
    NoCanary,
    /// A PUT without an answer is sent again at once.
    BlindResend,
    /// Only the own signature is looked for.
    OwnOnly,
    /// No entry is written.
    NoJournal,
}

#[derive(Clone)]
enum Actor {
    Ours { machine: Box<Machine>, mutation: Option<Mutation>, wrote: Option<StoredManifest> },
    Naive { n: usize, read: bool },
}

#[derive(Clone, Debug, PartialEq)]
enum End {
    Stored,
    Unprotected(String),
    JournalOnly(String),
    Failed(String),
    Claimed,
}

#[derive(Clone)]
struct Node {
    actor: Actor,
    requests: Vec<Request>,
    phase: Phase,
    end: Option<End>,
    /// Facts about the answers given so far, which the assertions speak about.
    ambiguous: bool,
    canary: bool,
}

/// The writers as automata: each transition is computed once.
struct World {
    switches: Switches,
    interner: Interner,
    nodes: Vec<Node>,
    same: HashMap<u64, u32>,
    transitions: HashMap<(u32, Vec<Reaction>), u32>,
    heals: HashMap<Registry, bool>,
    steps: usize,
    kind: Kind,
}

fn end_of(step: &Step) -> Option<End> {
    match step {
        Step::Ask(_) => None,
        Step::Done(Ok(Outcome::Stored)) => Some(End::Stored),
        Step::Done(Ok(Outcome::StoredUnprotected(reason))) => Some(End::Unprotected(reason_name(reason))),
        Step::Done(Ok(Outcome::JournalOnly(reason))) => Some(End::JournalOnly(reason_name(reason))),
        Step::Done(Err(error)) => Some(End::Failed(error.to_string())),
    }
}

fn reason_name(reason: &Reason) -> String {
    format!("{reason:?}").split(['(', ' ']).next().unwrap().to_owned()
}

impl World {
    fn new(switches: Switches, kind: Kind) -> World {
        World {
            switches,
            interner: Interner::default(),
            nodes: Vec::new(),
            same: HashMap::new(),
            transitions: HashMap::new(),
            heals: HashMap::new(),
            steps: 0,
            kind,
        }
    }

    fn place(&self) -> Place {
        match self.kind {
            Kind::Image => sig(),
            Kind::Index => Place::index(&subject()).unwrap(),
        }
    }

    fn id(&self, n: usize) -> EntryId {
        if self.kind == Kind::Image { layer_id(n) } else { bundle_id(n) }
    }

    fn writer(&mut self, n: usize, mutation: Option<Mutation>) -> u32 {
        let capability = if self.switches.api { Capability::Referrers } else { Capability::TagOnly };
        let job = if self.kind == Kind::Image { layer_job(n) } else { bundle_job(n) };
        self.machine(Machine::new(self.place(), job, capability, None).unwrap(), mutation)
    }

    fn machine(&mut self, mut machine: Machine, mutation: Option<Mutation>) -> u32 {
        let step = machine.start();
        self.push(Actor::Ours { machine: Box::new(machine), mutation, wrote: None }, step, false, false)
    }

    fn naive(&mut self, n: usize) -> u32 {
        let step = Step::Ask(Batch { phase: Phase::Prepare, requests: vec![Request::GetTag] });
        self.push(Actor::Naive { n, read: false }, step, false, false)
    }

    fn push(&mut self, actor: Actor, step: Step, ambiguous: bool, canary: bool) -> u32 {
        let end = end_of(&step);
        let (requests, phase) = match step {
            Step::Ask(batch) => (batch.requests, batch.phase),
            Step::Done(_) => (Vec::new(), Phase::Prepare),
        };
        // Two ways to the same machine are one node: its Debug text holds all of its state.
        let (machine, wrote) = match &actor {
            Actor::Ours { machine, wrote, mutation } => (format!("{machine:?} {mutation:?}"), wrote.clone()),
            Actor::Naive { n, read } => (format!("naive {n} {read}"), None),
        };
        let mut hasher = DefaultHasher::new();
        format!("{machine} {wrote:?} {requests:?} {phase:?} {end:?} {ambiguous} {canary}").hash(&mut hasher);
        let next = self.nodes.len() as u32;
        let node = *self.same.entry(hasher.finish()).or_insert(next);
        if node == next {
            self.nodes.push(Node { actor, requests, phase, end, ambiguous, canary });
        }
        node
    }

    /// The names of the journal now; of the referrers, with the API.
    fn list(&self, registry: &Registry) -> Vec<u32> {
        registry.entries.keys().copied().collect()
    }

    fn perform(&mut self, request: &Request, registry: &mut Registry) -> Reaction {
        match request {
            Request::HeadSubject | Request::PutBlob { .. } | Request::Sleep { .. } => Reaction::Done,
            Request::GetTag => Reaction::Manifest(registry.tag),
            Request::PutTag { media_type, bytes } => {
                if self.switches.immutable && registry.tag.is_some() {
                    return Reaction::Refused(Refusal::Immutable);
                }
                registry.tag = Some(self.interner.content(media_type, bytes));
                Reaction::Done
            }
            Request::PutJournal { tag, digest, media_type, bytes } => {
                if self.switches.journal_refused && tag.is_some() {
                    return Reaction::Refused(Refusal::Forbidden);
                }
                let name = self.interner.name(&tag.clone().unwrap_or_else(|| digest.to_string()));
                registry.entries.insert(name, self.interner.content(media_type, bytes));
                Reaction::Done
            }
            Request::ListJournal { whole, .. } => {
                if self.switches.list_forbidden {
                    return Reaction::Refused(Refusal::Forbidden);
                }
                if self.switches.list_needs_no_parameters && !whole {
                    return Reaction::Refused(Refusal::Failed);
                }
                Reaction::Names(self.list(registry))
            }
            Request::GetReferrers if !self.switches.api => Reaction::Refused(Refusal::Forbidden),
            Request::GetReferrers => Reaction::Referrers(self.list(registry)),
            Request::GetJournalEntry { reference } => {
                let name = self.interner.name(reference);
                Reaction::Manifest(registry.entries.get(&name).copied())
            }
        }
    }

    fn descriptor(&self, entry: u32, registry: Option<&Registry>) -> Option<Descriptor> {
        // Referrers are named by their digest, so any content of that digest will do.
        let _ = registry;
        let digest = Digest::parse(&self.interner.names[entry as usize]).ok()?;
        let number = self.interner.content_numbers.get(&digest)?;
        let manifest = &self.interner.contents[*number as usize];
        let parsed = Manifest::parse(&manifest.bytes, None).ok()?;
        let mut descriptor = Descriptor::of(&manifest.media_type, &manifest.bytes);
        descriptor.artifact_type = parsed.artifact_type;
        descriptor.annotations = parsed.annotations;
        Some(descriptor)
    }

    fn answer(&self, request: &Request, reaction: &Reaction) -> Answer {
        match (request, reaction) {
            (Request::HeadSubject, _) => Answer::Subject((!self.switches.image_absent).then(subject_descriptor)),
            (Request::PutBlob { .. }, _) => Answer::Blob,
            (Request::Sleep { .. }, _) => Answer::Slept,
            (Request::PutTag { .. } | Request::PutJournal { .. }, reaction) => Answer::Put(match reaction {
                Reaction::Refused(Refusal::Ambiguous) => Put::Ambiguous(error()),
                Reaction::Refused(Refusal::Immutable) => Put::Immutable(error()),
                Reaction::Refused(Refusal::Forbidden) => Put::Refused(error()),
                Reaction::Refused(Refusal::Failed) => Put::Unavailable(error()),
                _ => Put::Stored { subject: self.switches.api && !self.switches.no_oci_subject },
            }),
            (Request::ListJournal { .. }, Reaction::Refused(Refusal::Forbidden)) => {
                Answer::Listing(Listing::Forbidden(error()))
            }
            (Request::ListJournal { .. }, Reaction::Refused(_)) => Answer::Listing(Listing::BadParameters(error())),
            (Request::GetReferrers, Reaction::Refused(Refusal::Forbidden)) => Answer::Referrers(None),
            (_, Reaction::Refused(_)) => Answer::Failed(error()),
            (_, Reaction::Manifest(number)) => {
                Answer::Manifest(number.map(|number| self.interner.contents[number as usize].clone()))
            }
            (_, Reaction::Names(names)) => {
                let tags = names.iter().map(|name| self.interner.names[*name as usize].clone());
                Answer::Listing(Listing::Tags(tags.collect(), true))
            }
            (_, Reaction::Referrers(names)) => {
                Answer::Referrers(Some(names.iter().filter_map(|name| self.descriptor(*name, None)).collect()))
            }
            (_, Reaction::Done) => unreachable!(),
        }
    }

    /// The next node of a writer whose batch is answered.
    fn go(&mut self, node: u32, reactions: Vec<Reaction>) -> u32 {
        let key = (node, reactions);
        if let Some(next) = self.transitions.get(&key) {
            return *next;
        }
        self.steps += 1;
        let before = self.nodes[node as usize].clone();
        let mut answers: Vec<Answer> =
            before.requests.iter().zip(&key.1).map(|(request, reaction)| self.answer(request, reaction)).collect();
        let (mut ambiguous, mut canary) = (before.ambiguous, before.canary);
        let next = match before.actor {
            Actor::Naive { n, read: false } => {
                let Answer::Manifest(found) = answers.remove(0) else { unreachable!() };
                let existing = found.map(|found| Manifest::parse(&found.bytes, Some(&found.media_type)).unwrap());
                let image = legacy::append(existing.as_ref(), &signature(n), false).unwrap();
                let put = Request::PutTag { media_type: image.media_type, bytes: image.manifest };
                let step = Step::Ask(Batch { phase: Phase::Commit, requests: vec![put] });
                self.push(Actor::Naive { n, read: true }, step, false, false)
            }
            actor @ Actor::Naive { .. } => {
                let node = self.push(actor, Step::Done(Ok(Outcome::Stored)), false, false);
                self.nodes[node as usize].end = Some(End::Claimed);
                node
            }
            Actor::Ours { mut machine, mutation, mut wrote } => {
                for (request, answer) in before.requests.iter().zip(answers.iter_mut()) {
                    if let (Request::PutTag { .. }, Answer::Put(Put::Ambiguous(_))) = (request, &answer) {
                        ambiguous = true;
                    }
                    let own = machine.entry().cloned();
                    match (request, &mut *answer) {
                        (Request::PutTag { media_type, bytes }, Answer::Put(Put::Stored { .. })) => {
                            wrote = Some(stored(media_type, bytes));
                        }
                        (_, Answer::Listing(Listing::Tags(tags, _))) => {
                            let own = own.map(|own| machine.place().entry_tag(&own.name));
                            canary = own.as_ref().is_some_and(|own| tags.contains(own));
                            match mutation {
                                Some(Mutation::NoCanary) => tags.extend(own),
                                Some(Mutation::OwnOnly | Mutation::NoJournal) => *tags = own.into_iter().collect(),
                                _ => {}
                            }
                        }
                        (_, Answer::Referrers(Some(found))) => {
                            canary = own.is_some_and(|own| found.iter().any(|entry| entry.digest == own.digest));
                        }
                        (Request::GetTag, Answer::Manifest(found))
                            if mutation == Some(Mutation::NoRead) && before.phase == Phase::Check =>
                        {
                            *found = wrote.clone().or(found.take());
                        }
                        _ => {}
                    }
                }
                let resend = mutation == Some(Mutation::BlindResend)
                    && answers.iter().any(|answer| matches!(answer, Answer::Put(Put::Ambiguous(_))));
                if resend {
                    // The answers of the others are kept by asking for them again: they are idempotent.
                    let step = Step::Ask(Batch { phase: before.phase, requests: before.requests.clone() });
                    self.push(Actor::Ours { machine, mutation, wrote }, step, ambiguous, canary)
                } else {
                    let replies = answers.into_iter().map(|answer| Reply { answer, date: Some(NOW) }).collect();
                    let mut step = machine.resume(replies, NOW);
                    if let (Some(Mutation::NoJournal), Step::Ask(batch)) = (mutation, &mut step) {
                        for request in &mut batch.requests {
                            if let Request::PutJournal { .. } = request {
                                // Same answer type as a PUT, without an effect that anyone sees.
                                let Request::PutJournal { digest, media_type, bytes, .. } = request.clone() else {
                                    unreachable!()
                                };
                                *request = Request::PutJournal {
                                    tag: Some(format!("unseen-{digest}")),
                                    digest,
                                    media_type,
                                    bytes,
                                };
                            }
                        }
                    }
                    self.push(Actor::Ours { machine, mutation, wrote }, step, ambiguous, canary)
                }
            }
        };
        self.transitions.insert(key, next);
        next
    }

    fn tag_ids(&self, registry: &Registry) -> BTreeSet<EntryId> {
        let found = registry.tag.map(|tag| self.interner.contents[tag as usize].clone());
        Content::read(&self.place(), found.as_ref()).unwrap().ids()
    }

    fn journal_ids(&self, registry: &Registry) -> BTreeSet<EntryId> {
        let place = self.place();
        let names = registry.entries.iter().filter_map(|(name, content)| {
            let manifest = &self.interner.contents[*content as usize];
            let name = &self.interner.names[*name as usize];
            Entry::read(&place, place.parse(name), !name.starts_with("sha256-"), manifest).ok()
        });
        names.map(|entry| entry.name.id).collect()
    }

    /// One writer alone, to its end; the batches it asked for.
    fn run(&mut self, mut node: u32, registry: &mut Registry) -> (u32, Vec<Vec<Request>>) {
        let mut log = Vec::new();
        while self.nodes[node as usize].end.is_none() {
            let requests = self.nodes[node as usize].requests.clone();
            let reactions = requests.iter().map(|request| self.perform(request, registry)).collect();
            log.push(requests);
            node = self.go(node, reactions);
        }
        (node, log)
    }

    /// Whether the next signer brings back everything that the journal holds.
    fn heals(&mut self, registry: &Registry) -> bool {
        if let Some(healed) = self.heals.get(registry) {
            return *healed;
        }
        let mut after = registry.clone();
        let wanted = self.journal_ids(registry);
        let next = self.writer(99, None);
        let (end, _) = self.run(next, &mut after);
        let tag = self.tag_ids(&after);
        let healed = self.nodes[end as usize].end == Some(End::Stored)
            && wanted.is_subset(&tag)
            && self.tag_ids(registry).is_subset(&tag);
        self.heals.insert(registry.clone(), healed);
        healed
    }
}

// Every interleaving.

#[derive(Clone, PartialEq, Eq, Hash)]
struct Writer {
    node: u32,
    reactions: Vec<Option<Reaction>>,
    crashed: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    writers: Vec<Writer>,
    registry: Registry,
    budget: Budget,
    /// Who moved last, where interruptions are counted.
    last: Option<usize>,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Found {
    states: usize,
    ends: usize,
    /// Ends in which the tag misses a signature whose writer said that it is stored (naive ones always say so).
    lost: usize,
    /// … and the journal does not have it, or the next signer does not bring it back.
    gone: usize,
    /// Writers that said `stored` although a PUT was not answered, or although the list did not show their entry.
    overclaimed: usize,
    stored: usize,
    unprotected: usize,
    not_stored: usize,
}

fn is_local(request: &Request) -> bool {
    matches!(request, Request::PutBlob { .. } | Request::HeadSubject | Request::Sleep { .. })
}

impl World {
    fn enter(&mut self, node: u32) -> Writer {
        let mut writer = Writer { node, reactions: Vec::new(), crashed: false };
        writer.reactions = self.local_reactions(node, None);
        self.advance(&mut writer, None);
        writer
    }

    /// The answers that do not depend on what others do: entries, once listed, never change.
    fn local_reactions(&mut self, node: u32, registry: Option<&Registry>) -> Vec<Option<Reaction>> {
        let requests = self.nodes[node as usize].requests.clone();
        let reaction = |request: &Request| match (request, registry) {
            (Request::GetJournalEntry { .. }, Some(registry)) => Some(self.perform(request, &mut registry.clone())),
            _ => is_local(request).then_some(Reaction::Done),
        };
        requests.iter().map(reaction).collect()
    }

    /// Steps a writer whose answers are complete.
    fn advance(&mut self, writer: &mut Writer, registry: Option<&Registry>) {
        while self.nodes[writer.node as usize].end.is_none() && writer.reactions.iter().all(Option::is_some) {
            let reactions = std::mem::take(&mut writer.reactions).into_iter().flatten().collect();
            writer.node = self.go(writer.node, reactions);
            writer.reactions = self.local_reactions(writer.node, registry);
        }
    }

    fn moves(&mut self, state: &State) -> Vec<State> {
        let mut next = Vec::new();
        for (number, late) in state.registry.late.iter().enumerate() {
            let mut after = state.clone();
            after.registry.tag = Some(*late);
            after.registry.late.remove(number);
            next.push(after);
        }
        for w in 0..state.writers.len() {
            let node = state.writers[w].node as usize;
            if state.writers[w].crashed || self.nodes[node].end.is_some() {
                continue;
            }
            let mut here = state.clone();
            if let Some(left) = state.budget.interruptions {
                let goes_on = |last: usize| {
                    let writer = &state.writers[last];
                    last != w && !writer.crashed && self.nodes[writer.node as usize].end.is_none()
                };
                if state.last.is_some_and(goes_on) {
                    let Some(left) = left.checked_sub(1) else { continue };
                    here.budget.interruptions = Some(left);
                }
                here.last = Some(w);
            }
            let state = &here;
            let requests = self.nodes[node].requests.clone();
            if state.budget.crashes > 0 {
                let mut after = state.clone();
                after.budget.crashes -= 1;
                after.writers[w].crashed = true;
                // What was on its way may still arrive.
                for (request, reaction) in requests.iter().zip(&state.writers[w].reactions) {
                    if let (Request::PutTag { media_type, bytes }, None) = (request, reaction) {
                        after.registry.late.push(self.interner.content(media_type, bytes));
                    }
                }
                after.registry.late.sort_unstable();
                next.push(after);
            }
            for (r, request) in requests.iter().enumerate() {
                if state.writers[w].reactions[r].is_some() {
                    continue;
                }
                let mut react = |world: &mut World, reaction: Reaction, mut after: State| {
                    after.writers[w].reactions[r] = Some(reaction);
                    let entries = (after.budget.failures == 0).then_some(&after.registry);
                    world.advance(&mut after.writers[w], entries);
                    next.push(after);
                };
                if w == 0 && state.budget.always_stale && matches!(request, Request::ListJournal { .. }) {
                    react(self, Reaction::Names(Vec::new()), state.clone());
                    continue;
                }
                let mut after = state.clone();
                let reaction = self.perform(request, &mut after.registry);
                react(self, reaction, after);
                match request {
                    Request::PutTag { media_type, bytes } if state.budget.ambiguous > 0 => {
                        let mut after = state.clone();
                        after.budget.ambiguous -= 1;
                        after.registry.late.push(self.interner.content(media_type, bytes));
                        after.registry.late.sort_unstable();
                        react(self, Reaction::Refused(Refusal::Ambiguous), after);
                    }
                    // A list from before the own entry; how stale it is otherwise does not matter to this writer.
                    Request::ListJournal { .. } if state.budget.stale > 0 => {
                        let mut after = state.clone();
                        after.budget.stale -= 1;
                        react(self, Reaction::Names(Vec::new()), after);
                    }
                    Request::GetTag | Request::GetJournalEntry { .. } if state.budget.failures > 0 => {
                        let mut after = state.clone();
                        after.budget.failures -= 1;
                        react(self, Reaction::Refused(Refusal::Failed), after);
                    }
                    _ => {}
                }
            }
        }
        next
    }

    fn judge(&mut self, state: &State, ids: &[EntryId], found: &mut Found) {
        found.ends += 1;
        let tag = self.tag_ids(&state.registry);
        let journal = self.journal_ids(&state.registry);
        let (mut lost, mut gone) = (false, false);
        for (writer, id) in state.writers.iter().zip(ids) {
            let node = &self.nodes[writer.node as usize];
            let (ambiguous, canary) = (node.ambiguous, node.canary);
            match (&node.end, writer.crashed) {
                (_, true) | (None, _) => continue,
                (Some(End::Stored), _) => {
                    found.stored += 1;
                    found.overclaimed += usize::from(ambiguous || !canary);
                }
                (Some(End::Claimed), _) => found.stored += 1,
                (Some(End::Unprotected(_)), _) => {
                    found.unprotected += 1;
                    continue;
                }
                (Some(_), _) => {
                    found.not_stored += 1;
                    continue;
                }
            }
            if !tag.contains(id) {
                lost = true;
                gone |= !journal.contains(id);
            }
        }
        gone |= lost && !self.heals(&state.registry);
        found.lost += usize::from(lost);
        found.gone += usize::from(gone);
    }

    /// All interleavings from here. Stops at `limit` states and says so by a panic: a bound is part of the test.
    fn explore(&mut self, nodes: &[u32], ids: &[EntryId], registry: Registry, budget: Budget, limit: usize) -> Found {
        let writers = nodes.iter().map(|node| self.enter(*node)).collect();
        let mut stack = vec![State { writers, registry, budget, last: None }];
        let mut seen = HashSet::new();
        let mut found = Found::default();
        while let Some(state) = stack.pop() {
            let mut hasher = DefaultHasher::new();
            state.hash(&mut hasher);
            if !seen.insert(hasher.finish()) {
                continue;
            }
            found.states += 1;
            assert!(found.states <= limit, "more than {limit} states");
            let over = |writer: &Writer| writer.crashed || self.nodes[writer.node as usize].end.is_some();
            if state.writers.iter().all(over) {
                self.judge(&state, ids, &mut found);
            }
            stack.extend(self.moves(&state));
        }
        found
    }
}

fn explore(count: usize, mutation: Option<Mutation>, switches: Switches, budget: Budget, kind: Kind) -> Found {
    let mut world = World::new(switches, kind);
    let nodes: Vec<u32> = (0..count).map(|n| world.writer(n, mutation)).collect();
    let ids: Vec<EntryId> = (0..count).map(|n| world.id(n)).collect();
    let found = world.explore(&nodes, &ids, Registry::default(), budget, 50_000_000);
    eprintln!("{count} writers {mutation:?}: {found:?}, {} transitions", world.steps);
    found
}

#[test]
fn the_naive_writer_loses_in_this_model() {
    let mut world = World::new(Switches::default(), Kind::Image);
    let nodes = [world.naive(0), world.naive(1)];
    let found = world.explore(&nodes, &[layer_id(0), layer_id(1)], Registry::default(), Budget::default(), 1000);
    assert!(found.lost > 0 && found.gone == found.lost, "{found:?}");
}

#[test]
fn two_writers_lose_nothing_in_any_interleaving() {
    for (kind, api) in [(Kind::Image, false), (Kind::Index, false), (Kind::Image, true)] {
        let found = explore(2, None, Switches { api, ..Switches::default() }, Budget::default(), kind);
        assert!(found.ends > 0 && found.stored > 0, "{found:?}");
        assert_eq!((found.lost, found.overclaimed, found.unprotected, found.not_stored), (0, 0, 0, 0), "{found:?}");
    }
}

#[test]
fn three_writers_lose_nothing_in_any_interleaving_of_few_interruptions() {
    // All interleavings of three are too many for a test; each interruption more costs ten times as much
    // (`JOURNAL_INTERRUPTIONS`).
    let interruptions = Some(from_env("JOURNAL_INTERRUPTIONS", 3) as u8);
    let bounded = Budget { interruptions, ..Budget::default() };
    let found = explore(3, None, Switches::default(), bounded, Kind::Image);
    assert!(found.ends > 0 && found.stored > 0, "{found:?}");
    assert_eq!((found.lost, found.overclaimed, found.unprotected, found.not_stored), (0, 0, 0, 0), "{found:?}");
}

#[test]
fn a_crash_at_any_step_is_healed_by_the_next_signer() {
    let found = explore(2, None, Switches::default(), Budget { crashes: 1, ..Budget::default() }, Kind::Image);
    assert!(found.lost > 0, "the stale PUT of a crashed writer is there: {found:?}");
    assert_eq!((found.gone, found.overclaimed), (0, 0), "{found:?}");
}

#[test]
fn an_unanswered_put_that_is_committed_late_is_never_called_stored() {
    let found = explore(2, None, Switches::default(), Budget { ambiguous: 1, ..Budget::default() }, Kind::Image);
    assert!(found.unprotected > 0 && found.lost > 0, "{found:?}");
    assert_eq!((found.gone, found.overclaimed), (0, 0), "{found:?}");
}

#[test]
fn a_list_without_the_own_entry_is_never_called_stored() {
    let always = Budget { always_stale: true, ..Budget::default() };
    let found = explore(2, None, Switches::default(), always, Kind::Image);
    assert_eq!(found.unprotected, found.ends, "{found:?}");
    assert_eq!((found.gone, found.overclaimed), (0, 0), "{found:?}");
    // Once is no harm: it asks again.
    let found = explore(2, None, Switches::default(), Budget { stale: 1, ..Budget::default() }, Kind::Image);
    assert_eq!((found.lost, found.overclaimed, found.unprotected), (0, 0, 0), "{found:?}");
}

#[test]
fn reads_that_fail_during_an_overwrite_lose_nothing() {
    let found = explore(2, None, Switches::default(), Budget { failures: 2, ..Budget::default() }, Kind::Image);
    assert_eq!((found.lost, found.overclaimed), (0, 0), "{found:?}");
}

#[test]
fn each_rule_that_is_taken_away_is_missed() {
    let strict = Budget::default();
    for mutation in [Mutation::OwnOnly, Mutation::NoJournal] {
        let found = explore(2, Some(mutation), Switches::default(), strict, Kind::Image);
        assert!(found.lost > 0, "{mutation:?} {found:?}");
    }
    let stale = Budget { always_stale: true, ..strict };
    assert!(explore(2, Some(Mutation::NoCanary), Switches::default(), stale, Kind::Image).overclaimed > 0);
    let late = Budget { ambiguous: 1, ..strict };
    assert!(explore(2, Some(Mutation::BlindResend), Switches::default(), late, Kind::Image).overclaimed > 0);
}

// The three schedules in which a tag alone loses: B reads, A signs to its end, B writes what it read.

/// Runs a writer until it is about to write the tag.
fn until_its_put(world: &mut World, mut node: u32, registry: &mut Registry) -> u32 {
    loop {
        let requests = world.nodes[node as usize].requests.clone();
        if requests.iter().any(|request| matches!(request, Request::PutTag { .. })) {
            return node;
        }
        let reactions = requests.iter().map(|request| world.perform(request, registry)).collect();
        node = world.go(node, reactions);
    }
}

#[test]
fn the_adversarial_schedules_lose_and_heal_as_written() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum B {
        Finishes,
        Crashes,
        IsNaive,
    }
    for (b, expected) in [(B::Finishes, 0), (B::Crashes, 50), (B::IsNaive, 50)] {
        let (mut lost, mut in_journal, mut healed) = (0, 0, 0);
        for round in 0..50 {
            let mut world = World::new(Switches::default(), Kind::Image);
            let mut registry = Registry::default();
            let (first, second) = (2 * round, 2 * round + 1);
            let stale = if b == B::IsNaive { world.naive(second) } else { world.writer(second, None) };
            let stale = until_its_put(&mut world, stale, &mut registry);
            let a = world.writer(first, None);
            let (a, _) = world.run(a, &mut registry);
            assert_eq!(world.nodes[a as usize].end, Some(End::Stored));
            if b == B::Finishes {
                world.run(stale, &mut registry);
            } else {
                for request in world.nodes[stale as usize].requests.clone() {
                    world.perform(&request, &mut registry);
                }
            }
            lost += usize::from(!world.tag_ids(&registry).contains(&layer_id(first)));
            in_journal += usize::from(world.journal_ids(&registry).contains(&layer_id(first)));
            healed += usize::from(world.heals(&registry));
        }
        assert_eq!((lost, in_journal, healed), (expected, 50, 50), "{b:?}");
    }
}

impl World {
    /// Lets the requests that `pick` chooses take effect, once.
    fn let_through(&mut self, writer: &mut Writer, registry: &mut Registry, pick: fn(&Request) -> bool) {
        let requests = self.nodes[writer.node as usize].requests.clone();
        for (r, request) in requests.iter().enumerate() {
            if pick(request) && writer.reactions[r].is_none() {
                writer.reactions[r] = Some(self.perform(request, registry));
            }
        }
        self.advance(writer, None);
    }

    /// Goes on until the writer has ended or is about to write the tag.
    fn go_to_put(&mut self, writer: &mut Writer, registry: &mut Registry) {
        while self.nodes[writer.node as usize].end.is_none() {
            if self.nodes[writer.node as usize].requests.iter().any(|request| matches!(request, Request::PutTag { .. }))
            {
                return;
            }
            self.let_through(writer, registry, |_| true);
        }
    }
}

/// It takes three writers, in this order, for the journal not to make up for a tag that is not read.
#[test]
fn a_check_that_does_not_read_the_tag_loses() {
    for (mutation, expected) in [(None, false), (Some(Mutation::NoRead), true)] {
        let (world, registry) = (&mut World::new(Switches::default(), Kind::Image), &mut Registry::default());
        let [x, y, w] = [0, 1, 2].map(|n| world.writer(n, mutation));
        let (mut x, is_entry): (_, fn(&Request) -> bool) =
            (world.enter(x), |request| matches!(request, Request::PutJournal { .. }));
        world.go_to_put(&mut x, registry);
        world.let_through(&mut x, registry, |_| true);
        // The second one's entry is there when the first one looks, its tag is not.
        let mut y = world.enter(y);
        world.go_to_put(&mut y, registry);
        world.let_through(&mut y, registry, is_entry);
        world.go_to_put(&mut x, registry);
        world.let_through(&mut y, registry, |_| true);
        world.go_to_put(&mut y, registry);
        // The third one writes all three, but its entry is on its way while the first one overwrites the tag and ends.
        let mut w = world.enter(w);
        world.go_to_put(&mut w, registry);
        world.let_through(&mut w, registry, |request| matches!(request, Request::PutTag { .. }));
        assert!(world.tag_ids(registry).contains(&layer_id(2)));
        world.let_through(&mut x, registry, |_| true);
        world.go_to_put(&mut x, registry);
        world.let_through(&mut w, registry, is_entry);
        for _ in 0..3 {
            world.go_to_put(&mut w, registry);
            world.let_through(&mut w, registry, |_| true);
        }
        for writer in [&x, &y, &w] {
            assert_eq!(world.nodes[writer.node as usize].end, Some(End::Stored), "{mutation:?}");
        }
        assert_eq!(!world.tag_ids(registry).contains(&layer_id(2)), expected, "{mutation:?}");
    }
}

// Sixteen at once, at random.

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

#[derive(Default, Debug)]
struct Tally {
    stored: usize,
    lost: usize,
    gone: usize,
    other: usize,
    requests: usize,
    most_requests: usize,
    rounds: usize,
}

/// One schedule: each request takes effect after a random time; some writers crash after their first writes.
fn schedule(seed: u64, writers: usize, naive: usize, crash_percent: u64, tally: &mut Tally) {
    let mut random = Random(seed);
    let mut world = World::new(Switches::default(), Kind::Image);
    let mut registry = Registry::default();
    let mut nodes: Vec<u32> =
        (0..writers).map(|n| if n < naive { world.naive(n) } else { world.writer(n, None) }).collect();
    let mut reactions: Vec<Vec<Option<Reaction>>> = vec![Vec::new(); writers];
    let mut crashed = vec![false; writers];
    let mut counts = vec![0; writers];
    let mut events: BTreeSet<(u64, u64, usize, usize)> = BTreeSet::new();
    let mut serial = 0;
    let mut send = |world: &World, random: &mut Random, node: u32, w: usize, now: u64, events: &mut BTreeSet<_>| {
        let requests = &world.nodes[node as usize].requests;
        for (r, request) in requests.iter().enumerate() {
            let time = match request {
                Request::Sleep { round_trips } => u64::from(*round_trips) * 20 + random.below(10),
                _ if random.below(20) == 0 => random.below(400),
                _ => 1 + random.below(20),
            };
            serial += 1;
            events.insert((now + time, serial, w, r));
        }
        vec![None; requests.len()]
    };
    // Half of the schedules start together, half are spread.
    for w in 0..writers {
        let start = if seed.is_multiple_of(2) { 0 } else { random.below(300) };
        reactions[w] = send(&world, &mut random, nodes[w], w, start, &mut events);
    }
    while let Some((now, _, w, r)) = events.pop_first() {
        let request = world.nodes[nodes[w] as usize].requests[r].clone();
        counts[w] += usize::from(!matches!(request, Request::Sleep { .. }));
        reactions[w][r] = Some(world.perform(&request, &mut registry));
        if crashed[w] || reactions[w].iter().any(Option::is_none) {
            continue;
        }
        let committed = world.nodes[nodes[w] as usize].phase == Phase::Commit;
        if committed && w >= naive && random.below(100) < crash_percent {
            crashed[w] = true;
            continue;
        }
        let answers = std::mem::take(&mut reactions[w]).into_iter().flatten().collect();
        nodes[w] = world.go(nodes[w], answers);
        reactions[w] = send(&world, &mut random, nodes[w], w, now, &mut events);
    }
    let tag = world.tag_ids(&registry);
    let journal = world.journal_ids(&registry);
    let mut lost = 0;
    for w in (naive..writers).filter(|w| !crashed[*w]) {
        let node = &world.nodes[nodes[w] as usize];
        tally.requests += counts[w];
        tally.most_requests = tally.most_requests.max(counts[w]);
        if let Actor::Ours { machine, .. } = &node.actor {
            tally.rounds = tally.rounds.max(machine.stages().rounds);
        }
        if node.end != Some(End::Stored) {
            tally.other += 1;
            continue;
        }
        tally.stored += 1;
        if !tag.contains(&layer_id(w)) {
            lost += 1;
            tally.gone += usize::from(!journal.contains(&layer_id(w)));
        }
    }
    tally.lost += lost;
    if lost > 0 && !world.heals(&registry) {
        tally.gone += 1;
    }
}

/// A number that a longer run may raise.
fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// How many random schedules.
fn schedules(default: u64) -> u64 {
    from_env("JOURNAL_SCHEDULES", default)
}

#[test]
fn sixteen_writers_lose_nothing_at_random() {
    let mut tally = Tally::default();
    let count = schedules(200);
    for seed in 0..count {
        schedule(seed, 16, 0, 0, &mut tally);
    }
    eprintln!("{count} schedules: {tally:?}, {:.1} requests each", tally.requests as f64 / tally.stored as f64);
    assert_eq!((tally.lost, tally.gone, tally.other), (0, 0, 0), "{tally:?}");
    assert_eq!(tally.stored as u64, 16 * count);
}

#[test]
fn sixteen_writers_of_which_some_crash_lose_nothing_for_good() {
    let mut tally = Tally::default();
    for seed in 0..schedules(60) {
        schedule(seed, 16, 0, 30, &mut tally);
    }
    eprintln!("{tally:?}");
    assert!(tally.stored > 0);
    assert_eq!((tally.gone, tally.other), (0, 0), "{tally:?}");
}

#[test]
fn writers_beside_naive_ones_lose_nothing_for_good() {
    let mut tally = Tally::default();
    for seed in 0..schedules(60) {
        schedule(seed, 16, 8, 0, &mut tally);
    }
    eprintln!("{tally:?}");
    assert!(tally.stored > 0);
    assert_eq!((tally.gone, tally.other), (0, 0), "{tally:?}");
}

// Budgets.

fn shape(log: &[Vec<Request>]) -> Vec<String> {
    let name = |request: &Request| match request {
        Request::HeadSubject => "HEAD subject",
        Request::GetReferrers => "GET referrers",
        Request::GetTag => "GET tag",
        Request::PutTag { .. } => "PUT tag",
        Request::PutBlob { .. } => "POST",
        Request::PutJournal { .. } => "PUT journal",
        Request::ListJournal { whole: false, .. } => "GET list",
        Request::ListJournal { whole: true, .. } => "GET whole list",
        Request::GetJournalEntry { .. } => "GET entry",
        Request::Sleep { .. } => "sleep",
    };
    log.iter().map(|batch| batch.iter().map(name).collect::<Vec<_>>().join(", ")).collect()
}

fn sign_alone(switches: Switches, job: Job, capability: Capability, known: bool) -> (End, Vec<String>, usize) {
    let kind = if matches!(job, Job::Bundle { .. }) { Kind::Index } else { Kind::Image };
    let mut world = World::new(switches, kind);
    let subject = known.then(subject_descriptor);
    let node = world.machine(Machine::new(world.place(), job, capability, subject).unwrap(), None);
    let (end, log) = world.run(node, &mut Registry::default());
    let count = log.iter().map(Vec::len).sum();
    (world.nodes[end as usize].end.clone().unwrap(), shape(&log), count)
}

#[test]
fn the_batches_are_the_budget() {
    let api = Switches { api: true, ..Switches::default() };
    let tags = Switches::default();
    let check = |switches, job, capability, known, count, batches: &[&str]| {
        let (end, shape, requests) = sign_alone(switches, job, capability, known);
        assert_eq!(end, End::Stored);
        assert_eq!((shape, requests), (batches.iter().map(|b| (*b).to_owned()).collect(), count));
    };
    let (tag_only, referrers, unknown) = (Capability::TagOnly, Capability::Referrers, Capability::Unknown);
    let commit = "PUT journal, PUT tag";
    check(tags, layer_job(0), tag_only, false, 7, &["GET tag, POST, POST", commit, "GET tag, GET list"]);
    check(tags, layer_job(0), unknown, false, 8, &["GET tag, POST, POST, GET referrers", commit, "GET tag, GET list"]);
    let listed = "GET tag, GET referrers";
    check(api, layer_job(0), referrers, false, 8, &["GET tag, POST, POST, HEAD subject", commit, listed]);
    check(api, layer_job(0), referrers, true, 7, &["GET tag, POST, POST", commit, listed]);
    // A bundle that is copied, with its blobs: there is nothing to open.
    let copied = bundle_job(0);
    let Job::Bundle { manifest, .. } = copied else { unreachable!() };
    let copied = Job::Bundle { blobs: Vec::new(), manifest };
    let (end, shape, _) = sign_alone(api, copied, referrers, true);
    assert_eq!((end, shape.first().map(String::as_str)), (End::Stored, Some("PUT journal")));
    check(
        api,
        layer_job(0),
        unknown,
        false,
        9,
        &["GET tag, POST, POST, GET referrers", "HEAD subject", commit, listed],
    );
    check(
        tags,
        bundle_job(0),
        tag_only,
        false,
        8,
        &["GET tag, POST, POST, HEAD subject", "PUT journal", "PUT tag", "GET tag, GET list"],
    );
    check(
        tags,
        bundle_job(0),
        tag_only,
        true,
        7,
        &["GET tag, POST, POST", "PUT journal", "PUT tag", "GET tag, GET list"],
    );
    check(api, bundle_job(0), referrers, false, 4, &["POST, POST, HEAD subject", "PUT journal"]);
    let silent = Switches { no_oci_subject: true, ..api };
    check(silent, bundle_job(0), referrers, false, 5, &["POST, POST, HEAD subject", "PUT journal", "GET referrers"]);
    // What was believed of the repository was wrong: it corrects itself.
    let (end, shape, _) = sign_alone(tags, layer_job(0), referrers, false);
    assert_eq!(end, End::Stored, "{shape:?}");
}

#[test]
fn the_second_signature_costs_one_upload_more() {
    let mut world = World::new(Switches::default(), Kind::Image);
    let mut registry = Registry::default();
    let first = world.writer(0, None);
    world.run(first, &mut registry);
    let second = world.writer(1, None);
    let (_, log) = world.run(second, &mut registry);
    assert_eq!(shape(&log), ["GET tag, POST, POST", "POST", "PUT journal, PUT tag", "GET tag, GET list"]);
    assert_eq!(world.tag_ids(&registry), BTreeSet::from([layer_id(0), layer_id(1)]));
    // The same signature once more: read, looked for, found.
    let again = world.writer(1, None);
    let before = registry.clone();
    let (end, log) = world.run(again, &mut registry);
    assert_eq!(shape(&log), ["GET tag, POST, POST", "GET tag, GET list"]);
    assert_eq!(world.nodes[end as usize].end, Some(End::Stored));
    assert!(registry == before);
    // Without its entry, the entry is written.
    registry.entries.clear();
    let again = world.writer(1, None);
    let (end, log) = world.run(again, &mut registry);
    assert_eq!(world.nodes[end as usize].end, Some(End::Stored), "{:?}", shape(&log));
    assert_eq!(world.journal_ids(&registry), BTreeSet::from([layer_id(1)]));
}

// Registries that do not play along.

#[test]
fn degraded_registries_get_an_honest_answer() {
    let tags = Switches::default();
    let end = |switches| sign_alone(switches, layer_job(0), Capability::TagOnly, false).0;
    assert_eq!(end(Switches { list_forbidden: true, ..tags }), End::Unprotected("ListingForbidden".into()));
    assert_eq!(end(Switches { journal_refused: true, ..tags }), End::Unprotected("JournalRefused".into()));
    assert_eq!(end(Switches { list_needs_no_parameters: true, ..tags }), End::Stored);
    assert_eq!(end(Switches { immutable: true, ..tags }), End::Stored, "the first PUT creates the tag");
    // No image yet: the journal stands in tags, even where the registry lists referrers.
    let absent = Switches { api: true, image_absent: true, ..tags };
    let (outcome, shape, _) = sign_alone(absent, layer_job(0), Capability::Referrers, false);
    assert_eq!((outcome, shape.last().unwrap().as_str()), (End::Stored, "GET tag, GET list"));
    let (outcome, _, _) = sign_alone(absent, bundle_job(0), Capability::Referrers, false);
    assert!(matches!(outcome, End::Failed(text) if text.contains("does not exist")));
    let refused = Switches { journal_refused: true, ..tags };
    let (outcome, shape, _) = sign_alone(refused, bundle_job(0), Capability::TagOnly, false);
    assert_eq!(outcome, End::Unprotected("JournalRefused".into()), "{shape:?}");
}

#[test]
fn an_immutable_tag_leaves_the_signature_in_the_journal() {
    let mut world = World::new(Switches { immutable: true, ..Switches::default() }, Kind::Image);
    let mut registry = Registry::default();
    let first = world.writer(0, None);
    world.run(first, &mut registry);
    let second = world.writer(1, None);
    let (end, _) = world.run(second, &mut registry);
    assert_eq!(world.nodes[end as usize].end, Some(End::JournalOnly("Immutable".into())));
    assert_eq!(world.tag_ids(&registry), BTreeSet::from([layer_id(0)]));
    assert!(world.journal_ids(&registry).contains(&layer_id(1)));
}

#[test]
fn an_index_that_is_the_image_itself_is_not_overwritten() {
    // GitLab answers `sha256-<hex>` with the image.
    let image = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"x","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}"#;
    let mut world = World::new(Switches::default(), Kind::Index);
    let tag = world.interner.content(media_type::OCI_MANIFEST, image);
    let mut registry = Registry { tag: Some(tag), ..Registry::default() };
    let node = world.writer(0, None);
    let (end, log) = world.run(node, &mut registry);
    assert_eq!(world.nodes[end as usize].end, Some(End::JournalOnly("TagUnusable".into())), "{:?}", shape(&log));
    assert_eq!(registry.tag, Some(tag));
    assert!(world.journal_ids(&registry).contains(&bundle_id(0)));
}

/// Puts an entry of layer `n` made at `time` into the journal.
fn plant(world: &mut World, registry: &mut Registry, n: usize, time: u64) -> String {
    let entry = Entry::of_layer(&layer(n), time as u32, false, None);
    let tag = sig().entry_tag(&entry.name);
    let name = world.interner.name(&tag);
    registry.entries.insert(name, world.interner.content(&entry.media_type, &entry.bytes));
    tag
}

#[test]
fn entries_outside_the_window_are_not_merged() {
    let mut world = World::new(Switches::default(), Kind::Image);
    let mut registry = Registry::default();
    let day = 24 * 3600;
    plant(&mut world, &mut registry, 10, NOW - day - 1);
    plant(&mut world, &mut registry, 11, NOW - day);
    plant(&mut world, &mut registry, 12, NOW + 600);
    plant(&mut world, &mut registry, 13, NOW + 601);
    let node = world.writer(0, None);
    let (end, _) = world.run(node, &mut registry);
    assert_eq!(world.nodes[end as usize].end, Some(End::Stored));
    assert_eq!(world.tag_ids(&registry), BTreeSet::from([layer_id(0), layer_id(11), layer_id(12)]));
    // A repair merges those of every age.
    let repair = Machine::new(sig(), Job::Repair, Capability::TagOnly, None).unwrap();
    let repair = world.machine(repair, None);
    let (end, _) = world.run(repair, &mut registry);
    assert_eq!(world.nodes[end as usize].end, Some(End::Stored));
    assert_eq!(world.tag_ids(&registry).len(), 5);
}

#[test]
fn a_writer_whose_clock_nobody_shares_is_not_called_stored() {
    let mut machine = Machine::new(sig(), layer_job(0), Capability::TagOnly, None).unwrap();
    let mut world = World::new(Switches::default(), Kind::Image);
    let mut registry = Registry::default();
    let mut step = machine.start();
    let mut batches = 0;
    let outcome = loop {
        match step {
            Step::Done(outcome) => break outcome.unwrap(),
            Step::Ask(batch) => {
                // The check is answered by a front end whose clock is a day and a bit ahead.
                let date = if batch.phase == Phase::Check { NOW + 90_000 } else { NOW };
                let replies = batch
                    .requests
                    .iter()
                    .map(|request| {
                        let reaction = world.perform(request, &mut registry);
                        Reply { answer: world.answer(request, &reaction), date: Some(date) }
                    })
                    .collect();
                step = machine.resume(replies, 0);
                batches += 1;
            }
        }
    };
    assert!(matches!(outcome, Outcome::StoredUnprotected(Reason::Clock)), "{outcome:?} {batches}");
}

#[test]
fn hostile_entries_are_skipped_and_named() {
    let mut world = World::new(Switches::default(), Kind::Image);
    let mut registry = Registry::default();
    let good = Entry::of_layer(&layer(20), NOW as u32, false, None);
    let other = Entry::of_layer(&layer(21), NOW as u32, false, None);
    let text = String::from_utf8(good.bytes.clone()).unwrap();
    let layer_text = {
        let mut text = String::new();
        good.item.push_json(&mut text);
        text
    };
    let hostile = [
        b"not json".to_vec(),
        b"{}".to_vec(),
        other.bytes.clone(),
        text.replace(&layer_text, &format!("{layer_text},{layer_text}")).into_bytes(),
        text.replace(&layer_text, "").into_bytes(),
        text.replace("simplesigning", "complexsigning").into_bytes(),
        text.replace("6a000000", "6a000001").into_bytes(),
        text.replace("dev.libcosign.journal", "dev.libcosign.diary").into_bytes(),
        text.replace("cosignproject.cosign/signature", "cosignproject.cosign/sig").into_bytes(),
        text.replace("image.manifest", "image.index").into_bytes(),
    ];
    let place = sig();
    for (n, bytes) in hostile.iter().enumerate() {
        assert_ne!(bytes, &good.bytes, "{n}");
        let refused = Entry::read(&place, Some(good.name), false, &stored(media_type::OCI_MANIFEST, bytes));
        assert!(refused.is_err(), "hostile entry {n}");
        let name = EntryName { time: NOW as u32 - n as u32 - 1, id: good.name.id };
        let name = world.interner.name(&place.entry_tag(&name));
        registry.entries.insert(name, world.interner.content(media_type::OCI_MANIFEST, bytes));
    }
    // The good one, under its own name, is merged beside them.
    plant(&mut world, &mut registry, 20, NOW);
    let node = world.writer(0, None);
    let (end, log) = world.run(node, &mut registry);
    let node = &world.nodes[end as usize];
    assert_eq!(node.end, Some(End::Stored), "{:?}", shape(&log));
    assert_eq!(world.tag_ids(&registry), BTreeSet::from([layer_id(0), layer_id(20)]));
    let Actor::Ours { machine, .. } = &node.actor else { unreachable!() };
    assert_eq!(machine.skipped().count(), hostile.len());
}

#[test]
fn a_full_union_has_the_own_signature_first() {
    let layers: Vec<Descriptor> = (1000..1998).map(layer_of).collect();
    let image = legacy::with_layers(None, &layers, false).unwrap();
    let mut world = World::new(Switches::default(), Kind::Image);
    let tag = world.interner.content(&image.media_type, &image.manifest);
    let mut registry = Registry { tag: Some(tag), ..Registry::default() };
    for n in 10..15 {
        plant(&mut world, &mut registry, n, NOW);
    }
    let node = world.writer(0, None);
    let (end, _) = world.run(node, &mut registry);
    assert_eq!(world.nodes[end as usize].end, Some(End::Unprotected("Full".into())));
    let ids = world.tag_ids(&registry);
    assert_eq!(ids.len(), 1000);
    assert!(ids.contains(&layer_id(0)));
    // And with no room at all, nothing is written.
    let before = registry.clone();
    let node = world.writer(1, None);
    let (end, _) = world.run(node, &mut registry);
    assert!(matches!(&world.nodes[end as usize].end, Some(End::Failed(text)) if text.contains("no room")));
    assert!(registry == before);
}

fn layer_of(n: usize) -> Descriptor {
    legacy::layer(&NewSignature {
        payload: format!("payload {n}").into_bytes(),
        signature: n.to_be_bytes().to_vec(),
        ..NewSignature::default()
    })
}

#[test]
fn a_merged_entry_without_its_blob_is_left_out_and_named() {
    let mut world = World::new(Switches::default(), Kind::Image);
    let mut registry = Registry::default();
    plant(&mut world, &mut registry, 10, NOW);
    let mut machine = Machine::new(sig(), layer_job(0), Capability::TagOnly, None).unwrap();
    let missing = layer(10).digest;
    let mut step = machine.start();
    let outcome = loop {
        match step {
            Step::Done(outcome) => break outcome.unwrap(),
            Step::Ask(batch) => {
                let reply = |request: &Request| {
                    let refers = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(missing.hex());
                    let answer = match request {
                        Request::PutTag { bytes, .. } if refers(bytes) => {
                            Answer::Put(Put::BlobUnknown(vec![missing.clone()], error()))
                        }
                        request => {
                            let reaction = world.perform(request, &mut registry);
                            world.answer(request, &reaction)
                        }
                    };
                    Reply { answer, date: Some(NOW) }
                };
                step = machine.resume(batch.requests.iter().map(reply).collect(), NOW);
            }
        }
    };
    assert!(matches!(outcome, Outcome::Stored), "{outcome:?}");
    assert_eq!(machine.skipped().count(), 1);
    assert_eq!(world.tag_ids(&registry), BTreeSet::from([layer_id(0)]));
}

// What verifying reads and cleaning deletes.

#[test]
fn the_same_signature_has_one_identity_in_any_member_order() {
    let image = legacy::with_layers(None, &[layer(1)], false).unwrap();
    let text = String::from_utf8(image.manifest).unwrap();
    let (a, b) = (r#""mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","size":9"#, r#""size":9"#);
    let turned = text.replace(a, &format!(r#"{b},"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json""#));
    assert_ne!(turned, text);
    let ids = |text: &str| {
        let found = stored(media_type::OCI_MANIFEST, text.as_bytes());
        Content::read(&sig(), Some(&found)).unwrap().ids()
    };
    assert_eq!(ids(&turned), ids(&text));
    let mut moved = layer(1);
    moved.annotations = BTreeMap::from([("a".into(), "bc".into())]);
    let mut other = layer(1);
    other.annotations = BTreeMap::from([("ab".into(), "c".into())]);
    assert_ne!(item_id(Kind::Image, &moved), item_id(Kind::Image, &other));
}

#[test]
fn verify_reads_old_entries_only_beside_an_overwritten_tag() {
    let listed =
        |n: usize, time: u64| Listed { name: Some(EntryName { time: time as u32, id: layer_id(n) }), digest: None };
    let day = 24 * 3600;
    let all = [listed(1, NOW - 400 * day), listed(2, NOW - day), listed(3, NOW), listed(4, NOW + 601)];
    let image = legacy::with_layers(None, &[layer(3)], false).unwrap();
    let tag = Content::read(&sig(), Some(&stored(&image.media_type, &image.manifest))).unwrap();
    assert_eq!(journal_to_read(&all, Some(&tag), NOW), (vec![all[0].clone(), all[1].clone(), all[3].clone()], false));
    assert_eq!(journal_to_read(&all, None, NOW), (vec![all[1].clone(), all[2].clone()], false));
    let many: Vec<Listed> = (0..1001).map(|n| listed(2, NOW - n)).collect();
    let (read, more) = journal_to_read(&many, Some(&tag), NOW);
    assert_eq!((read.len(), more), (999, true));

    let names = |deletions: &[Deletion]| deletions.iter().map(|d| d.reference.clone()).collect::<Vec<_>>();
    let cleaned = names(&to_clean(&sig(), &all));
    assert_eq!((cleaned.len(), cleaned.last().unwrap().as_str()), (5, sig().tag()), "the journal first");
    // Old and lost: kept for a repair. Old and in the tag: collected. Young: a signer may need it.
    let old = [listed(1, NOW - 400 * day), listed(3, NOW - 2 * day), listed(3, NOW)];
    let (deletions, lost) = to_collect(&sig(), &old, Some(&tag), NOW);
    assert_eq!((names(&deletions), lost), (vec![sig().entry_tag(&old[1].name.unwrap())], 1));
    assert_eq!(to_collect(&sig(), &old, None, NOW).0.len(), 2, "the tag was cleaned");
    let index = Place::index(&subject()).unwrap();
    assert!(to_collect(&index, &old, None, NOW).0.iter().all(|deletion| !deletion.or_digest));
}

#[test]
fn an_entry_is_the_same_bytes_for_everyone() {
    let entry = Entry::of_layer(&layer(0), NOW as u32, false, None);
    assert_eq!(entry, Entry::of_layer(&layer(0), NOW as u32, false, None));
    let config = Digest::sha256(&layer_config(&layer(0)));
    let text = String::from_utf8(entry.bytes.clone()).unwrap();
    assert!(text.contains(&config.to_string()));
    assert!(text.ends_with(r#""annotations":{"dev.libcosign.journal":"6a000000"}}"#), "{text}");
    let single = legacy::append(None, &signature(0), false).unwrap();
    assert_ne!(entry.bytes, single.manifest, "deleting the entry by digest must not delete the tag");
    let referrer = Entry::of_layer(&layer(0), NOW as u32, false, Some(&subject_descriptor()));
    let text = String::from_utf8(referrer.bytes.clone()).unwrap();
    assert!(text.ends_with(&format!(r#""artifactType":"{JOURNAL_TYPE}"}}"#)), "{text}");
    let read = Entry::read(&sig(), None, true, &stored(media_type::OCI_MANIFEST, &referrer.bytes)).unwrap();
    assert_eq!(read, referrer);
    let elsewhere = Place::image(&Digest::sha256(b"another image"), ".sig").unwrap();
    assert!(Entry::read(&elsewhere, None, true, &stored(media_type::OCI_MANIFEST, &referrer.bytes)).is_err());
}
