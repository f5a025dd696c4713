//! verify: resolve, read both formats side by side, judge each signature once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{Either, join, ready};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::{Client, Format, VerifyOptions, tlog};
use crate::bundle::{legacy, referrer, sigstore};
use crate::call::Call;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, ImageRef, Manifest};
use crate::payload::{simple_signing, statement};
use crate::registry::limits;
use crate::sigstore::Rekor;
use crate::store::{Image, Referring, Store, StoredManifest, UNSIZED_MANIFEST};
use crate::verify::{
    BundleSignature, Conditions, Judge, LegacySignature, LogAnswer, Payload, SignatureEvidence, Unread,
};
use crate::verify::{Policy, Verification, Verified};

/// Requests of one verification that are under way together.
const AT_ONCE: usize = 16;
/// Bytes of payloads and bundles in flight for one verification, in KiB, and as much again of manifests. What is larger
/// goes alone.
const IN_FLIGHT: u32 = 1 << 10;

/// What one verification reads from.
struct Reader<'a> {
    store: &'a dyn Store,
    image: &'a Image,
    /// Payloads that need not be fetched: if the layer's digest is theirs, they are it.
    guesses: Vec<Vec<u8>>,
    manifests: Semaphore,
    contents: Semaphore,
    /// The transparency log, where the policy demands an entry and it may be asked.
    log: Option<Rekor>,
    policy: &'a Policy,
    searches: AtomicUsize,
    call: &'a Call,
}

/// What the standard places hold.
type Found<T> = Option<std::result::Result<T, Unread>>;

impl Client {
    /// Verifies that `image` is signed as `policy` demands. A tag is resolved once; use the result's digest from here on.
    ///
    /// Signatures of both formats are looked for at the same time; the policy may be met by either, or by both together.
    /// Only when it is not met is the journal read, where signatures wait that a concurrent signer has overwritten. A policy
    /// that demands a transparency log's entry takes the one that stands beside a signature; where there is none, the log
    /// of the client is asked ([`super::ClientOptions::set_rekor_url`]), unless the options say offline.
    ///
    /// # Errors
    /// [`Code::NoSignatures`], [`Code::NoSignatureMatches`], [`Code::Threshold`]: evidence was read and refused; the
    /// error carries the report. [`Code::ImageNotFound`]. Codes of class "unknown" when the evidence could not be read:
    /// never a verdict. [`Code::PolicyEmpty`] for a policy that demands nothing.
    pub async fn verify(
        &self,
        image: &ImageRef,
        policy: &Policy,
        options: &VerifyOptions,
        call: &Call,
    ) -> Result<Verified<Verification>> {
        policy.check()?;
        let call = &limits::with_deadline(call);
        call.check()?;
        let suffix = super::options::suffix(options.tag_suffix.as_deref())?;
        let conditions = Conditions {
            check_claims: options.check_claims,
            any_payload_type: options.any_payload_type,
            any_predicate_type: options.any_predicate_type,
            seed_form: suffix == legacy::SUFFIX_2021,
        };
        let store = self.store(image, None)?;
        let named = match &options.signature_reference {
            Some(_) if options.format == Some(Format::Bundle) => {
                let why = "a signature that is named directly is of the legacy format, and only bundles are to count";
                return Err(Error::new(Code::Argument, why));
            }
            Some(named) => Some((named, self.plain_store(named)?)),
            None => None,
        };
        let found = store.image(call).await?;
        let reference = store.pinned(&found.digest);
        let mut judge = Judge::new(&found.digest, &reference, policy, conditions)?;
        let demanded = policy.annotations().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut guesses = Vec::new();
        // A layout costs no request, and its damage is to be told.
        if !options.signature_reference.as_ref().unwrap_or(image).is_local() {
            guesses.push(simple_signing::write(&found.identity, &found.digest, &Default::default()));
            if !policy.annotations().is_empty() {
                guesses.push(simple_signing::write(&found.identity, &found.digest, &demanded));
            }
        }
        let log = (policy.requires_tlog() && !options.offline).then(|| self.rekor()).transpose()?;
        let mut reader = Reader {
            store: store.as_ref(),
            image: &found,
            guesses,
            manifests: Semaphore::new(IN_FLIGHT as usize),
            contents: Semaphore::new(IN_FLIGHT as usize),
            log,
            policy,
            searches: AtomicUsize::new(0),
            call,
        };

        if let Some((named, store)) = named {
            reader.store = store.as_ref();
            let place = named.to_string();
            let tag = reader.read(store.itself(call).await, &place)?;
            if matches!(tag, Ok(None)) {
                judge.note(format!("{place} does not exist"));
            }
            reader.legacy(&tag, &place, &mut judge).await?;
            return judge.finish();
        }
        let (tag, referring) = reader.places(suffix, options.format).await?;
        let place = store.signature_reference(&found.digest, suffix);
        if let Some(tag) = &tag {
            reader.legacy(tag, &place, &mut judge).await?;
        }
        if let Some(referring) = &referring {
            reader.bundles(referring, conditions, &mut judge).await?;
        }
        if !judge.is_met() && options.journal {
            reader.journal(suffix, options.format, &tag, &referring, conditions, &mut judge).await?;
        }
        judge.finish()
    }
}

