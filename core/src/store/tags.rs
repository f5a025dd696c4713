//! Signatures in a registry, in cosign's legacy place: the tag `sha256-<hex>.sig` beside the image.
//!
//! A tag is one register that the last writer wins; what two signers write at the same moment is not merged here.

use std::sync::Arc;

use futures_util::future::try_join;

use super::{BoxFuture, Change, Image, Merge, Store, StoredManifest};
use crate::bundle::legacy;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::oci::{Descriptor, Document, RegistryRef, media_type};
use crate::registry::{FetchedManifest, Referrers, Transport};

/// What cosign 3.1 writes as artifact type of every entry of a fallback index (sigstore/cosign#4641): it may be a bundle.
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// An image in a registry, and the signatures beside it.
#[derive(Debug, Clone)]
pub struct Tags {
    transport: Arc<Transport>,
    image: RegistryRef,
}

impl Tags {
    /// The place of `image`; nothing is asked yet.
    pub fn new(transport: Arc<Transport>, image: RegistryRef) -> Tags {
        Tags { transport, image }
    }

    async fn manifest(&self, reference: &str, call: &Call) -> Result<Option<FetchedManifest>> {
        self.transport.get_manifest(self.image.registry(), self.image.repository(), reference, call).await
    }

    async fn resolve(&self, call: &Call) -> Result<Image> {
        let identity = self.image.name();
        if let Some(digest) = self.image.digest() {
            return Ok(Image { digest: digest.clone(), identity, needs_name: false });
        }
        let tag = self.image.tag().unwrap_or("latest");
        match self.manifest(tag, call).await? {
            Some(found) => Ok(Image { digest: found.digest, identity, needs_name: false }),
            None => Err(Error::new(
                Code::ImageNotFound,
                format!("{identity}:{tag} does not exist: the registry knows no such tag or repository"),
            )
            .with("reference", format!("{identity}:{tag}"))),
        }
    }

    async fn signatures(&self, subject: &Digest, suffix: &str, call: &Call) -> Result<Option<StoredManifest>> {
        let found = self.manifest(&legacy::tag(subject, suffix), call).await?;
        Ok(found.map(|found| StoredManifest { bytes: found.bytes, media_type: found.media_type, digest: found.digest }))
    }

    async fn put_blob(&self, bytes: &[u8], call: &Call) -> Result<()> {
        let digest = Digest::sha256(bytes);
        self.transport.put_blob(self.image.registry(), self.image.repository(), &digest, bytes, call).await
    }

    async fn read_blob(&self, descriptor: &Descriptor, cap: u64, call: &Call) -> Result<Option<Vec<u8>>> {
        if descriptor.size > cap {
            let why = format!("blob {} declares {} bytes, the limit is {cap}", descriptor.digest, descriptor.size);
            return Err(Error::new(Code::TooLarge, format!("{}: {why}", self.image.name())).with("limit", cap));
        }
        if let Some(data) = &descriptor.data {
            return Ok(Some(data.clone()));
        }
        let (host, repository) = (self.image.registry(), self.image.repository());
        self.transport.get_blob(host, repository, &descriptor.digest, descriptor.size, call).await
    }

    /// Bundles are found through the referrers API, or through the index behind the tag `sha256-<hex>` without it.
    async fn bundles(&self, subject: &Digest, call: &Call) -> Result<bool> {
        let (host, repository) = (self.image.registry(), self.image.repository());
        let (entries, fallback) = match self.transport.referrers(host, repository, subject, None, call).await? {
            Referrers::Found(entries) => (entries, false),
            Referrers::NoApi => match self.manifest(&legacy::tag(subject, ""), call).await? {
                // GitLab answers the fallback tag with the subject itself (oras-project/oras-go#1396).
                Some(found) if found.digest != *subject && found.media_type == media_type::OCI_INDEX => {
                    match Document::parse(&found.bytes, Some(media_type::OCI_INDEX))? {
                        Document::Index(index) => (index.manifests, true),
                        Document::Manifest(_) => return Ok(false),
                    }
                }
                _ => return Ok(false),
            },
        };
        Ok(entries.iter().any(|entry| match entry.descriptor.artifact_type.as_deref() {
            Some(artifact) => {
                artifact.starts_with(media_type::SIGSTORE_BUNDLE_PREFIX) || (fallback && artifact == EMPTY_TYPE)
            }
            None => fallback,
        }))
    }

    async fn change(&self, subject: &Digest, suffix: &str, merge: Merge<'_>, call: &Call) -> Result<bool> {
        let (host, repository) = (self.image.registry(), self.image.repository());
        self.transport.announce_push(host, repository);
        let stored = self.signatures(subject, suffix, call).await?;
        let (image, payload) = match merge(stored.as_ref())? {
            Change::Keep { .. } => return Ok(false),
            Change::Write { image, payload } => (image, payload),
        };
        try_join(self.put_blob(&payload, call), self.put_blob(&image.config, call)).await?;
        let tag = legacy::tag(subject, suffix);
        self.transport
            .put_manifest(host, repository, &tag, &image.media_type, &image.manifest, call)
            .await?
            .stored()?;
        Ok(true)
    }
}

impl Store for Tags {
    fn image<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Image>> {
        Box::pin(self.resolve(call))
    }

    fn signature_image<'a>(
        &'a self,
        subject: &'a Digest,
        suffix: &'a str,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<StoredManifest>>> {
        Box::pin(self.signatures(subject, suffix, call))
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        cap: u64,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(self.read_blob(descriptor, cap, call))
    }

    fn has_bundles<'a>(&'a self, subject: &'a Digest, call: &'a Call) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.bundles(subject, call))
    }

    fn update<'a>(
        &'a self,
        subject: &'a Digest,
        suffix: &'a str,
        merge: Merge<'a>,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.change(subject, suffix, merge, call))
    }

    fn signature_reference(&self, subject: &Digest, suffix: &str) -> String {
        format!("{}:{}", self.image.name(), legacy::tag(subject, suffix))
    }

    fn pinned(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.image.name())
    }
}
