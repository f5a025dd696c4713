//! sign: resolve, write the payload, sign it, store it beside what is there.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::signed::{Attempt, Signed, settle};
use super::tlog::{self, LogRecord, TlogOutcome};
use super::{Client, Format, SignOptions, nodes};
use crate::bundle::legacy::{self, NewSignature};
use crate::bundle::sigstore::{Bundle, Content};
use crate::call::Call;
use crate::error::{Code, Error, Result};
use crate::key::{PrivateKey, PublicKey};
use crate::oci::ImageRef;
use crate::payload::statement;
use crate::registry::limits;
use crate::store::{Adding, Image, NewItem, Store};
use crate::trust::Subject;

/// Children of an index that are signed side by side.
const AT_ONCE: usize = 8;

impl Client {
    /// Signs what `image` names now with `key`, and stores the signature beside it, so that signers who do the same at the
    /// same time lose nothing.
    ///
    /// A tag is resolved once; the result names the digest that was signed. Signing again with the same key and
    /// annotations changes nothing in the legacy format (cosign's `DupeDetector`); a bundle is added each time. With
    /// [`SignOptions::tlog`] a signature goes to the transparency log first, and its entry is stored beside it.
    ///
    /// # Errors
    /// [`Code::ImageNotFound`], [`Code::TooLarge`] at 1,000 signatures, usage and key codes, and the codes of the place. The
    /// detail `stages` tells what a call that ended in the middle had done. With [`Format::Both`] and for an index with its
    /// children, the error names the image and the format that failed first (details `reference` and `format`), and the
    /// detail `signatures` what became of each: what is stored stays, and signing again completes it.
    pub async fn sign(&self, image: &ImageRef, key: &PrivateKey, options: &SignOptions, call: &Call) -> Result<Signed> {
        let call = &limits::with_deadline(call);
        call.check()?;
        let mut recipe = Recipe::new(self, key, options)?;
        let store = &*self.store(image, options.layout_tag.as_deref())?;
        // Resolving the tag only reads, but its token may as well be the one that the writes need.
        if let ImageRef::Registry(registry) = image {
            self.transport()?.announce_push(registry.registry(), registry.repository());
        }

        let root = store.image(call).await?;
        let (digest, layout_needs_name) = (root.digest.clone(), root.needs_name);
        recipe.tlog = self.may_be_logged(image, &digest, options.tlog, call).await?;
        let images = match options.recursive {
            true => nodes::all(store, root, call).await?,
            false => vec![root],
        };
        // The index goes first, alone: from then on it is known what the registry can do, and that it takes signatures.
        let (first, rest) = images.split_at(1);
        let mut attempts = Vec::new();
        for some in std::iter::once(first).chain(rest.chunks(AT_ONCE)) {
            attempts.extend(recipe.sign(store, some, call).await?);
            if attempts.iter().any(|attempt| attempt.added.is_err()) {
                break;
            }
        }
        let (reference, tlog) = (store.pinned(&digest), recipe.tlog);
        Ok(Signed { reference, digest, signatures: settle(attempts)?, layout_needs_name, tlog })
    }
}

/// What is the same for every image of one call.
struct Recipe<'a> {
    client: &'a Client,
    key: &'a PrivateKey,
    signer: PublicKey,
    options: &'a SignOptions,
    suffix: &'a str,
    annotations: BTreeMap<String, String>,
    tlog: TlogOutcome,
}

/// A signature that was made, and is not stored yet.
enum Made {
    Legacy(NewSignature),
    Bundle(String),
}

/// The same, with its entry in the transparency log if it got one.
type Logged = (Made, Option<LogRecord>);

