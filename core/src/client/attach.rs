//! attach: a signature made elsewhere is stored as sign stores its own.

use super::{Client, Format, SignOptions, Signed, StoredSignature, TlogOutcome, TlogUpload};
use crate::bundle::legacy::{self, NewSignature};
use crate::call::Call;
use crate::error::{Code, Error, Result};
use crate::oci::ImageRef;
use crate::registry::limits;
use crate::store::NewItem;

impl Client {
    /// Stores a raw `signature` of `image` that was made elsewhere, as losslessly as [`Client::sign`]; cosign's `upload` of
    /// 2021 and `attach signature` after it.
    ///
    /// What it signs is [`SignOptions::payload`], in any format and kept to the byte, or else the payload that
    /// [`Client::generate`] gives for the same options. There is no key to check it with: whether it is good, verifying
    /// tells. The same signature of the same payload is stored once.
    ///
    /// # Errors
    /// [`Code::Argument`] for an empty signature, [`Code::TooLarge`] for one over 4 KiB, a payload over 1 MiB, and at 1,000
    /// signatures; [`Code::ImageNotFound`], and the codes of the place.
    pub async fn attach_signature(
        &self,
        image: &ImageRef,
        signature: &[u8],
        options: &SignOptions,
        call: &Call,
    ) -> Result<Signed> {
        let call = &limits::with_deadline(call);
        call.check()?;
        let suffix = super::options::suffix(options.tag_suffix.as_deref())?;
        super::generate::only_legacy(options, "a signature made elsewhere")?;
        super::generate::check(options)?;
        if options.tlog != TlogUpload::Never {
            // The log wants the public key, which is not here.
            return Err(Error::new(Code::Argument, "a signature made elsewhere is not added to a transparency log"));
        }
        if signature.is_empty() {
            return Err(Error::new(Code::Argument, "empty signature"));
        }
        if signature.len() > legacy::MAX_SIGNATURE {
            let (size, limit) = (signature.len(), legacy::MAX_SIGNATURE);
            let what = format!("the signature has {size} bytes, the limit is {limit}");
            return Err(Error::new(Code::TooLarge, what).with("limit", limit));
        }
        let store = self.store(image, options.layout_tag.as_deref())?;
        let found = store.image(call).await?;
        let payload = super::generate::payload(options, &found)?;
        let signature = &NewSignature { payload, signature: signature.to_vec(), ..NewSignature::default() };
        let item = NewItem::Layer { signature, key: None, suffix, docker: options.docker_media_types };
        let added = store.add(&found, item, options.journal, call).await?;
        let (digest, reference, layout_needs_name) =
            (found.digest.clone(), store.pinned(&found.digest), found.needs_name);
        let stored = StoredSignature {
            digest: digest.clone(),
            reference: reference.clone(),
            format: Format::Legacy,
            added,
            log: None,
        };
        Ok(Signed { digest, reference, signatures: vec![stored], layout_needs_name, tlog: TlogOutcome::NotAsked })
    }
}
