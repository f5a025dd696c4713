//! resolve and triangulate: names of an image and of its signatures.

use super::{Client, TriangulateOptions};
use crate::call::Call;
use crate::error::Result;
use crate::oci::ImageRef;
use crate::registry::limits;

impl Client {
    /// Pins a reference: resolves its tag once and returns `registry/repo@sha256:…` or `oci:PATH@sha256:…`.
    pub async fn resolve(&self, image: &ImageRef, call: &Call) -> Result<String> {
        let call = &limits::with_deadline(call);
        call.check()?;
        let store = self.store(image, None)?;
        let found = store.image(call).await?;
        Ok(store.pinned(&found.digest))
    }

    /// The name of the place that holds the signatures: `registry/repo:sha256-<hex>.sig`. Asks the registry only to
    /// resolve a tag.
    pub async fn triangulate(&self, image: &ImageRef, options: &TriangulateOptions, call: &Call) -> Result<String> {
        let call = &limits::with_deadline(call);
        call.check()?;
        let suffix = super::options::suffix(Some(&options.suffix))?;
        let store = self.store(image, None)?;
        let digest = match image.digest() {
            Some(digest) => digest.clone(),
            None => store.image(call).await?.digest,
        };
        Ok(store.signature_reference(&digest, suffix))
    }
}