impl<'a> Recipe<'a> {
    fn new(client: &'a Client, key: &'a PrivateKey, options: &'a SignOptions) -> Result<Recipe<'a>> {
        let suffix = super::options::suffix(options.tag_suffix.as_deref())?;
        super::generate::check(options)?;
        let annotations = annotations(&options.annotations)?;
        let tlog = TlogOutcome::NotAsked;
        Ok(Recipe { client, key, signer: key.public_key(), options, suffix, annotations, tlog })
    }

    /// Signs these images in the formats wanted, and stores all signatures together that did not fail before.
    async fn sign(&self, store: &dyn Store, images: &[Image], call: &Call) -> Result<Vec<Attempt>> {
        let mut wanted = Vec::new();
        for image in images {
            if matches!(self.options.format, Format::Legacy | Format::Both) {
                wanted.push((image, Format::Legacy));
            }
            if matches!(self.options.format, Format::Bundle | Format::Both) {
                wanted.push((image, Format::Bundle));
            }
        }
        let made = wanted.iter().map(|(image, format)| self.make(image, *format, call));
        let made: Vec<Result<Logged>> = join_all(made).await;
        call.check()?;
        let sound = wanted.iter().zip(&made).filter_map(|((image, _), made)| Some((image, made.as_ref().ok()?)));
        let adding: Vec<Adding<'_>> = sound.map(|(image, (made, _))| Adding { image, item: self.item(made) }).collect();
        let mut added = match adding.is_empty() {
            true => Vec::new(),
            false => store.add_all(&adding, self.options.journal, call).await,
        }
        .into_iter();
        let attempts = wanted.into_iter().zip(made).map(|((image, format), made)| {
            let (added, log) = match made {
                Ok((_, log)) => (added.next().unwrap_or_else(|| Err(unanswered())), log),
                Err(error) => (Err(error), None),
            };
            Attempt { digest: image.digest.clone(), reference: store.pinned(&image.digest), format, added, log }
        });
        Ok(attempts.collect())
    }

    /// One signature, and its entry in the log.
    async fn make(&self, image: &Image, format: Format, call: &Call) -> Result<Logged> {
        if format != Format::Bundle {
            let mut signature = self.legacy(image)?;
            if !self.tlog.is_uploaded() {
                return Ok((Made::Legacy(signature), None));
            }
            let subject = Subject::message(&signature.payload, &signature.signature, &self.signer);
            let record = self.client.log(&subject, call).await?;
            signature.annotations.insert(legacy::LOG_BUNDLE.to_owned(), tlog::annotation(&record)?);
            return Ok((Made::Legacy(signature), Some(record)));
        }
        let mut bundle = Bundle::sign_image(&image.digest, &self.annotations, self.key, None)?;
        let mut log = None;
        if let (true, Content::Envelope(envelope)) = (self.tlog.is_uploaded(), &bundle.content) {
            let record = self.client.log(&Subject::envelope(envelope, &self.signer), call).await?;
            bundle.log_entries.push(record.entry.clone());
            log = Some(record);
        }
        Ok((Made::Bundle(bundle.to_json()), log))
    }

    fn legacy(&self, image: &Image) -> Result<NewSignature> {
        let payload = super::generate::payload(self.options, image)?;
        Ok(NewSignature { signature: self.key.sign(&payload)?, payload, ..NewSignature::default() })
    }

    fn item<'b>(&'b self, made: &'b Made) -> NewItem<'b> {
        match made {
            Made::Legacy(signature) => NewItem::Layer {
                signature,
                key: Some(&self.signer),
                suffix: self.suffix,
                docker: self.options.docker_media_types,
            },
            Made::Bundle(json) => NewItem::Bundle { json: json.as_bytes(), predicate_type: statement::COSIGN_SIGN },
        }
    }
}

/// The place has answered for fewer signatures than it was given.
fn unanswered() -> Error {
    Error::new(Code::Internal, "nobody knows what became of the signature")
}

/// The annotations, each name once.
pub(super) fn annotations(given: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let mut annotations = BTreeMap::new();
    for (key, value) in given {
        if key.is_empty() {
            return Err(Error::new(Code::Argument, "an annotation needs a name"));
        }
        if annotations.insert(key.clone(), value.clone()).is_some_and(|old| old != *value) {
            return Err(Error::new(
                Code::Argument,
                format!("the annotation {key:?} is given twice with different values"),
            ));
        }
    }
    Ok(annotations)
}
