//! What a place yields about an image: raw bytes and where they came from. Nothing here is believed yet.

use crate::digest::Digest;
use crate::error::Error;
use crate::oci::Descriptor;

/// Everything that was read about one image.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The digest of the image, computed from the bytes received or given by the caller.
    pub digest: Digest,
    /// The image, pinned: `registry/repo@sha256:…` or `oci:PATH@sha256:…`.
    pub reference: String,
    /// The signatures found, in the order of their place.
    pub signatures: Vec<SignatureEvidence>,
    /// Places that could not be read. Evidence is only ever positive: these never make a signature bad, but without
    /// enough good ones they make the verdict "unknown".
    pub unread: Vec<Unread>,
}

/// One signature, of any format.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SignatureEvidence {
    /// A layer of a legacy signature image.
    Legacy(LegacySignature),
    /// A sigstore bundle that hangs on the image.
    Bundle(BundleSignature),
}

/// A layer of a legacy signature image.
#[derive(Debug, Clone)]
pub struct LegacySignature {
    /// Where it was found, such as `ghcr.io/a/b:sha256-….sig`.
    pub place: String,
    /// The number of the layer, from 0.
    pub layer: usize,
    /// The layer's descriptor, with the signature, certificate, log entry and timestamp as annotations.
    pub descriptor: Descriptor,
    /// The signed bytes.
    pub payload: Payload,
}

/// A sigstore bundle that hangs on the image.
#[derive(Debug, Clone)]
pub struct BundleSignature {
    /// Where it was found, such as `ghcr.io/a/b@sha256:…` with the digest of the bundle's manifest.
    pub place: String,
    /// Its number among the bundles of that image, from 0.
    pub index: usize,
    /// The descriptor of the bundle itself: the layer of its manifest.
    pub descriptor: Descriptor,
    /// The bundle.
    pub bundle: Payload,
}

/// The bytes that a descriptor names: a signed payload, or a bundle.
#[derive(Debug, Clone)]
pub enum Payload {
    /// They were read, and are what the descriptor's digest and size say.
    Read(Vec<u8>),
    /// The place has them not, or has something else: the signature is refused.
    Bad(Error),
    /// The place could not be read: nothing is known about this signature.
    Unread(Error),
}

/// A place that could not be read.
#[derive(Debug, Clone)]
pub struct Unread {
    /// Which place.
    pub place: String,
    /// Why.
    pub error: Error,
}
