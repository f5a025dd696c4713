//! How signatures are packed: cosign's legacy signature image; sigstore bundles, and the manifests that hang them on an
//! image; the JSON that `cosign sign-blob --bundle` wrote before them; entries of transparency logs.

pub mod blob;
pub mod certificate;
pub mod legacy;
pub mod referrer;
pub mod rekor;
pub mod sigstore;
