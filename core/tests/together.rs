//! Several signatures stored side by side: which requests go together, what is asked once, and how they end when one of
//! them cannot go on.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;

use cosign_core::bundle::legacy::{self, NewSignature};
use cosign_core::bundle::referrer;
use cosign_core::oci::{Descriptor, Manifest, media_type};
use cosign_core::store::StoredManifest;
use cosign_core::store::journal::{
    Answer, Capability, Job, Listing, Machine, Outcome, Phase, Place, Put, Reply, Request, Together,
};
use cosign_core::{Code, Digest, Error, Result};

const NOW: u64 = 0x6a00_0000;

fn image(n: usize) -> Digest {
    Digest::sha256(&n.to_be_bytes())
}

fn descriptor(n: usize) -> Descriptor {
    Descriptor::new(media_type::OCI_MANIFEST, image(n), 499)
}

fn layer(of: usize, n: usize, api: Capability, known: bool) -> Machine {
    let new = NewSignature {
        payload: format!("payload {n}").into_bytes(),
        signature: vec![n as u8; 8],
        ..NewSignature::default()
    };
    let job = Job::Layer { layer: legacy::layer(&new), payload: new.payload.into(), docker: false, duplicate: None };
    Machine::new(Place::image(&image(of), ".sig").unwrap(), job, api, known.then(|| descriptor(of))).unwrap()
}

fn bundle(of: usize, n: usize, api: Capability, known: bool) -> Machine {
    let text = format!("bundle {n}").into_bytes();
    let blobs = vec![Arc::from(text.as_slice()), Arc::from(referrer::CONFIG)];
    let manifest = Arc::new(move |subject: &Descriptor, _| {
        referrer::image(&text, "https://example.com/p", subject, "2026-01-02T03:04:05Z").manifest
    });
    let job = Job::Bundle { blobs, manifest };
    Machine::new(Place::index(&image(of)).unwrap(), job, api, known.then(|| descriptor(of))).unwrap()
}

/// A registry that answers everything, and what it was asked.
#[derive(Default)]
struct Registry {
    api: bool,
    silent: bool,
    tags: BTreeMap<String, StoredManifest>,
    referrers: Vec<(Digest, Descriptor)>,
    /// PUTs of manifests whose tag or type ends so are refused.
    refuses: Option<&'static str>,
    batches: Vec<Vec<String>>,
}

impl Registry {
    fn new(api: bool) -> Registry {
        Registry { api, ..Registry::default() }
    }

    fn put(&mut self, place: &Place, tag: Option<&str>, media_type: &str, bytes: &[u8]) -> Put {
        if self.refuses.is_some_and(|end| tag.is_none_or(|tag| tag.contains(end))) {
            return Put::Refused(Error::new(Code::Auth, "refused"));
        }
        let digest = Digest::sha256(bytes);
        if let Some(tag) = tag {
            let stored = StoredManifest { bytes: bytes.to_vec(), media_type: media_type.to_owned(), digest };
            self.tags.insert(tag.to_owned(), stored);
            return Put::Stored { subject: false };
        }
        let parsed = Manifest::parse(bytes, None).unwrap();
        let mut entry = Descriptor::of(media_type, bytes);
        (entry.artifact_type, entry.annotations) = (parsed.artifact_type, parsed.annotations);
        self.referrers.push((place.subject().clone(), entry));
        Put::Stored { subject: self.api && !self.silent }
    }

    fn answer(&mut self, place: &Place, request: &Request) -> (String, Answer) {
        let short = place.tag().replace(place.subject().hex(), "~");
        match request {
            Request::HeadSubject => {
                let subject = Descriptor::new(media_type::OCI_MANIFEST, place.subject().clone(), 499);
                ("HEAD".into(), Answer::Subject(Some(subject)))
            }
            Request::GetReferrers => {
                let of = self.referrers.iter().filter(|(of, _)| of == place.subject()).map(|(_, entry)| entry.clone());
                ("GET referrers".into(), Answer::Referrers(self.api.then(|| of.collect())))
            }
            Request::GetTag => (format!("GET {short}"), Answer::Manifest(self.tags.get(place.tag()).cloned())),
            Request::PutTag { media_type, bytes } => {
                (format!("PUT {short}"), Answer::Put(self.put(place, Some(place.tag()), media_type, bytes)))
            }
            Request::PutBlob { .. } => ("POST".into(), Answer::Blob),
            Request::PutJournal { tag, media_type, bytes, .. } => {
                let name = if tag.is_some() { format!("PUT {short}.j") } else { "PUT digest".into() };
                (name, Answer::Put(self.put(place, tag.as_deref(), media_type, bytes)))
            }
            Request::ListJournal { prefix, whole } => {
                assert!(!whole && prefix.contains(place.subject().hex()), "{prefix}");
                let tags = self.tags.keys().filter(|tag| tag.starts_with(prefix.as_str())).cloned().collect();
                (
                    format!("LIST {}", prefix.replace(place.subject().hex(), "~")),
                    Answer::Listing(Listing::Tags(tags, true)),
                )
            }
            Request::GetJournalEntry { reference } => {
                ("GET entry".into(), Answer::Manifest(self.tags.get(reference).cloned()))
            }
            Request::Sleep { .. } => ("sleep".into(), Answer::Slept),
        }
    }

    /// Runs them to their ends.
    fn run(&mut self, machines: Vec<Machine>) -> Vec<Result<Outcome>> {
        let mut together = Together::new(machines);
        while let Some(batch) = together.ask() {
            let answers: Vec<(String, Answer)> = batch
                .requests
                .iter()
                .map(|(number, request)| self.answer(&together.machine(*number).unwrap().place().clone(), request))
                .collect();
            let (mut names, answers): (Vec<String>, Vec<Answer>) = answers.into_iter().unzip();
            names.sort();
            self.batches.push(names);
            let replies: Vec<Reply> = answers.into_iter().map(|answer| Reply { answer, date: Some(NOW) }).collect();
            together.resume(&replies, NOW);
        }
        together.finish().into_iter().map(|(_, end)| end).collect()
    }

