//! Judgement: evidence, policy and conditions in, a [`Report`] out; only success yields a [`Verified`].
//!
//! Pure functions: no socket, no file, no clock. The steps stand in `checks.rs` in the order in which
//! `docs/verification.md` explains them.

mod checks;
mod evidence;
mod policy;
mod report;
mod verified;

pub use checks::{Conditions, judge};
pub use evidence::{Evidence, LegacySignature, Payload, SignatureEvidence, Unread};
pub use policy::Policy;
pub use report::{Check, CheckResult, Report, SignatureReport, Verdict};
pub use verified::{Verification, Verified, VerifiedSignature};
