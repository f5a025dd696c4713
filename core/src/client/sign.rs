//! sign: resolve, write the payload, sign it, store it beside what is there.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Client, Format, SignOptions};
use crate::bundle::legacy::NewSignature;
use crate::bundle::sigstore::Bundle;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::key::PrivateKey;
use crate::oci::ImageRef;
use crate::payload::{simple_signing, statement};
use crate::registry::limits;
use crate::store::{Added, NewItem, Protection};

/// One signature that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSignature {
    /// [`Format::Legacy`] or [`Format::Bundle`].
    pub format: Format,
    /// Where it is, whether it is new, and how well it is protected.
    pub added: Added,
}

/// What was signed, and where the signatures are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    digest: Digest,
    reference: String,
    signatures: Vec<StoredSignature>,
    layout_needs_name: bool,
}

impl Signed {
    /// The digest that was signed.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The image, pinned by that digest.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The signatures: one for each format that was asked for.
    pub fn signatures(&self) -> &[StoredSignature] {
        &self.signatures
    }

    /// Where the first signature is: `registry/repo:sha256-<hex>.sig`, or the pinned manifest of a bundle.
    pub fn signature_reference(&self) -> &str {
        self.signatures.first().map_or("", |signature| &signature.added.place)
    }

    /// False when the same key had signed the same payload already in each format; then nothing new was signed.
    pub fn added(&self) -> bool {
        self.signatures.iter().any(|signature| signature.added.added)
    }

    /// How well the least protected of the signatures is stored.
    pub fn protection(&self) -> &Protection {
        let rank = |protection: &&Protection| match protection {
            Protection::Stored => 0,
            Protection::StoredUnprotected(_) => 1,
            Protection::JournalOnly(_) => 2,
        };
        let all = self.signatures.iter().map(|signature| &signature.added.protection);
        all.max_by_key(rank).unwrap_or(&Protection::Stored)
    }

    /// In a layout whose image has no name: `skopeo copy oci:PATH` cannot tell it from its signatures.
    pub fn layout_needs_name(&self) -> bool {
        self.layout_needs_name
    }

    /// The result as one line of JSON.
    pub fn json(&self) -> String {
        let signatures: Vec<_> = self
            .signatures
            .iter()
            .map(|signature| {
                json!({
                    "format": signature.format.name(),
                    "place": signature.added.place,
                    "added": signature.added.added,
                    "status": signature.added.protection.name(),
                    "reason": signature.added.protection.reason(),
                })
            })
            .collect();
        json!({
            "digest": self.digest.to_string(),
            "reference": self.reference,
            "signature_reference": self.signature_reference(),
            "added": self.added(),
            "status": self.protection().name(),
            "signatures": signatures,
            "layout_needs_name": self.layout_needs_name,
        })
        .to_string()
    }
}

impl Client {
    /// Signs what `image` names now with `key`, and stores the signature beside it, so that signers who do the same at the
    /// same time lose nothing.
    ///
    /// A tag is resolved once; the result names the digest that was signed. Signing again with the same key and
    /// annotations changes nothing in the legacy format (cosign's `DupeDetector`); a bundle is added each time.
    ///
    /// # Errors
    /// [`Code::ImageNotFound`], [`Code::TooLarge`] at 1,000 signatures, usage and key codes, and the codes of the place. The
    /// detail `stages` tells what a call that ended in the middle had done. With [`Format::Both`], an error names the
    /// format that was not stored; the other one is.
    pub async fn sign(&self, image: &ImageRef, key: &PrivateKey, options: &SignOptions, call: &Call) -> Result<Signed> {
        let call = &limits::with_deadline(call);
        call.check()?;
        let suffix = super::options::suffix(options.tag_suffix.as_deref())?;
        let annotations = annotations(&options.annotations)?;
        let store = self.store(image, options.layout_tag.as_deref())?;

        let found = store.image(call).await?;
        let mut signatures = Vec::new();
        if matches!(options.format, Format::Legacy | Format::Both) {
            let identity = options.identity.as_deref().unwrap_or(&found.identity);
            let payload = simple_signing::write(identity, &found.digest, &annotations);
            if payload.len() > simple_signing::MAX_BYTES {
                return Err(Error::new(Code::TooLarge, "the annotations make the payload larger than 1 MiB"));
            }
            let signature = &NewSignature { signature: key.sign(&payload)?, payload };
            let (key, docker) = (&key.public_key(), options.docker_media_types);
            let item = NewItem::Layer { signature, key, suffix, docker };
            let added = store.add(&found, item, options.journal, call).await;
            let added = added.map_err(|error| half(error, options.format, "legacy", None))?;
            signatures.push(StoredSignature { format: Format::Legacy, added });
        }
        if matches!(options.format, Format::Bundle | Format::Both) {
            let bundle = Bundle::sign_image(&found.digest, &annotations, key, None)?.to_json();
            let item = NewItem::Bundle { json: bundle.as_bytes(), predicate_type: statement::COSIGN_SIGN };
            let added = store.add(&found, item, options.journal, call).await;
            let stored = signatures.first().map(|legacy| legacy.added.place.as_str());
            let added = added.map_err(|error| half(error, options.format, "bundle", stored))?;
            signatures.push(StoredSignature { format: Format::Bundle, added });
        }
        Ok(Signed {
            reference: store.pinned(&found.digest),
            digest: found.digest,
            signatures,
            layout_needs_name: found.needs_name,
        })
    }
}

/// Names the half that failed when both formats were asked for.
fn half(error: Error, format: Format, failed: &str, stored: Option<&str>) -> Error {
    if format != Format::Both {
        return error;
    }
    let error = match stored {
        Some(place) => error.context(format!("the {failed} signature is not stored (the legacy one is, at {place})")),
        None => error.context(format!("the {failed} signature is not stored, and no other was tried")),
    };
    error.with("format", failed)
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