    fn batches(&mut self) -> Vec<String> {
        std::mem::take(&mut self.batches).into_iter().map(|batch| batch.join(", ")).collect()
    }
}

fn stored(ends: &[Result<Outcome>]) -> bool {
    ends.iter().all(|end| matches!(end, Ok(Outcome::Stored)))
}

#[test]
fn both_formats_go_together_and_ask_once_what_they_share() {
    let (tags, api, unknown) = (Capability::TagOnly, Capability::Referrers, Capability::Unknown);
    let mut registry = Registry::new(false);
    assert!(stored(&registry.run(vec![layer(0, 0, tags, false), bundle(0, 0, tags, false)])));
    let check = "GET sha256-~, GET sha256-~.sig, LIST sha256-~.";
    assert_eq!(
        registry.batches(),
        [
            "GET sha256-~, GET sha256-~.sig, HEAD, POST, POST, POST, POST",
            "PUT sha256-~.j, PUT sha256-~.sig, PUT sha256-~.sig.j",
            "PUT sha256-~",
            check,
        ]
    );
    // A second signature of each: the further configuration goes beside the bundle's manifest.
    assert!(stored(&registry.run(vec![layer(0, 1, tags, false), bundle(0, 1, tags, false)])));
    assert_eq!(
        registry.batches(),
        [
            "GET sha256-~, GET sha256-~.sig, HEAD, POST, POST, POST, POST",
            "POST, PUT sha256-~.j",
            "PUT sha256-~, PUT sha256-~.sig, PUT sha256-~.sig.j",
            check,
        ]
    );
    // The first contact, and with the referrers API.
    let open = "GET referrers, GET sha256-~, GET sha256-~.sig, HEAD, POST, POST, POST, POST";
    let mut registry = Registry::new(false);
    assert!(stored(&registry.run(vec![layer(0, 0, unknown, false), bundle(0, 0, unknown, false)])));
    assert_eq!(registry.batches()[0], open);
    let referred = ["PUT digest, PUT digest, PUT sha256-~.sig", "GET referrers, GET sha256-~.sig"];
    let mut registry = Registry::new(true);
    assert!(stored(&registry.run(vec![layer(0, 0, unknown, false), bundle(0, 0, unknown, false)])));
    assert_eq!(registry.batches(), [open, referred[0], referred[1]]);
    for silent in [false, true] {
        let mut registry = Registry { silent, ..Registry::new(true) };
        assert!(stored(&registry.run(vec![layer(0, 0, api, false), bundle(0, 0, api, false)])));
        assert_eq!(registry.batches(), ["GET sha256-~.sig, HEAD, POST, POST, POST, POST", referred[0], referred[1]]);
    }
}

#[test]
fn signatures_of_several_images_go_together_and_keep_their_lists_apart() {
    let tags = Capability::TagOnly;
    let mut registry = Registry::new(false);
    let machines = (1..=3).map(|n| bundle(n, n, tags, true)).collect();
    assert!(stored(&registry.run(machines)));
    let each = |what: &str| [what; 3].join(", ");
    assert_eq!(
        registry.batches(),
        [
            // Three bundles, and one empty configuration for all.
            format!("{}, POST, POST, POST, POST", each("GET sha256-~")),
            each("PUT sha256-~.j"),
            each("PUT sha256-~"),
            format!("{}, {}", each("GET sha256-~"), each("LIST sha256-~.j")),
        ]
    );
}

#[test]
fn one_that_cannot_go_on_ends_all_until_something_is_written() {
    let tags = Capability::TagOnly;
    let mut registry = Registry::new(false);
    let bytes = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let index = StoredManifest {
        bytes: bytes.to_vec(),
        media_type: media_type::OCI_INDEX.to_owned(),
        digest: Digest::sha256(bytes),
    };
    registry.tags.insert(Place::image(&image(0), ".sig").unwrap().tag().to_owned(), index);
    let ends = registry.run(vec![layer(0, 0, tags, false), bundle(0, 0, tags, false)]);
    assert!(ends.iter().all(|end| end.as_ref().is_err_and(|error| error.code() == Code::Protocol)), "{ends:?}");
    assert_eq!(registry.batches().len(), 1);

    // Later each has its own end.
    let mut registry = Registry { refuses: Some(".j"), ..Registry::new(false) };
    let ends = registry.run(vec![layer(0, 0, tags, false), bundle(0, 0, tags, false)]);
    assert!(matches!(ends[0], Ok(Outcome::StoredUnprotected(_))), "{ends:?}");
    assert!(ends[1].is_err(), "{ends:?}");
}

#[test]
fn a_stop_before_the_commit_leaves_nothing_and_answers_that_do_not_fit_end_all() {
    let tags = Capability::TagOnly;
    let mut together = Together::new(vec![layer(0, 0, tags, true), bundle(0, 0, tags, true)]);
    let batch = together.ask().unwrap();
    assert_eq!((batch.phase, together.committed()), (Phase::Prepare, false));
    together.stop(&Error::new(Code::Cancelled, "stop"));
    assert!(together.ask().is_none());
    assert!(together.finish().into_iter().all(|(_, end)| end.unwrap_err().code() == Code::Cancelled));

    let mut together = Together::new(vec![layer(0, 0, tags, true)]);
    together.ask().unwrap();
    together.resume(&[], NOW);
    assert!(together.ask().is_none());
    assert!(together.finish().into_iter().all(|(_, end)| end.unwrap_err().code() == Code::Internal));
}
