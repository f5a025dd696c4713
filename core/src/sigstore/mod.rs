//! Clients of sigstore's services: what is asked of them, and what they answer, as it is. Whether that proves anything is
//! for `trust/` to judge.

mod rekor;

pub(crate) use rekor::proposal;
pub use rekor::{PUBLIC_REKOR, Rekor, Uploaded};
