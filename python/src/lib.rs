//! The native half of the Python package `cosign`: thin classes over `cosign_core`.
//!
//! Each method reads its Python arguments, lets go of the interpreter, calls one function of the core, and turns the
//! answer or the error back into Python. Nothing here decides anything about signatures.

mod attach;
mod batch;
mod blobs;
mod client;
mod download;
mod errors;
mod files;
mod generate;
mod inputs;
mod keys;
mod policy;
mod runtime;
mod sign;
mod tree;
mod verify;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::batch::{_restore_batch_result, Batch, BatchResult};
    #[pymodule_export]
    use super::blobs::{_restore_signed_blob, _restore_verified_blob, SignedBlob, VerifiedBlob};
    #[pymodule_export]
    use super::client::{_registry, _restore_client, Client, resolve, triangulate};
    #[pymodule_export]
    use super::download::{_restore_unverified, UnverifiedSignature};
    #[pymodule_export]
    use super::errors::error_table;
    #[pymodule_export]
    use super::generate::{_restore_detached, DetachedSignature};
    #[pymodule_export]
    use super::keys::{_restore_public_key, PrivateKey, PublicKey, generate_key_pair};
    #[pymodule_export]
    use super::policy::{_restore_policy, Policy};
    #[pymodule_export]
    use super::sign::{_restore_signed, _restore_stored, SignedImage, Signer, StoredSignature};
    #[pymodule_export]
    use super::verify::{_restore_signature, _restore_verified, VerifiedImage, VerifiedSignature, Verifier};
    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        runtime::quiet_panics();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
