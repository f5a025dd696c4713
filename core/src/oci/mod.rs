//! The OCI documents and names that signatures hang on: references, descriptors, manifests, indexes.

mod descriptor;
mod index;
mod manifest;
pub mod reference;

pub use descriptor::Descriptor;
pub(crate) use descriptor::push_member;
pub use index::{Index, IndexEntry};
pub use manifest::{DOCUMENT_LIMITS, Document, LAYOUT_LIMITS, Manifest};
pub use reference::{ImageRef, LayoutRef, RegistryRef};

/// Media types, as the specifications spell them.
pub mod media_type {
    /// An OCI image manifest (image-spec).
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image index (image-spec).
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI image configuration (image-spec).
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A Docker image manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// A Docker manifest list.
    pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// A Docker image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// cosign's legacy signature payload.
    pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
    /// The empty JSON object, as configuration of what has none (image-spec).
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// What a sigstore bundle's media type begins with.
    pub const SIGSTORE_BUNDLE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
}
