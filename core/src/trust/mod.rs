//! Whom to trust beside the signers, and what their word proves: the keys of transparency logs, and entries of such logs.
//!
//! Pure functions over what was read; no log's key is built in, and none is ever taken from a log. An entry proves
//! something only when all of this holds, in the order of `log.rs`: a trusted log made it (`root.rs`), it is about this
//! signature, key and payload (`body.rs`), the log's promise or its proof of inclusion is good (`merkle.rs`), and the
//! root of that proof is one that the log has signed (`checkpoint.rs`).
//!
//! Own code, not the `sigstore-*` crates: those bring forty crates and a crypto provider per process, refuse P-521 and
//! `rekord`, and do not compile for the web together with the floors below.

mod body;
mod checkpoint;
mod log;
mod merkle;
mod root;

pub use body::{Subject, is_about};
pub use checkpoint::Checkpoint;
pub use log::{LogProof, check_entry, check_included};
pub use merkle::{leaf_hash, root_from_path};
pub use root::{TrustedLog, TrustedRoot, Validity};
