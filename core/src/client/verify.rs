//! verify: resolve, read the evidence, judge it once.

use super::{Client, VerifyOptions};
use crate::bundle::legacy;
use crate::call::Call;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, ImageRef, Manifest};
use crate::payload::simple_signing;
use crate::registry::limits;
use crate::store::Store;
use crate::verify::{self, Conditions, Evidence, LegacySignature, Payload, SignatureEvidence, Unread};
use crate::verify::{Policy, Verification, Verified};

/// Payload bytes held for one verification.
const MAX_PAYLOADS: u64 = 8 << 20;

impl Client {
    /// Verifies that `image` is signed as `policy` demands. A tag is resolved once; use the result's digest from here on.
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
            seed_form: suffix == legacy::SUFFIX_2021,
            any_predicate_type: false,
        };
        let store = self.store(image, None)?;
        let digest = store.image(call).await?.digest;
        let mut evidence = Evidence {
            reference: store.pinned(&digest),
            digest,
            signatures: Vec::new(),
            unread: Vec::new(),
            bundles_not_read: false,
        };
        read_legacy(store.as_ref(), suffix, call, &mut evidence).await?;
        match verify::judge(&evidence, policy, conditions) {
            // "No signatures" must not be said while signatures of another format are there.
            Err(refused)
                if matches!(refused.code(), Code::NoSignatures | Code::NoSignatureMatches | Code::Threshold) =>
            {
                match store.has_bundles(&evidence.digest, call).await {
                    Ok(found) => evidence.bundles_not_read = found,
                    Err(error) => unread(&mut evidence, "referrers".to_owned(), error)?,
                }
                verify::judge(&evidence, policy, conditions)
            }
            outcome => outcome,
        }
    }
}

/// Notes a place that could not be read; a call that was stopped ends instead.
fn unread(evidence: &mut Evidence, place: String, error: Error) -> Result<()> {
    if matches!(error.code(), Code::Cancelled | Code::Timeout | Code::Internal) {
        return Err(error);
    }
    evidence.unread.push(Unread { place, error });
    Ok(())
}

async fn read_legacy(store: &dyn Store, suffix: &str, call: &Call, evidence: &mut Evidence) -> Result<()> {
    let place = store.signature_reference(&evidence.digest, suffix);
    let manifest = match store.signature_image(&evidence.digest, suffix, call).await {
        Ok(None) => return Ok(()),
        Ok(Some(stored)) => Manifest::parse(&stored.bytes, Some(&stored.media_type)).and_then(|manifest| {
            legacy::check_layer_count(manifest.layers.len())?;
            Ok(manifest)
        }),
        Err(error) => Err(error),
    };
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(error) => return unread(evidence, place.clone(), error.context(&place)),
    };
    let mut left = MAX_PAYLOADS;
    for (layer, descriptor) in manifest.layers.into_iter().enumerate() {
        call.check()?;
        let payload = match read_payload(store, &descriptor, &mut left, call).await {
            Ok(bytes) => Payload::Read(bytes),
            Err(error) if matches!(error.code(), Code::Cancelled | Code::Timeout) => return Err(error),
            // These say what the place has, not that it could not be asked.
            Err(error) if matches!(error.code(), Code::Content | Code::TooLarge | Code::SignatureInvalid) => {
                Payload::Bad(error)
            }
            Err(error) => Payload::Unread(error),
        };
        let signature = LegacySignature { place: place.clone(), layer, descriptor, payload };
        evidence.signatures.push(SignatureEvidence::Legacy(signature));
    }
    Ok(())
}

async fn read_payload(store: &dyn Store, layer: &Descriptor, left: &mut u64, call: &Call) -> Result<Vec<u8>> {
    if !layer.annotations.contains_key(legacy::SIGNATURE) {
        return Err(Error::new(Code::SignatureInvalid, "the layer has no signature annotation"));
    }
    if layer.bad_data {
        let what = format!("the layer's inline data is not what its digest {} and size say", layer.digest);
        return Err(Error::new(Code::Content, what));
    }
    if let Some(data) = &layer.data {
        return Ok(data.clone());
    }
    if layer.size > simple_signing::MAX_BYTES as u64 || layer.size > *left {
        return Err(Error::new(
            Code::TooLarge,
            format!("the payload is declared with {} bytes, more than is read for one verification", layer.size),
        ));
    }
    *left = left.saturating_sub(layer.size);
    let blob = store.blob(layer, simple_signing::MAX_BYTES as u64, call).await?;
    blob.ok_or_else(|| Error::new(Code::Content, format!("the payload {} is missing", layer.digest)))
}
