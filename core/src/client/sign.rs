//! sign: resolve, write the payload, sign it, store it beside what is there.

use std::collections::BTreeMap;

use super::signed::{Attempt, Signed, settle};
use super::{Client, Format, SignOptions, nodes};
use crate::bundle::legacy::NewSignature;
use crate::bundle::sigstore::Bundle;
use crate::call::Call;
use crate::error::{Code, Error, Result};
use crate::key::{PrivateKey, PublicKey};
use crate::oci::ImageRef;
use crate::payload::{simple_signing, statement};
use crate::registry::limits;
use crate::store::{Adding, Image, NewItem, Store};

/// Children of an index that are signed side by side.
const AT_ONCE: usize = 8;

impl Client {
    /// Signs what `image` names now with `key`, and stores the signature beside it, so that signers who do the same at the
    /// same time lose nothing.
    ///
    /// A tag is resolved once; the result names the digest that was signed. Signing again with the same key and
    /// annotations changes nothing in the legacy format (cosign's `DupeDetector`); a bundle is added each time.
    ///
    /// # Errors
    /// [`Code::ImageNotFound`], [`Code::TooLarge`] at 1,000 signatures, usage and key codes, and the codes of the place. The
    /// detail `stages` tells what a call that ended in the middle had done. With [`Format::Both`] and for an index with its
    /// children, the error names the image and the format that failed first (details `reference` and `format`), and the
    /// detail `signatures` what became of each: what is stored stays, and signing again completes it.
    pub async fn sign(&self, image: &ImageRef, key: &PrivateKey, options: &SignOptions, call: &Call) -> Result<Signed> {
        let call = &limits::with_deadline(call);
        call.check()?;
        let recipe = Recipe::new(key, options)?;
        let store = &*self.store(image, options.layout_tag.as_deref())?;

        let root = store.image(call).await?;
        let (digest, layout_needs_name) = (root.digest.clone(), root.needs_name);
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
        Ok(Signed { reference: store.pinned(&digest), digest, signatures: settle(attempts)?, layout_needs_name })
    }
}

/// What is the same for every image of one call.
struct Recipe<'a> {
    key: &'a PrivateKey,
    signer: PublicKey,
    options: &'a SignOptions,
    suffix: &'a str,
    annotations: BTreeMap<String, String>,
}

/// A signature that was made, and is not stored yet.
enum Made {
    Legacy(NewSignature),
    Bundle(String),
}

impl<'a> Recipe<'a> {
    fn new(key: &'a PrivateKey, options: &'a SignOptions) -> Result<Recipe<'a>> {
        let suffix = super::options::suffix(options.tag_suffix.as_deref())?;
        let annotations = annotations(&options.annotations)?;
        Ok(Recipe { key, signer: key.public_key(), options, suffix, annotations })
    }

    /// Signs these images in the formats wanted, and stores all signatures together.
    async fn sign(&self, store: &dyn Store, images: &[Image], call: &Call) -> Result<Vec<Attempt>> {
        let mut made = Vec::new();
        for image in images {
            if matches!(self.options.format, Format::Legacy | Format::Both) {
                made.push((image, Made::Legacy(self.legacy(image)?)));
            }
            if matches!(self.options.format, Format::Bundle | Format::Both) {
                let bundle = Bundle::sign_image(&image.digest, &self.annotations, self.key, None)?;
                made.push((image, Made::Bundle(bundle.to_json())));
            }
        }
        let adding: Vec<Adding<'_>> =
            made.iter().map(|(image, made)| Adding { image, item: self.item(made) }).collect();
        let added = store.add_all(&adding, self.options.journal, call).await;
        let attempts = made.iter().zip(added).map(|((image, made), added)| Attempt {
            digest: image.digest.clone(),
            reference: store.pinned(&image.digest),
            format: made.format(),
            added,
        });
        Ok(attempts.collect())
    }

    fn legacy(&self, image: &Image) -> Result<NewSignature> {
        let identity = self.options.identity.as_deref().unwrap_or(&image.identity);
        let payload = simple_signing::write(identity, &image.digest, &self.annotations);
        if payload.len() > simple_signing::MAX_BYTES {
            return Err(Error::new(Code::TooLarge, "the annotations make the payload larger than 1 MiB"));
        }
        Ok(NewSignature { signature: self.key.sign(&payload)?, payload, ..NewSignature::default() })
    }

    fn item<'b>(&'b self, made: &'b Made) -> NewItem<'b> {
        match made {
            Made::Legacy(signature) => NewItem::Layer {
                signature,
                key: &self.signer,
                suffix: self.suffix,
                docker: self.options.docker_media_types,
            },
            Made::Bundle(json) => NewItem::Bundle { json: json.as_bytes(), predicate_type: statement::COSIGN_SIGN },
        }
    }
}

impl Made {
    fn format(&self) -> Format {
        match self {
            Made::Legacy(_) => Format::Legacy,
            Made::Bundle(_) => Format::Bundle,
        }
    }
}

fn annotations(given: &[(String, String)]) -> Result<BTreeMap<String, String>> {
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