/// The order in which the reads of one verification come to their room: that of the judge. Whoever comes later and holds
/// room while an earlier one waits for it would wait for ever to be judged.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _after: oneshot::Sender<()>,
}

impl Turn {
    /// Waits until everybody before has room, or needs none. The next one's turn comes when this is dropped.
    async fn comes(mut self) -> Turn {
        if let Some(before) = self.before.take() {
            // It is never sent anything: its sender goes when the turn is over.
            let _over = before.await;
        }
        self
    }
}

fn turns() -> impl Iterator<Item = Turn> {
    let mut before = None;
    std::iter::repeat_with(move || {
        let (after, next) = oneshot::channel();
        Turn { before: before.replace(next), _after: after }
    })
}

/// Room for `size` bytes, as soon as there is enough.
async fn room(room: &Semaphore, size: u64) -> Result<SemaphorePermit<'_>> {
    let size = u32::try_from(size.div_ceil(1024)).unwrap_or(IN_FLIGHT).clamp(1, IN_FLIGHT);
    room.acquire_many(size).await.map_err(|_| Error::new(Code::Internal, "no room to read"))
}

impl Reader<'_> {
    /// The standard places of the formats asked for.
    async fn places(
        &self,
        suffix: &str,
        format: Option<Format>,
    ) -> Result<(Found<Option<StoredManifest>>, Found<Referring>)> {
        let subject = &self.image.digest;
        let tag = match format {
            Some(Format::Bundle) => Either::Left(ready(None)),
            _ => Either::Right(async { Some(self.store.signature_image(subject, suffix, self.call).await) }),
        };
        let referring = match format {
            Some(Format::Legacy) => Either::Left(ready(None)),
            _ => Either::Right(async { Some(self.store.referring(subject, self.call).await) }),
        };
        let (tag, referring) = join(tag, referring).await;
        let place = self.store.signature_reference(subject, suffix);
        let tag = tag.map(|tag| self.read(tag, &place)).transpose()?;
        let referring = referring.map(|found| self.read(found, "referrers")).transpose()?;
        Ok((tag, referring))
    }

    /// What was read, or the note that a place could not be; a call that was stopped ends instead.
    fn read<T>(&self, outcome: Result<T>, place: &str) -> Result<std::result::Result<T, Unread>> {
        match outcome {
            Ok(found) => Ok(Ok(found)),
            Err(error) => {
                // A server that keeps silent is a place that could not be read; only the caller's own limits end the call.
                self.call.check()?;
                if error.code() == Code::Internal {
                    return Err(error);
                }
                Ok(Err(Unread { place: place.to_owned(), error: error.context(place) }))
            }
        }
    }

    async fn legacy(
        &self,
        tag: &std::result::Result<Option<StoredManifest>, Unread>,
        place: &str,
        judge: &mut Judge<'_>,
    ) -> Result<()> {
        let stored = match tag {
            Ok(None) => return Ok(()),
            Ok(Some(stored)) => stored,
            Err(unread) => {
                judge.unread(unread);
                return Ok(());
            }
        };
        let parsed = Manifest::parse(&stored.bytes, Some(&stored.media_type)).and_then(|manifest| {
            legacy::check_layer_count(manifest.layers.len())?;
            Ok(manifest)
        });
        match self.read(parsed, place)? {
            Ok(manifest) => {
                let layers = manifest.layers.into_iter().enumerate();
                self.layers(layers.map(|(n, layer)| (place.to_owned(), n, layer)), judge).await
            }
            Err(unread) => {
                judge.unread(&unread);
                Ok(())
            }
        }
    }

    /// Reads the payloads of layers side by side and shows them to the judge in their order.
    async fn layers(
        &self,
        layers: impl Iterator<Item = (String, usize, Descriptor)>,
        judge: &mut Judge<'_>,
    ) -> Result<()> {
        let reads = layers.zip(turns()).map(|((place, layer, descriptor), turn)| async move {
            let payload = self.payload(&descriptor, turn).await;
            (SignatureEvidence::Legacy(LegacySignature { place, layer, descriptor, payload: payload.0 }), payload.1)
        });
        let mut reads = stream::iter(reads).buffered(AT_ONCE);
        while let Some((signature, _room)) = self.next(&mut reads).await? {
            self.show(&signature, judge).await?;
        }
        Ok(())
    }

    /// The next read in order. The call's limits hold here too, whatever a read waits for.
    async fn next<T>(&self, reads: &mut (impl Stream<Item = T> + Unpin)) -> Result<Option<T>> {
        // A layout's reads never wait, and there may be no runtime to wait with.
        if let Some(next) = reads.next().now_or_never() {
            self.call.check()?;
            return Ok(next);
        }
        // The call has a deadline of its own, which ends it.
        let late = || Error::new(Code::Timeout, "the deadline passed");
        let next = limits::bounded(self.call, Duration::MAX, late, reads.next()).await?;
        self.call.check()?;
        Ok(next)
    }

    /// Shows a signature to the judge, with what the transparency log says about it where that decides.
    async fn show(&self, signature: &SignatureEvidence, judge: &mut Judge<'_>) -> Result<()> {
        let wanted = match &self.log {
            Some(log) => judge.wants_log(signature).map(|subject| (log, subject)),
            None => None,
        };
        let Some((log, subject)) = wanted else {
            judge.signature(signature);
            return Ok(());
        };
        let answer = match self.searches.fetch_add(1, Ordering::Relaxed) < tlog::MOST_SEARCHES {
            true => tlog::ask(log, &subject, self.policy, self.call).await?,
            false => {
                let what = format!("more than {} signatures of one image are not looked for", tlog::MOST_SEARCHES);
                LogAnswer::Unread(Error::new(Code::TooLarge, what).with("limit", tlog::MOST_SEARCHES as u64))
            }
        };
        judge.signature_and_log(signature, &answer);
        Ok(())
    }

    /// The payload of a layer, with the room it takes.
    async fn payload(&self, layer: &Descriptor, turn: Turn) -> (Payload, Option<SemaphorePermit<'_>>) {
        match self.known_payload(layer) {
            Some(payload) => {
                turn.comes().await;
                (payload, None)
            }
            None => self.content(layer, simple_signing::MAX_BYTES as u64, "payload", turn).await,
        }
    }

    /// The payload of a layer, as far as it needs no request.
    fn known_payload(&self, layer: &Descriptor) -> Option<Payload> {
        let bad = |code: Code, what: String| Some(Payload::Bad(Error::new(code, what)));
        if !layer.annotations.contains_key(legacy::SIGNATURE) {
            return bad(Code::SignatureInvalid, "the layer has no signature annotation".to_owned());
        }
        if layer.bad_data {
            let what = format!("the layer's inline data is not what its digest {} and size say", layer.digest);
            return bad(Code::Content, what);
        }
        if let Some(data) = &layer.data {
            return Some(Payload::Read(data.clone()));
        }
        let is = |guess: &&Vec<u8>| guess.len() as u64 == layer.size && layer.digest.matches(guess);
        if let Some(guess) = self.guesses.iter().find(is) {
            return Some(Payload::Read(guess.clone()));
        }
        if layer.size > simple_signing::MAX_BYTES as u64 {
            let what = format!("the payload is declared with {} bytes, more than any payload has", layer.size);
            return bad(Code::TooLarge, what);
        }
        None
    }

    /// What a descriptor names: read, refused or unread.
    async fn content(
        &self,
        descriptor: &Descriptor,
        cap: u64,
        what: &str,
        turn: Turn,
    ) -> (Payload, Option<SemaphorePermit<'_>>) {
        let turn = turn.comes().await;
        let room = match room(&self.contents, descriptor.size).await {
            Ok(room) => room,
            Err(error) => return (Payload::Unread(error), None),
        };
        drop(turn);
        let payload = match self.store.blob(descriptor, cap, self.call).await {
            Ok(Some(bytes)) => Payload::Read(bytes),
            Ok(None) => Payload::Bad(Error::new(Code::Content, format!("the {what} {} is missing", descriptor.digest))),
            // Whole and something else: the place has said what it has. All other errors only say that it was not heard.
            Err(error) if error.detail("evidence").is_some() => Payload::Bad(error),
            Err(error) => Payload::Unread(error),
        };
        (payload, Some(room))
    }

    async fn bundles(
        &self,
        referring: &std::result::Result<Referring, Unread>,
        conditions: Conditions,
        judge: &mut Judge<'_>,
    ) -> Result<()> {
        match referring {
            Ok(referring) => self.entries(&referring.entries, conditions, judge).await,
            Err(unread) => {
                judge.unread(unread);
                Ok(())
            }
        }
    }

    /// Reads the manifests of `entries` and the bundles in them, and shows those to the judge in their order.
    async fn entries(&self, entries: &[Descriptor], conditions: Conditions, judge: &mut Judge<'_>) -> Result<()> {
        // An attestation says so in its entry; to pass it over costs nothing, and whoever could lie there could delete it.
        let (mut wanted, mut passed) = (Vec::new(), 0_usize);
        for entry in entries {
            let kind = entry.annotations.get(referrer::PREDICATE_TYPE);
            if !conditions.any_predicate_type && kind.is_some_and(|kind| kind != statement::COSIGN_SIGN) {
                passed = passed.saturating_add(1);
            } else {
                wanted.push(entry.clone());
            }
        }
        if passed > 0 {
            judge.note(format!("{passed} attestations were passed over"));
        }
        let reads = wanted.into_iter().enumerate().zip(turns()).map(|((index, entry), turn)| async move {
            let place = self.store.pinned_signature(&entry.digest);
            (place, index, self.bundle(&entry, conditions, turn).await)
        });
        let mut reads = stream::iter(reads).buffered(AT_ONCE);
        while let Some((place, index, read)) = self.next(&mut reads).await? {
            match read {
                Ok(None) => {}
                Ok(Some((descriptor, bundle, _room))) => {
                    let signature = SignatureEvidence::Bundle(BundleSignature { place, index, descriptor, bundle });
                    self.show(&signature, judge).await?;
                }
                Err(error) => {
                    if let Err(unread) = self.read(Err::<(), _>(error), &place)? {
                        judge.unread(&unread);
                    }
                }
            }
        }
        Ok(())
    }

    /// The bundle behind one entry; `None` when the manifest is something else.
    #[allow(clippy::type_complexity)]
    async fn bundle(
        &self,
        entry: &Descriptor,
        conditions: Conditions,
        turn: Turn,
    ) -> Result<Option<(Descriptor, Payload, Option<SemaphorePermit<'_>>)>> {
        let layer = match self.bundle_layer(entry).await {
            Ok(Some(Ok(layer))) => layer,
            other => {
                turn.comes().await;
                let Some(Err(error)) = other? else { return Ok(None) };
                return Ok(Some((entry.clone(), Payload::Bad(error), None)));
            }
        };
        if let Some(data) = &layer.data {
            turn.comes().await;
            let data = data.clone();
            return Ok(Some((layer, Payload::Read(data), None)));
        }
        let cap = if conditions.any_predicate_type { sigstore::MAX_ATTESTATION_BYTES } else { sigstore::MAX_BYTES };
        let (payload, room) = self.content(&layer, cap as u64, "bundle", turn).await;
        Ok(Some((layer, payload, room)))
    }

    /// The layer of a bundle in the manifest behind one entry, or what is wrong with that; `None` when the manifest is
    /// something else.
    async fn bundle_layer(&self, entry: &Descriptor) -> Result<Option<Result<Descriptor>>> {
        let _room = room(&self.manifests, entry.size.max(UNSIZED_MANIFEST)).await?;
        let Some(stored) = self.store.manifest(entry, self.call).await? else {
            // Listed and gone: nobody's signature, if it was one.
            return Ok(None);
        };
        let declared = Some(stored.media_type.as_str()).filter(|declared| !declared.is_empty());
        let manifest = match Manifest::parse(&stored.bytes, declared) {
            Ok(manifest) => manifest,
            Err(error) => return Ok(Some(Err(error))),
        };
        if manifest.subject.as_ref().is_none_or(|subject| subject.digest != self.image.digest) {
            return Ok(None);
        }
        let layer = match referrer::bundle_layer(&manifest) {
            Ok(layer) => layer,
            Err(error) => return Ok(Some(Err(error))),
        };
        // What is kept until its turn comes is small; data that is not is read by its digest.
        Ok(layer.map(|layer| {
            let small = |data: &Vec<u8>| data.len() as u64 <= UNSIZED_MANIFEST;
            let mut kept = Descriptor::new(&layer.media_type, layer.digest.clone(), layer.size);
            (kept.data, kept.bad_data) = (layer.data.clone().filter(small), layer.bad_data);
            Ok(kept)
        }))
    }

    /// The journal: signatures that the standard places have lost.
    async fn journal(
        &self,
        suffix: &str,
        format: Option<Format>,
        tag: &Found<Option<StoredManifest>>,
        referring: &Found<Referring>,
        conditions: Conditions,
        judge: &mut Judge<'_>,
    ) -> Result<()> {
        let tag = tag.as_ref().and_then(|tag| tag.as_ref().ok()).and_then(Option::as_ref);
        let referring = referring.as_ref().and_then(|found| found.as_ref().ok());
        let found = self.store.journal(&self.image.digest, suffix, tag, referring, self.call).await;
        let found = match self.read(found, "journal")? {
            Ok(found) => found,
            Err(unread) => {
                judge.unread(&unread);
                return Ok(());
            }
        };
        for note in found.notes {
            judge.note(note);
        }
        for (place, error) in found.unread {
            judge.unread(&Unread { place, error });
        }
        if format != Some(Format::Bundle) {
            self.layers(found.layers.into_iter().map(|(place, layer)| (place, 0, layer)), judge).await?;
        }
        if format != Some(Format::Legacy) {
            self.entries(&found.bundles, conditions, judge).await?;
        }
        Ok(())
    }
}
