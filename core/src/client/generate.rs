//! generate: the payload that sign would sign, for signing it elsewhere; and signing it here without storing.

use super::sign::annotations;
use super::{Client, Format, SignOptions, TlogUpload};
use crate::call::Call;
use crate::error::{Code, Error, Result};
use crate::key::PrivateKey;
use crate::oci::ImageRef;
use crate::payload::simple_signing::{self, PayloadForm};
use crate::registry::limits;
use crate::store::Image;

/// A signature that was made and not stored, with the bytes that it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl Detached {
    /// The exact bytes that were signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The raw signature; cosign prints its base64.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl Client {
    /// The payload that [`Client::sign`] signs for `image` with the same options: what another program may sign, for
    /// [`Client::attach_signature`]. A registry is asked only to resolve a tag.
    ///
    /// # Errors
    /// [`Code::ImageNotFound`], [`Code::TooLarge`] over 1 MiB, usage codes, and the codes of the place.
    pub async fn generate(&self, image: &ImageRef, options: &SignOptions, call: &Call) -> Result<Vec<u8>> {
        let call = &limits::with_deadline(call);
        call.check()?;
        only_legacy(options, "a payload to sign elsewhere")?;
        if options.payload.is_some() {
            return Err(Error::new(Code::Argument, "a payload is generated or given, not both"));
        }
        check(options)?;
        payload(options, &self.store(image, None)?.image(call).await?)
    }

    /// Signs what [`Client::sign`] would sign, and stores nothing; cosign's `sign --upload=false`. No server is touched
    /// when the reference is a digest or [`SignOptions::payload`] is given.
    ///
    /// # Errors
    /// Those of [`Client::generate`], and key codes.
    pub async fn sign_detached(
        &self,
        image: &ImageRef,
        key: &PrivateKey,
        options: &SignOptions,
        call: &Call,
    ) -> Result<Detached> {
        let call = &limits::with_deadline(call);
        call.check()?;
        only_legacy(options, "a signature that is not stored")?;
        if options.tlog != TlogUpload::Never {
            return Err(Error::new(
                Code::Argument,
                "a signature that is not stored is not added to a transparency log",
            ));
        }
        check(options)?;
        let payload = match &options.payload {
            Some(payload) => payload.clone(),
            None => payload(options, &self.store(image, None)?.image(call).await?)?,
        };
        Ok(Detached { signature: key.sign(&payload)?, payload })
    }
}

/// Refuses what no signature can say, before anything is asked.
pub(super) fn check(options: &SignOptions) -> Result<()> {
    let refused = |what: &str| Err(Error::new(Code::Argument, what));
    annotations(&options.annotations)?;
    match &options.payload {
        Some(_) if !options.annotations.is_empty() => {
            refused("annotations cannot be added to a payload that is given: they would not be signed")
        }
        Some(_) if options.identity.is_some() || options.payload_form != PayloadForm::Today => {
            refused("an identity or a form cannot be given to a payload that is given: they would not be signed")
        }
        Some(_) if options.recursive => refused("one payload cannot be that of every image of an index"),
        Some(payload) if payload.is_empty() => refused("the payload is empty"),
        Some(payload) if payload.len() > simple_signing::MAX_BYTES => Err(too_large(payload.len())),
        Some(_) => only_legacy(options, "a payload that is given"),
        None if options.payload_form != PayloadForm::Today => only_legacy(options, "the payload of 2021"),
        None => Ok(()),
    }
}

/// Refuses bundles, whose payload is a statement.
pub(super) fn only_legacy(options: &SignOptions, what: &str) -> Result<()> {
    if options.format == Format::Legacy {
        return Ok(());
    }
    let format = options.format.name();
    Err(Error::new(Code::Argument, format!("{what} belongs to the format legacy, and the format is {format}")))
}

/// What is signed for `image`: the caller's bytes, or the payload of the caller's options.
pub(super) fn payload(options: &SignOptions, image: &Image) -> Result<Vec<u8>> {
    if let Some(payload) = &options.payload {
        return Ok(payload.clone());
    }
    let annotations = annotations(&options.annotations)?;
    let given = options.identity.as_deref();
    let payload = match options.payload_form {
        PayloadForm::Today => simple_signing::write(given.unwrap_or(&image.identity), &image.digest, &annotations),
        PayloadForm::Seed => simple_signing::write_seed(given.unwrap_or_default(), &image.digest, &annotations),
    };
    if payload.len() > simple_signing::MAX_BYTES {
        return Err(too_large(payload.len()).context("the annotations"));
    }
    Ok(payload)
}

fn too_large(size: usize) -> Error {
    let limit = simple_signing::MAX_BYTES;
    Error::new(Code::TooLarge, format!("the payload has {size} bytes, the limit is {limit}")).with("limit", limit)
}
