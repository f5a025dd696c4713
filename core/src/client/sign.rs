//! sign: resolve, write the payload, sign it, store it beside what is there.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Client, SignOptions};
use crate::bundle::legacy::{self, NewSignature};
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::key::PrivateKey;
use crate::oci::{ImageRef, Manifest};
use crate::payload::simple_signing;
use crate::registry::limits;
use crate::store::{Change, StoredManifest};

/// What was signed, and where the signature is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    digest: Digest,
    reference: String,
    signature_reference: String,
    added: bool,
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

    /// Where the signature is: `registry/repo:sha256-<hex>.sig`.
    pub fn signature_reference(&self) -> &str {
        &self.signature_reference
    }

    /// False when the same key had signed the same payload already; then nothing was written.
    pub fn added(&self) -> bool {
        self.added
    }

    /// In a layout whose image has no name: `skopeo copy oci:PATH` cannot tell it from its signatures.
    pub fn layout_needs_name(&self) -> bool {
        self.layout_needs_name
    }

    /// The result as one line of JSON.
    pub fn json(&self) -> String {
        json!({
            "digest": self.digest.to_string(),
            "reference": self.reference,
            "signature_reference": self.signature_reference,
            "added": self.added,
            "layout_needs_name": self.layout_needs_name,
        })
        .to_string()
    }
}

impl Client {
    /// Signs what `image` names now with `key`, and stores the signature beside it.
    ///
    /// A tag is resolved once; the result names the digest that was signed. Signing again with the same key and
    /// annotations changes nothing (cosign's `DupeDetector`).
    ///
    /// # Errors
    /// [`Code::ImageNotFound`], [`Code::TooLarge`] at 1,000 signatures, usage and key codes, and the codes of the place.
    pub async fn sign(&self, image: &ImageRef, key: &PrivateKey, options: &SignOptions, call: &Call) -> Result<Signed> {
        let call = &limits::with_deadline(call);
        call.check()?;
        let suffix = super::options::suffix(options.tag_suffix.as_deref())?;
        let annotations = annotations(&options.annotations)?;
        let store = self.store(image, options.layout_tag.as_deref())?;

        let found = store.image(call).await?;
        let identity = options.identity.as_deref().unwrap_or(&found.identity);
        let payload = simple_signing::write(identity, &found.digest, &annotations);
        if payload.len() > simple_signing::MAX_BYTES {
            return Err(Error::new(Code::TooLarge, "the annotations make the payload larger than 1 MiB"));
        }
        let new = NewSignature { signature: key.sign(&payload)?, payload };
        let public = key.public_key();

        let merge = |stored: Option<&StoredManifest>| -> Result<Change> {
            let existing = stored.map(|stored| Manifest::parse(&stored.bytes, Some(&stored.media_type))).transpose();
            let existing = existing.map_err(|e| e.context("the signature image that is there"))?;
            if let Some(existing) = &existing {
                legacy::check_layer_count(existing.layers.len())?;
                if legacy::is_duplicate(&existing.layers, &new, &public) {
                    return Ok(Change::Keep { payload: new.payload.clone() });
                }
            }
            let image = legacy::append(existing.as_ref(), &new, options.docker_media_types)?;
            Ok(Change::Write { image, payload: new.payload.clone() })
        };
        let added = store.update(&found.digest, suffix, &merge, call).await?;
        Ok(Signed {
            reference: store.pinned(&found.digest),
            signature_reference: store.signature_reference(&found.digest, suffix),
            digest: found.digest,
            added,
            layout_needs_name: found.needs_name,
        })
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
