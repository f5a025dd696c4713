//! Judgement: evidence, policy and conditions in, a [`Report`] out; only success yields a [`Verified`].
//!
//! Pure functions: no socket, no file, no clock. `checks.rs` judges the whole, `legacy.rs` and `bundles.rs` each a signature
//! of their format, and `blobs.rs` those of a blob, `log.rs` the entry of any of them in a transparency log, in the order
//! in which `docs/verification.md` explains the steps.

mod blobs;
mod bundles;
mod checks;
mod evidence;
mod legacy;
mod log;
mod policy;
mod report;
mod verified;

pub use blobs::{BlobJudge, BlobSignature, BlobVerification, VerifiedBlobSignature};
pub use checks::{Conditions, Judge, judge};
pub use evidence::{BundleSignature, Evidence, LegacySignature, Payload, SignatureEvidence, Unread};
pub use log::LogAnswer;
pub use policy::Policy;
pub use report::{Check, CheckResult, Report, SignatureReport, UnreadReport, Verdict};
pub use verified::{Verification, Verified, VerifiedSignature};
