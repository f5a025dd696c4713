//! Sign and verify container images in exactly the formats of sigstore's `cosign`.
//!
//! # The main job, in ten lines
//!
//! An image in an OCI layout on disk: no server, no network.
//!
//! ```
//! # #[cfg(feature = "client")]
//! use cosign_core::{Call, KeyAlgorithm, Policy, PrivateKey, SignOptions, VerifyOptions, blocking::Client};
//!
//! # #[cfg(not(feature = "client"))]
//! # fn main() {}
//! # #[cfg(feature = "client")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let layout = dir.path().join("image");
//! # let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/image");
//! # std::fs::create_dir_all(layout.join("blobs/sha256"))?;
//! # for file in ["oci-layout", "index.json"] { std::fs::copy(format!("{source}/{file}"), layout.join(file))?; }
//! # for blob in std::fs::read_dir(format!("{source}/blobs/sha256"))? {
//! #     let blob = blob?; std::fs::copy(blob.path(), layout.join("blobs/sha256").join(blob.file_name()))?;
//! # }
//! let image = format!("oci:{}:v1", layout.display()).parse()?;
//! let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
//! let client = Client::new(Default::default())?;
//! client.sign(&image, &key, &SignOptions::default(), &Call::new())?;
//!
//! let policy = Policy::new().with_key(key.public_key());
//! let verified = client.verify(&image, &policy, &VerifyOptions::default(), &Call::new())?;
//! println!("{} carries {} good signature(s)", verified.reference(), verified.count());
//! # Ok(())
//! # }
//! ```
//!
//! # The house
//!
//! Lower floors know nothing of upper ones. Floors 0 to 2 do no input or output and compile for
//! `wasm32-unknown-unknown`; floors 3 to 5 come with the feature `client` (on by default), but for [`mod@blob`], whose verbs
//! read what they are given and need nobody.
//!
//! | floor | modules |
//! |---|---|
//! | 5 verbs | [`client`], [`blocking`], [`mod@blob`] |
//! | 4 places | `store` |
//! | 3 services | [`registry`], [`sigstore`] |
//! | 2 judgement | [`verify`], [`trust`] |
//! | 1 formats | [`key`], [`payload`], [`bundle`], [`oci`] |
//! | 0 ground | [`error`], [`digest`], [`encoding`], [`crypto`], [`call`] |
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod blob;
pub mod bundle;
pub mod call;
pub mod crypto;
pub mod digest;
pub mod encoding;
pub mod error;
pub mod key;
pub mod oci;
pub mod payload;
pub mod trust;
pub mod verify;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod registry;
#[cfg(feature = "client")]
pub mod sigstore;
#[cfg(feature = "client")]
pub mod store;

#[cfg(feature = "client")]
pub use client::blocking;
#[cfg(feature = "client")]
pub use client::{Batch, BatchOptions, BatchResult};
#[cfg(feature = "client")]
pub use client::{
    Client, ClientOptions, Detached, DownloadOptions, Format, SignOptions, Signed, TriangulateOptions,
    UnverifiedSignature, VerifyOptions,
};
/// The version of oci-client whose types [`registry::OciClient`] and the conversions take.
#[cfg(feature = "oci-client")]
pub use oci_client;

pub use blob::{SignBlobOptions, SignedBlob, VerifyBlobOptions, sign_blob, verify_blob, verify_blob_digest};
pub use call::{Call, Cancel};
pub use crypto::KeyAlgorithm;
pub use digest::Digest;
pub use error::{Class, Code, Error, Result};
pub use key::{KeyFormat, PrivateKey, PublicKey};
pub use oci::ImageRef;
pub use trust::TrustedRoot;
pub use verify::{Policy, Report, Verification, Verified};
