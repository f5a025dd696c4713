//! clean: resolve, then take away what hangs on the image.

use serde_json::json;

use super::Client;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::Result;
use crate::oci::ImageRef;
use crate::registry::limits;
use crate::store::{CleanKind, Kept, Removed, Swept};

/// What to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanOptions {
    /// Signatures, attestations, bundles, SBOMs, or all of them (the default).
    pub kind: CleanKind,
}

/// What was removed, and what could not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    digest: Digest,
    reference: String,
    swept: Swept,
}

impl Cleaned {
    /// The image's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The image, pinned by that digest.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// What is gone, in the order in which it went; nothing when nothing was there.
    pub fn removed(&self) -> &[Removed] {
        &self.swept.removed
    }

    /// What is still there, and why.
    pub fn kept(&self) -> &[Kept] {
        &self.swept.kept
    }

    /// The result as one line of JSON.
    pub fn json(&self) -> String {
        json!({
            "digest": self.digest.to_string(),
            "reference": self.reference,
            "removed": self.swept.removed_json(),
            "kept": self.swept.kept_json(),
        })
        .to_string()
    }
}

impl Client {
    /// Removes the signatures, attestations and SBOMs of `image`, the journal first, so that nobody who signs later brings
    /// them back. Asks no question: that is the caller's to do.
    ///
    /// A manifest that other tags name is left and told ([`Cleaned::kept`]); in a layout, payloads and other blobs that
    /// nothing leads to any more stay.
    ///
    /// # Errors
    /// [`Code::ImageNotFound`](crate::Code::ImageNotFound). [`Code::Unsupported`](crate::Code::Unsupported) from a registry
    /// that deletes nothing, and the codes of the place: what was not heard is never called cleaned. The details `removed`
    /// and `kept` say what was done before.
    pub async fn clean(&self, image: &ImageRef, options: &CleanOptions, call: &Call) -> Result<Cleaned> {
        let call = &limits::with_deadline(call);
        call.check()?;
        let store = self.store(image, None)?;
        let digest = store.image(call).await?.digest;
        self.announce_delete(image);
        let swept = store.clean(&digest, options.kind, call).await?;
        Ok(Cleaned { reference: store.pinned(&digest), digest, swept })
    }
}
