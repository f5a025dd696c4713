//! Where signatures live: an OCI image layout on disk, or a registry. One trait, so that every verb is written once.

pub mod journal;
pub mod layout;
pub mod tags;

use std::future::Future;
use std::pin::Pin;

use crate::bundle::legacy::SignatureImage;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::Result;
use crate::oci::Descriptor;

pub use layout::Layout;
pub use tags::Tags;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The image that a reference names now.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its digest, computed from the bytes read unless the caller named it.
    pub digest: Digest,
    /// What cosign writes as `docker-reference` when the caller gives no identity.
    pub identity: String,
    /// In a layout: its entry has no name, so tools that copy by name cannot tell it from its signatures.
    pub needs_name: bool,
}

/// A signature image as stored.
#[derive(Debug, Clone)]
pub struct StoredManifest {
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// The media type that the place gave for it; empty when it gave none.
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
}

/// What is to be stored after looking at what is there.
#[derive(Debug, Clone)]
pub enum Change {
    /// Nothing: the signature is there already. Where that costs nothing, its payload is put back if it went.
    Keep {
        /// The signed payload.
        payload: Vec<u8>,
    },
    /// This image, with this new payload.
    Write {
        /// The signature image.
        image: SignatureImage,
        /// The payload of the layer that was added.
        payload: Vec<u8>,
    },
}

/// Decides what to store. Called again when what is there has changed in between.
pub type Merge<'a> = &'a (dyn Fn(Option<&StoredManifest>) -> Result<Change> + Send + Sync);

/// A place that holds an image and its signatures.
pub trait Store: Send + Sync {
    /// The image that the reference names. A tag is resolved by reading and hashing; a digest is taken as given where
    /// that costs a request.
    fn image<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Image>>;

    /// The legacy signature image of `subject`, or `None` when the place says that there is none.
    fn signature_image<'a>(
        &'a self,
        subject: &'a Digest,
        suffix: &'a str,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<StoredManifest>>>;

    /// A blob of at most `cap` bytes, checked against digest and size; `None` when the place says that it is absent.
    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        cap: u64,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>>>;

    /// Whether sigstore bundles hang on `subject`. They are not judged yet, but "no signatures" would be a lie.
    fn has_bundles<'a>(&'a self, subject: &'a Digest, call: &'a Call) -> BoxFuture<'a, Result<bool>>;

    /// Reads the signature image of `subject`, lets `merge` decide, and stores the outcome. Returns whether anything was
    /// written.
    fn update<'a>(
        &'a self,
        subject: &'a Digest,
        suffix: &'a str,
        merge: Merge<'a>,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<bool>>;

    /// The name of the place that holds the signatures of `subject`: what `triangulate` prints.
    fn signature_reference(&self, subject: &Digest, suffix: &str) -> String;

    /// The image, pinned.
    fn pinned(&self, digest: &Digest) -> String;
}
