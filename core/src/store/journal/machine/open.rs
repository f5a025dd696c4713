//! 1. Open: GET tag, upload blobs, what the registry can do; then what depends on the answers, up to the commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::job::Job;
use super::super::names::Kind;
use super::super::protocol::{Answer, Capability, Phase, Reason, Request, Step};
use super::super::union::{Content, Entry, Union, item_id, layer_config, layer_identity};
use super::{EntryState, Machine, Own, State};
use crate::error::{Code, Error};
use crate::oci::Descriptor;

impl Machine {
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
        // A copied bundle whose blobs are there already, where all that could be asked is known.
        if requests.is_empty() { self.opened(Vec::new()) } else { self.ask(Phase::Prepare, requests) }
    }

    pub(super) fn opened(&mut self, answers: Vec<(Request, Answer)>) -> Step {
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
                    let own = (item_id(Kind::Image, &layer), &layer);
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

    pub(super) fn prepared(&mut self, answers: Vec<(Request, Answer)>) -> Step {
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
        duplicate || layer_identity(old) == layer_identity(new)
    }

    fn adopt_layer(&mut self, layer: &Descriptor, docker: bool) {
        let subject = self.subject.as_ref().filter(|_| self.by_referrers());
        let entry = Entry::of_layer(layer, self.time(), docker, subject);
        self.adopt(entry);
    }

    fn adopt(&mut self, entry: Entry) {
        self.own = Some(Own { entry, state: EntryState::NotWritten, puts: 0, by_digest: false, seen: false });
    }

    fn time(&self) -> u32 {
        u32::try_from(self.now).unwrap_or(u32::MAX)
    }

    pub(super) fn docker(&self) -> bool {
        matches!(self.job, Job::Layer { docker: true, .. })
    }
}
