//! The journal's machines, driven over a registry: each batch they ask for is sent at once, each answer told as it was.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use serde_json::json;

use super::journal::{Answer, Capability, Job, Listing, Machine, Outcome, Phase, Place, Put, Reply, Request, Together};
use super::tags::{Tags, local_time};
use super::{Added, Adding, NewItem, Protection, Store};
use crate::bundle::{legacy, referrer};
use crate::call::Call;
use crate::digest::Digest;
use crate::encoding::rfc3339;
use crate::error::{Code, Error, Result};
use crate::oci::Descriptor;
use crate::registry::{PutOutcome, Referrers};

/// A round trip, before one was measured; also the least that a wait counts with.
const ROUND_TRIP: Duration = Duration::from_millis(20);

impl Tags {
    /// Stores signatures so that no concurrent signer loses one: side by side, each with its own end.
    pub(super) async fn add_lossless(&self, adding: &[Adding<'_>], call: &Call) -> Vec<Result<Added>> {
        let machines: Result<Vec<Machine>> = adding.iter().map(|adding| self.machine(adding)).collect();
        let mut together = match machines {
            Ok(machines) => Together::new(machines),
            // One that cannot even begin: nothing is asked.
            Err(error) => return adding.iter().map(|_| Err(error.clone())).collect(),
        };
        self.drive(&mut together, call).await;
        let ends = together.finish().into_iter().zip(adding);
        ends.map(|((machine, outcome), adding)| self.added(adding, &machine, outcome)).collect()
    }

    fn machine(&self, adding: &Adding<'_>) -> Result<Machine> {
        let (place, job) = match &adding.item {
            NewItem::Layer { signature, key, suffix, docker } => {
                let (known, signer) = ((*signature).clone(), key.cloned());
                let job = Job::Layer {
                    layer: legacy::layer(signature),
                    payload: signature.payload.as_slice().into(),
                    docker: *docker,
                    duplicate: Some(Arc::new(move |old: &Descriptor| {
                        legacy::is_duplicate(std::slice::from_ref(old), &known, signer.as_ref())
                    })),
                };
                (Place::image(&adding.image.digest, suffix)?, job)
            }
            NewItem::Bundle { json, predicate_type } => {
                let (bundle, predicate_type) = (json.to_vec(), (*predicate_type).to_owned());
                let blobs = vec![Arc::from(bundle.as_slice()), Arc::from(referrer::CONFIG)];
                let manifest = Arc::new(move |subject: &Descriptor, now: u64| {
                    referrer::image(&bundle, &predicate_type, subject, &rfc3339::utc(now)).manifest
                });
                (Place::index(&adding.image.digest)?, Job::Bundle { blobs, manifest })
            }
        };
        let (host, repository) = self.at();
        let capability = match self.transport.has_referrers(host, repository) {
            Some(true) => Capability::Referrers,
            Some(false) => Capability::TagOnly,
            None => Capability::Unknown,
        };
        Machine::new(place, job, capability, adding.image.descriptor.clone())
    }

    /// How the machine ended, in the words of the verbs.
    fn added(&self, adding: &Adding<'_>, machine: &Machine, outcome: Result<Outcome>) -> Result<Added> {
        let stages = machine.stages();
        let outcome = outcome.map_err(|error| {
            // What was done before it stopped: after the commit the signature may be there already.
            let done = json!({
                "blobs": stages.blobs, "journal": stages.journal, "tag": stages.tag, "checked": stages.checked,
            });
            error.with("stages", done)
        })?;
        let place = match (&adding.item, machine.entry()) {
            (NewItem::Bundle { .. }, Some(entry)) => self.pinned_signature(&entry.digest),
            _ => self.signature_place(machine.place().tag()),
        };
        let protection = match outcome {
            Outcome::Stored => Protection::Stored,
            Outcome::StoredUnprotected(why) => Protection::StoredUnprotected(why.to_string()),
            Outcome::JournalOnly(why) => Protection::JournalOnly(why.to_string()),
        };
        Ok(Added { place, added: !stages.duplicate, protection })
    }

    /// Drives one machine to its end.
    pub(super) async fn drive_one(&self, machine: Machine, call: &Call) -> Result<Outcome> {
        let mut together = Together::new(vec![machine]);
        self.drive(&mut together, call).await;
        let ended = together.finish().into_iter().next();
        ended.map_or_else(|| Err(Error::new(Code::Internal, "a journal that ended nowhere")), |(_, outcome)| outcome)
    }

    async fn drive(&self, together: &mut Together, call: &Call) {
        let mut round_trip = ROUND_TRIP;
        loop {
            let had_committed = together.committed();
            let Some(batch) = together.ask() else { return };
            if batch.phase == Phase::Commit && !had_committed {
                // Once others can see a write, there must be time to look at it.
                let left = call.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
                let late = left.is_some_and(|left| left < round_trip.saturating_mul(2));
                let in_time = call.check().and_then(|()| match late {
                    true => {
                        let what = "the time left is too short to store and to check: nothing was stored";
                        Err(Error::new(Code::Timeout, what))
                    }
                    false => Ok(()),
                });
                if let Err(error) = in_time {
                    return together.stop(&error);
                }
            }
            let started = Instant::now();
            let asks = batch.requests.iter().filter_map(|(number, request)| {
                let place = together.machine(*number)?.place();
                Some(self.perform(place, request, round_trip, call))
            });
            let replies = join_all(asks).await;
            if !batch.requests.iter().any(|(_, request)| matches!(request, Request::Sleep { .. })) {
                round_trip = started.elapsed().clamp(ROUND_TRIP, Duration::from_secs(2));
            }
            together.resume(&replies, local_time());
            // What was answered before the call was stopped is known by now.
            if let Err(stopped) = call.check() {
                together.stop(&stopped);
            }
        }
    }

    async fn perform(&self, place: &Place, request: &Request, round_trip: Duration, call: &Call) -> Reply {
        let (host, repository) = self.at();
        let transport = &self.transport;
        let mut date = None;
        let answer = match request {
            Request::HeadSubject => {
                let subject = place.subject().to_string();
                let (host, repository) = self.image_at();
                match transport.head_manifest(host, repository, &subject, call).await {
                    Ok(head) => {
                        date = head.as_ref().and_then(|head| head.date);
                        Answer::Subject(head.map(|head| Descriptor::new(&head.media_type, head.digest, head.size)))
                    }
                    Err(error) => Answer::Failed(error),
                }
            }
            Request::GetReferrers => match transport.referrers(host, repository, place.subject(), None, call).await {
                Ok(Referrers::Found(entries)) => {
                    Answer::Referrers(Some(entries.into_iter().map(|entry| entry.descriptor).collect()))
                }
                Ok(Referrers::NoApi) => Answer::Referrers(None),
                Err(error) => Answer::Failed(error),
            },
            Request::GetTag => match self.get(place.tag(), call).await {
                Ok(found) => {
                    date = found.as_ref().and_then(|found| found.date);
                    Answer::Manifest(found.map(Into::into))
                }
                Err(error) => Answer::Failed(error),
            },
            Request::GetJournalEntry { reference } => match self.get(reference, call).await {
                Ok(found) => Answer::Manifest(found.map(Into::into)),
                Err(error) => Answer::Failed(error),
            },
            Request::PutBlob { bytes } => {
                match transport.put_blob(host, repository, &Digest::sha256(bytes), bytes, call).await {
                    Ok(()) => Answer::Blob,
                    Err(error) => Answer::Failed(error),
                }
            }
            Request::PutTag { media_type, bytes } => {
                let put = transport.put_manifest(host, repository, place.tag(), media_type, bytes, call).await;
                put_answer(put, &mut date)
            }
            Request::PutJournal { tag, digest, media_type, bytes } => {
                let put = match tag {
                    Some(tag) => transport.put_own_tag(host, repository, tag, media_type, bytes, call).await,
                    None => {
                        let own = digest.to_string();
                        transport.put_manifest(host, repository, &own, media_type, bytes, call).await
                    }
                };
                put_answer(put, &mut date)
            }
            Request::ListJournal { prefix, whole } => {
                let list = match whole {
                    false => transport.list_tags(host, repository, prefix, None, call).await,
                    true => transport.list_all_tags(host, repository, prefix, call).await,
                };
                Answer::Listing(match list {
                    Ok(list) => {
                        date = list.as_ref().and_then(|list| list.date);
                        Listing::Tags(list.map(|list| list.tags).unwrap_or_default(), true)
                    }
                    Err(error) => match error.status() {
                        Some(400 | 405 | 413) => Listing::BadParameters(error),
                        Some(401 | 403 | 404) => Listing::Forbidden(error),
                        _ => return Reply { answer: Answer::Failed(error), date: None },
                    },
                })
            }
            Request::Sleep { round_trips } => {
                let most = round_trip.saturating_mul(*round_trips);
                // Half of it is left to chance, so that writers who collided do not meet again.
                let mut random = [0_u8; 1];
                let share = crate::crypto::rng::fill(&mut random).map_or(1.0, |()| f64::from(random[0]) / 255.0);
                let late = || Error::new(Code::Internal, "a wait that cannot end late");
                let wait = tokio::time::sleep(most.mul_f64(0.5 + share / 2.0));
                match crate::registry::limits::bounded(call, Duration::from_secs(60), late, wait).await {
                    Ok(()) => Answer::Slept,
                    Err(error) => Answer::Failed(error),
                }
            }
        };
        let date = date.and_then(|date: SystemTime| date.duration_since(UNIX_EPOCH).ok());
        Reply { answer, date: date.map(|since| since.as_secs()) }
    }
}

/// How a PUT of a manifest ended, in the machine's words.
fn put_answer(put: Result<PutOutcome>, date: &mut Option<SystemTime>) -> Answer {
    let error = match put {
        Ok(PutOutcome::Stored(stored)) => {
            *date = stored.date;
            return Answer::Put(Put::Stored { subject: stored.oci_subject });
        }
        Ok(PutOutcome::Ambiguous(error)) => return Answer::Put(Put::Ambiguous(error)),
        Err(error) => error,
    };
    let said = error.detail("registry_code").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let immutable = matches!(said.as_str(), "TAG_IMMUTABLE" | "PRECONDITION")
        || (said == "TAG_INVALID" && error.message().contains("immutable"));
    Answer::Put(match (error.code(), error.status()) {
        (Code::Cancelled | Code::Timeout, _) => return Answer::Failed(error),
        _ if immutable => Put::Immutable(error),
        (_, Some(429 | 500 | 503)) | (Code::Network | Code::RateLimited, _) => Put::Unavailable(error),
        // Distribution 2.8 says so of a tag that another signer is just writing: it reads the tag's file half written.
        _ if said == "DIGEST_INVALID" => Put::Unavailable(error),
        _ if said == "MANIFEST_BLOB_UNKNOWN" => Put::BlobUnknown(Vec::new(), error),
        _ => Put::Refused(error),
    })
}
