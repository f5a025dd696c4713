//! What is to be stored.

use std::fmt;
use std::sync::Arc;

use crate::oci::Descriptor;

/// Recognises a signature that says the same already (cosign's `DupeDetector`).
pub type Duplicate = Arc<dyn Fn(&Descriptor) -> bool + Send + Sync>;
/// Writes a bundle's manifest, given the subject's descriptor and the registry's unix time.
pub type BundleManifest = Arc<dyn Fn(&Descriptor, u64) -> Vec<u8> + Send + Sync>;

/// What is to be stored.
// One lives in each machine: boxing would cost more than it saves.
#[allow(clippy::large_enum_variant)]
#[derive(Clone)]
pub enum Job {
    /// A layer of a legacy signature image.
    Layer {
        /// The layer.
        layer: Descriptor,
        /// Its blob.
        payload: Arc<[u8]>,
        /// Whether a new image has Docker media types.
        docker: bool,
        /// Recognises a layer that makes this one superfluous.
        duplicate: Option<Duplicate>,
    },
    /// A sigstore bundle.
    Bundle {
        /// The bundle and the configuration it refers to.
        blobs: Vec<Arc<[u8]>>,
        /// Its manifest.
        manifest: BundleManifest,
    },
    /// Nothing new: merge what the journal holds, of any age (`gc --repair`).
    Repair,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Job::Layer { layer, docker, .. } => {
                f.debug_struct("Layer").field("layer", layer).field("docker", docker).finish_non_exhaustive()
            }
            Job::Bundle { blobs, .. } => f.debug_struct("Bundle").field("blobs", &blobs.len()).finish_non_exhaustive(),
            Job::Repair => f.write_str("Repair"),
        }
    }
}
